"""How much memory one replica of LFS Proxy needs at most: python sizing.py [NAME=VALUE ...]

Names are those of the settings, in lower case and without LFS_, and the two that no setting has. Sizes may
have units: upload_memory=256MiB.
"""

import re
import sys

MIB = 1024 * 1024
UNITS = {"": 1, "k": 1024, "m": MIB, "g": 1024 * MIB}

inputs = {
    "upload_memory": 128 * MIB,
    "s3_part_size": 8 * MIB,
    "max_passthrough_size": 16 * MIB,
    "max_lookups": 2,
    "workers": 1,
    "kafka_connections": 100,  # of all workers, at once
    "http_uploads": 100,  # of all workers, at once
}
above_zero = {"s3_part_size", "max_passthrough_size", "max_lookups", "workers"}


def terms(
    upload_memory: int,
    s3_part_size: int,
    max_passthrough_size: int,
    max_lookups: int,
    workers: int,
    kafka_connections: int,
    http_uploads: int,
) -> dict[str, int]:
    """What one replica needs at most, in bytes, by what for."""
    held = s3_part_size + max_passthrough_size
    history = max(8 * MIB, max_passthrough_size)
    return {
        "the interpreter and its libraries": workers * 112 * MIB,
        "the parent of the workers": 52 * MIB if workers > 1 else 0,
        "uploads (upload_memory)": upload_memory,
        "one large compressed batch": workers * (held + max_passthrough_size + 128 * MIB),
        "batches that are searched": workers * 2 * history,
        "batches that are streamed": workers * (upload_memory // workers // held * history),
        "looking up records": workers * max_lookups * 3 * (max_passthrough_size + MIB),
        "decoding a broker's answer": workers * 60 * MIB,
        "Kafka connections, 6 MiB each": kafka_connections * 6 * MIB,
        "HTTP uploads, 256 KiB each": http_uploads * MIB // 4,
    }


def read(given: list[str]) -> dict[str, int]:
    """The inputs with what was given. Ends the program where that cannot be read."""
    found = dict(inputs)
    for each in given:
        name, _, text = each.partition("=")
        value = re.fullmatch(r"(\d+) *([kmg]?)(?:ib)?", text.lower())
        if name not in inputs or not value or (name in above_zero and not int(value[1])):
            sys.exit(f"{each}: not understood. NAME=VALUE, where NAME is one of {', '.join(inputs)}")
        found[name] = int(value[1]) * UNITS[value[2]]
    return found


if __name__ == "__main__":
    parts = terms(**read(sys.argv[1:]))
    for what, size in parts.items():
        if size:
            print(f"{-(-size // MIB):7} MiB  {what}")
    print(f"{-(-sum(parts.values()) // MIB):7} MiB  one replica at most")
