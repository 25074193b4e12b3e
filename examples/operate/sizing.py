"""How much memory one replica of LFS Proxy needs at most, in MiB: python sizing.py [NAME=VALUE ...]"""

import sys

MIB = 1024 * 1024

settings = {
    "upload_memory": 128 * MIB,
    "s3_part_size": 8 * MIB,
    "max_passthrough_size": 16 * MIB,
    "workers": 1,
    "kafka_connections": 100,
    "http_uploads": 100,
}


def most_memory(
    upload_memory: int,
    s3_part_size: int,
    max_passthrough_size: int,
    workers: int,
    kafka_connections: int,
    http_uploads: int,
) -> int:
    """Bytes. The names are those of the settings; the last two are how many there are at once."""
    held = s3_part_size + max_passthrough_size
    history = max(8 * MIB, max_passthrough_size)
    base = 96 * MIB
    parent = 64 * MIB if workers > 1 else 0
    inflating = held + max_passthrough_size + 128 * MIB
    searched = 2 * history
    streamed = upload_memory // workers // held * history
    looking_up = 2 * 3 * (max_passthrough_size + MIB)
    decoding = 60 * MIB
    buffers = kafka_connections * 6 * MIB + http_uploads * MIB // 4
    each = base + inflating + searched + streamed + looking_up + decoding
    return parent + workers * each + upload_memory + buffers


if __name__ == "__main__":
    for given in sys.argv[1:]:
        name, _, value = given.partition("=")
        settings[name] = int(value)
    print(-(-most_memory(**settings) // MIB), "MiB")
