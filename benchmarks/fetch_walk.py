"""Measures what a look into fetched batches costs: the search, the walk over records, and the writing anew.

    python -m benchmarks.fetch_walk [--rounds N]

One process, no network, in seconds of processor time; the best of N rounds. Beside each time stands what
was held at most (by tracemalloc, in a round of its own; the C libraries' own buffers are not in it).
"""

from __future__ import annotations

import argparse
import time
import tracemalloc
from collections.abc import Callable
from functools import partial

from crc32c import crc32c

from lfsproxy.envelope import Envelope
from lfsproxy.wire.batch import GZIP, LZ4, NONE, SNAPPY, ZSTD, BatchHeader
from lfsproxy.wire.hydrate import NewValue, Rewrite
from lfsproxy.wire.rewrite import BatchWriter, encode_record
from lfsproxy.wire.walk import FetchedBatch, batches, may_have_envelope, records_of

CODECS = {"none": NONE, "gzip": GZIP, "snappy": SNAPPY, "lz4": LZ4, "zstd": ZSTD}
KEY = "lfs/default/topic/0/1-6f1de2c5-8a4b-4f0c-9d59-35e9a4c1f0aa.bin"
ENVELOPE = Envelope("kafscale", KEY, "text/plain", 5, "sha256", "0" * 64).to_bytes()
TEXT = b"a plain value of an ordinary record, in words that repeat as words do; "


def batch_of(codec: int, values: list[bytes]) -> FetchedBatch:
    """One batch with a record for each value."""
    header = BatchHeader(0, 0, attributes=codec, last_offset_delta=len(values) - 1, count=len(values))
    writer = BatchWriter(header)
    for number, value in enumerate(values):
        writer.keep(encode_record(0, 0, number, b"key-%d" % number, value, []))
    (batch,) = batches(b"".join(writer.finish()))
    return batch


def rewrite_of(batch: FetchedBatch, length: int = 5) -> Rewrite:
    """With a blob in place of each envelope."""
    places = list(records_of(batch))
    crc = crc32c(bytes(length))
    values = [NewValue(place, length, crc) for place in places if place.candidate]
    return Rewrite(batch, places[0], places[-1], values)


def write(rewrite: Rewrite) -> None:
    """Take all pieces, and drop them."""
    for _ in rewrite.pieces():
        pass


def walk(batch: FetchedBatch) -> None:
    """Visit all records, and keep none."""
    for _ in records_of(batch):
        pass


def measure(rounds: int, work: Callable[[], object]) -> tuple[float, float]:
    """Seconds of processor time, and MB that Python held at most."""
    times = []
    for _ in range(rounds):
        start = time.process_time()
        work()
        times.append(time.process_time() - start)
    tracemalloc.start()
    work()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return min(times), peak / 1e6


def row(what: str, size: int, seconds: float, peak: float) -> None:
    """One line of the table."""
    print(
        f"| {what} | {size / 1e6:.1f} MB | {seconds * 1000:.1f} ms | {size / 1e6 / seconds:.0f} MB/s "
        f"| {peak:.1f} MB |",
        flush=True,
    )


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--rounds", type=int, default=3)
    rounds = options.parse_args().rounds
    print("| what | uncompressed | time | rate | held |\n|---|---|---|---|---|")
    plain = [TEXT * 14 for _ in range(16_000)]
    for name, codec in CODECS.items():
        batch = batch_of(codec, plain)
        size = sum(map(len, plain))
        row(f"search, {name}, no envelope", size, *measure(rounds, partial(may_have_envelope, batch)))
    for name, codec in CODECS.items():
        batch = batch_of(codec, [*plain, ENVELOPE])
        row(f"walk, {name}, one envelope in 16,001", size, *measure(rounds, partial(walk, batch)))
        rewrite = rewrite_of(batch)
        row(f"seal, {name}, the same", size, *measure(rounds, rewrite.seal))
        row(f"write, {name}, the same", size, *measure(rounds, partial(write, rewrite)))
    for count in (10_000, 100_000):
        batch = batch_of(ZSTD, [ENVELOPE] * count)
        size = count * len(ENVELOPE)
        row(f"walk, zstd, {count:,} envelopes", size, *measure(rounds, partial(walk, batch)))
        rewrite = rewrite_of(batch)
        row(f"seal, zstd, {count:,} envelopes", size, *measure(rounds, rewrite.seal))
        row(f"write, zstd, {count:,} envelopes", size, *measure(rounds, partial(write, rewrite)))
    batch = batch_of(ZSTD, [bytes(10**9), ENVELOPE])
    row("search, zstd, 1 GB", 10**9, *measure(1, partial(may_have_envelope, batch)))
    row("walk, zstd, 1 GB and an envelope", 10**9, *measure(1, partial(walk, batch)))
    rewrite = rewrite_of(batch)
    row("seal, zstd, the same", 10**9, *measure(1, rewrite.seal))
    row("write, zstd, the same", 10**9, *measure(1, partial(write, rewrite)))


if __name__ == "__main__":
    main()
