"""What the proxy's process takes by itself, by what its settings ask for: idle, and after some work.

    python -m benchmarks.base_memory        # about two minutes

That is the first term of examples/operate/sizing.py, which has room for more. The broker and the store keep
nothing; what gives the credentials of a role, and what takes traces, is a server in this process.
"""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import certifi

from benchmarks.growth_loads import kafka_client, send, upload
from benchmarks.null_ends import TOPIC
from benchmarks.null_stage import MIB, Stage, null_ends, stage
from lfsproxy import heap
from lfsproxy.devstack.ports import HOST
from tests.integration.frames import batch, lfs, produce, records

ROUNDS = 200
SECONDS = 2 * heap.SECONDS + 1
"""Within which the proxy has given back what it does not need any more."""
ANSWER = b"""\
<AssumeRoleWithWebIdentityResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/">
  <AssumeRoleWithWebIdentityResult><Credentials>
    <AccessKeyId>id</AccessKeyId><SecretAccessKey>secret</SecretAccessKey>
    <SessionToken>token</SessionToken><Expiration>2099-01-01T00:00:00Z</Expiration>
  </Credentials></AssumeRoleWithWebIdentityResult>
</AssumeRoleWithWebIdentityResponse>"""


class Others(BaseHTTPRequestHandler):
    """AWS STS, and a collector of traces that reads no answer."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Type", "text/xml")
        self.send_header("Content-Length", str(len(ANSWER)))
        self.end_headers()
        self.wfile.write(ANSWER)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing is said of requests."""


@contextmanager
def others() -> Iterator[str]:
    """The URL of that server."""
    server = ThreadingHTTPServer((HOST, 0), Others)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://{HOST}:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


def cases(url: str, token: str) -> Iterator[tuple[str, Mapping[str, str]]]:
    """What is asked for, each with all before it; the settings and variables for that."""
    settings: dict[str, str] = {}
    yield "nothing", settings
    settings |= {"LFS_S3_CA": certifi.where()}
    yield "TLS", settings
    settings |= {
        "AWS_ACCESS_KEY_ID": "",
        "AWS_SECRET_ACCESS_KEY": "",
        "AWS_ROLE_ARN": "arn:aws:iam::123456789012:role/lfsproxy",
        "AWS_WEB_IDENTITY_TOKEN_FILE": token,
        "AWS_ENDPOINT_URL_STS": url,
    }
    yield "and a role's credentials", settings
    settings |= {"OTEL_EXPORTER_OTLP_ENDPOINT": url}
    yield "and traces", settings


def work(stage: Stage) -> None:
    """Some of all that it does."""
    request = produce(TOPIC, batch(records(lfs(bytes(65536)))))
    with kafka_client(stage) as client:
        for _ in range(ROUNDS):
            upload(stage.proxy.http_port, 1024, lambda: iter([bytes(1024)]))
            send(client, iter([request]))
    upload(stage.proxy.http_port, 8 * MIB, lambda: iter([bytes(8 * MIB)]))
    time.sleep(SECONDS)


def main() -> None:
    """Print a row for each case, in MiB of resident memory (VmRSS)."""
    print("| in use | idle | after some work |\n|---|---:|---:|")
    with tempfile.NamedTemporaryFile("w") as token, null_ends() as ends, others() as url:
        token.write("token")
        token.flush()
        for name, settings in cases(url, token.name):
            with stage({**ends, **settings}) as started:
                idle = started.proxy.memory
                work(started)
                print(f"| {name} | {idle / MIB:.0f} MiB | {started.proxy.memory / MIB:.0f} MiB |", flush=True)


if __name__ == "__main__":
    main()
