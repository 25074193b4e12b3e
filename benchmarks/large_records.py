"""Sends records of about 1 GB and 1.5 GiB through the Kafka door, and reads their blobs back.

    python -m benchmarks.large_records [--bytes 999999000] [--mebibytes 1536]

The first by librdkafka, which allows no more; the second in a frame made while it is sent. Prints seconds and
rates, the proxy's peak resident memory (VmHWM), and what its files on disk grew by.
"""

from __future__ import annotations

import argparse

from benchmarks.stack import MIB, s3_client, servers
from tests.integration.large import check_blob, send, with_a_generator, with_librdkafka


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--bytes", type=int, default=999_999_000, help="of the record by librdkafka")
    options.add_argument("--mebibytes", type=int, default=1536, help="of the record from a generator")
    chosen = options.parse_args()
    with servers() as running:
        print(f"idle: {running.proxy.memory / 1e6:.0f} MB")
        for how, size in (
            (with_librdkafka, chosen.bytes),
            (with_a_generator, chosen.mebibytes * MIB),
        ):
            topic = how.__name__.replace("_", "-")
            running.kafka.create_topic(topic)
            sent = send(how, running.proxy, topic, size)
            check_blob(running.kafka.bootstrap, s3_client(running.s3), topic, size)
            rate = size / 1e6 / sent.seconds
            print(
                f"{how.__name__}: {size:,} bytes in {sent.seconds:.1f} s, {rate:.0f} MB/s, blob verified, "
                f"peak of the proxy {sent.peak / 1e6:.0f} MB, {sent.on_disk} bytes on its disk",
                flush=True,
            )


if __name__ == "__main__":
    main()
