"""kcat, a process for each partition. It does not tell of what type a timestamp is.

Its format has no lengths of headers, and writes them as ``name=value,name=value``, so that they cannot be
told apart: the line has all of them as the value of one header without a name.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys

from tests.integration.hydration.readers.lines import Job, Printer, Wanted, read_job

END = b"\x1e| end of a record\x1e\n"
FORMAT = r"%p %o %T %K %S\n%k%s%h" + END.decode().replace("\x1e", r"\x1e").replace("\n", r"\n")
FIELDS = re.compile(rb"(-?\d+) (-?\d+) (-?\d+) (-?\d+) (-?\d+)\n")


def read(job: Job, part: Wanted) -> bytes:
    """What kcat writes of a partition."""
    settings = {
        "broker.address.family": "v4",
        "client.id": job.client_id,
        "isolation.level": job.isolation,
        "check.crcs": "true",
        "fetch.wait.max.ms": "100",
        "fetch.message.max.bytes": str(job.partition_max_bytes),
        "message.max.bytes": str(max(1000, min(job.max_bytes, 2**26))),
        "fetch.max.bytes": str(max(1000, job.max_bytes)),
        "receive.message.max.bytes": str(2**31 - 1),
    }
    options = [word for name, value in settings.items() for word in ("-X", f"{name}={value}")]
    place = ["-t", part.topic, "-p", str(part.partition), "-o", str(part.start)]
    program = shutil.which("kcat") or "kafkacat"
    command = [program, "-C", "-q", "-e", "-b", job.bootstrap, *options, *place, "-f", FORMAT]
    return subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout


def main() -> None:
    """Read the job's partitions."""
    job = read_job()
    out = Printer(job)
    for part in job.parts:
        written, at = read(job, part), 0
        while at < len(written):
            fields = FIELDS.match(written, at)
            if fields is None:
                sys.exit(f"kcat wrote {written[at : at + 100]!r}")
            partition, offset, timestamp, key_length, length = map(int, fields.groups())
            key_end = fields.end() + max(key_length, 0)
            end = key_end + max(length, 0)
            key = None if key_length < 0 else written[fields.end() : key_end]
            value = None if length < 0 else written[key_end:end]
            at = written.index(END, end)
            out.line(part.topic, partition, offset, key, timestamp, None, [("", written[end:at])], value)
            at += len(END)


if __name__ == "__main__":
    main()
