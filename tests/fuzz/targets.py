"""The readers under test, each as a function from any bytes to what came of them.

A target returns a short outcome, the same for inputs that are alike, and raises nothing but LfsErrors. It
fails where a reader holds, or goes on for, more than its input can justify.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import attrs
from crc32c import crc32c

from lfsproxy.errors import LfsError
from lfsproxy.wire import addresses, list_offsets, sasl, versions
from lfsproxy.wire.answers import ProduceResponse
from lfsproxy.wire.apis import KafkaApi
from lfsproxy.wire.batch import HEADER_SIZE, is_clear, parse_batch_header
from lfsproxy.wire.fetch import MAX_VERSION as FETCH_VERSIONS
from lfsproxy.wire.fetch import parse_fetch_request
from lfsproxy.wire.fetch_answers import FetchAnswer, FetchedPartition, read_fetch_answer
from lfsproxy.wire.fields import Header
from lfsproxy.wire.frames import FrameBytes, FrameEnd, RequestFrames, ResponseFrames
from lfsproxy.wire.hydrate import NewValue, Rewrite
from lfsproxy.wire.marks import lfs_headers, offload_mark
from lfsproxy.wire.produce import MAX_VERSION, ProduceEnd, ProduceReader, RecordsBytes
from lfsproxy.wire.records import BatchEnd, BatchReader, RecordEnd, ValueBytes
from lfsproxy.wire.rewrite import BatchWriter
from lfsproxy.wire.scan import KeptBytes, OffloadEnd, is_clear_inside, scan_batch, segments
from lfsproxy.wire.share_answers import ShareAnswer
from lfsproxy.wire.walk import Limits, batches, may_have_envelope, records_of
from tests.fuzz import seeds
from tests.wire.helpers import CODECS, compressed
from tests.wire.shares import Answer, Endpoint, Partition
from tests.wire.test_captures import exchanges

MOST_DECOMPRESSED = 256 * 1024
MOST_HELD = 64 * 1024
LIMITS: dict[str, Any] = {"max_decompressed": MOST_DECOMPRESSED, "max_held": MOST_HELD}
FETCH_LIMITS = Limits(MOST_DECOMPRESSED, MOST_HELD)


@attrs.frozen
class Target:
    """``seeds`` make inputs that are mostly right; ``run`` reads one."""

    name: str
    seeds: seeds.Seeds
    run: Callable[[bytes], str]


def pull(reader: Any, data: bytes, most_events: int) -> list[Any]:
    """Feed in uneven chunks, and pull every event."""
    found: list[Any] = []
    step = 1 + len(data) % 97
    for start in range(0, len(data), step):
        reader.feed(data[start : start + step])
        while (event := reader.next_event()) is not None:
            found.append(event)
            assert len(found) <= most_events, "a reader that does not end"
    return found


def _frames(reader: RequestFrames | ResponseFrames, data: bytes) -> str:
    found = pull(reader, data, 3 * len(data) + 10)
    body = sum(len(event.data) for event in found if isinstance(event, FrameBytes))
    assert body + reader.buffered <= len(data)
    return f"{min(sum(isinstance(event, FrameEnd) for event in found), 3)} frames"


def _produce(data: bytes) -> str:
    if not data:
        return "empty"
    version, body = data[0] % (MAX_VERSION + 2), data[1:]
    reader = ProduceReader(version, len(body))
    found = pull(reader, body, 3 * len(body) + 10)
    assert sum(len(event.data) for event in found if isinstance(event, RecordsBytes)) <= len(body)
    assert reader.buffered <= len(body)
    return "complete" if found and isinstance(found[-1], ProduceEnd) else "more is needed"


def signed(data: bytes) -> bytes:
    """A batch with the length and the CRC that its bytes need."""
    if len(data) < HEADER_SIZE:
        return data
    return (
        data[:8]
        + struct.pack(">iib", len(data) - 12, -1, 2)
        + struct.pack(">I", crc32c(data[21:]))
        + data[21:]
    )


def _read_batch(data: bytes) -> str:
    reader = BatchReader(len(data), **LIMITS)
    found = pull(reader, data, 3 * MOST_DECOMPRESSED)
    size = sum(len(event.data) for event in found if isinstance(event, ValueBytes))
    assert size <= max(MOST_DECOMPRESSED, len(data))
    marked = sum(lfs_headers(event.headers) is not None for event in found if isinstance(event, RecordEnd))
    if found and isinstance(found[-1], BatchEnd):
        return f"a batch, {min(marked, 2)} marked, crc {found[-1].crc_ok}"
    return "not looked into" if found else "nothing"


def _held_batch(data: bytes) -> str:
    """As lfsproxy.relay.produce.held reads a batch twice and writes it anew; what stays, stays."""
    if is_clear(data):
        return "clear"
    parse_batch_header(data)

    def wanted(length: int, headers: Sequence[Header]) -> bool:
        return lfs_headers(headers) is not None

    clear = is_clear_inside(data, **LIMITS)
    scan = scan_batch(data, wanted, threshold=0, **LIMITS)
    assert not (clear and scan.offload)
    assert scan.decompressed_size <= max(MOST_DECOMPRESSED, len(data))
    writer = BatchWriter(scan.header, xerial=scan.xerial, max_size=2 * MOST_DECOMPRESSED)
    kept = 0
    for segment in segments(data, scan, max_held=MOST_HELD):
        if isinstance(segment, KeptBytes):
            kept += len(segment.data)
            writer.keep(segment.data)
        elif isinstance(segment, OffloadEnd):
            plan = segment.plan
            deltas = plan.attributes, plan.timestamp_delta, plan.offset_delta
            writer.record(*deltas, plan.key, b"{}", offload_mark(plan.headers).published)
    assert kept == scan.kept_size
    if not scan.offload:
        return "nothing marked"
    again = scan_batch(b"".join(map(bytes, writer.finish())), lambda *_: True)
    assert len(scan.offload) <= len(again.offload) <= scan.header.count
    return f"{min(len(scan.offload), 2)} offloaded"


def _fetched(data: bytes) -> str:
    """As a fetched batch is searched, walked and written anew; what stays, stays."""
    found = list(batches(data))
    assert b"".join(bytes(batch.data) for batch in found) == data
    if not found or not found[0].searchable:
        return "not looked into"
    batch = found[0]
    likely = may_have_envelope(batch, FETCH_LIMITS)
    places = list(records_of(batch, FETCH_LIMITS))
    assert sum(place.size for place in places) <= max(MOST_DECOMPRESSED, len(data))
    values = [NewValue(place, 0, 0) for place in places if place.candidate]
    assert likely or not values
    if not places:
        return "no records"
    rewrite = Rewrite(batch, places[0], places[-1], values, FETCH_LIMITS)
    rewrite.seal()
    out = b"".join(bytes(piece) for piece in rewrite.pieces() if not isinstance(piece, NewValue))
    assert len(out) == rewrite.size
    again = list(records_of(next(batches(out))))
    assert [place.offset_delta for place in again] == [place.offset_delta for place in places]
    return f"{min(len(places), 3)} records, {min(len(values), 2)} envelopes"


def _fetch_request(data: bytes) -> str:
    if not data:
        return "empty"
    version = data[0] % (FETCH_VERSIONS + 2)
    request = parse_fetch_request(version, data[1:])
    written = request.to_bytes(version)  # With the tagged fields in their order.
    assert parse_fetch_request(version, written).to_bytes(version) == written
    return f"{min(len(request.topics), 2)} topics, {min(len(request.forgotten), 2)} forgotten"


def _frame_of(version: int, answer: FetchAnswer) -> bytes:
    return b"".join(piece for piece in answer.layout(version, 7) if not isinstance(piece, FetchedPartition))


def _fetch_answer(data: bytes) -> str:
    if not data:
        return "empty"
    version = data[0] % (FETCH_VERSIONS + 2)
    answer = read_fetch_answer(version, data[1:])
    frame = _frame_of(version, answer)
    assert len(frame) <= len(data) + 7
    assert _frame_of(version, read_fetch_answer(version, frame[8:])) == frame
    return f"{min(len(answer.topics), 2)} topics"


def _area(data: bytes, read: Callable[[bytes], str]) -> str:
    """Changed records under a right CRC, compressed as they should be."""
    if not data:
        return "empty"
    codec, xerial = CODECS[data[0] % len(CODECS)]
    count = min(data[0] // len(CODECS), 3) or 2
    head = struct.pack(">hiqqqhii", codec, count - 1, 1000, 2000, 7, 3, 42, count)
    return read(signed(bytes(21) + head + compressed(codec, data[1:], xerial=xerial)))


def _produce_answer(data: bytes) -> str:
    if not data:
        return "empty"
    version = data[0] % (MAX_VERSION + 1)
    answer = ProduceResponse.decode(version, data[1:])
    frame = answer.encode(version, 7)
    again = ProduceResponse.decode(version, frame[8:])
    assert {(each.topic, each.partition, each.error_code) for each in again.partitions} == {
        (each.topic, each.partition, each.error_code) for each in answer.partitions
    }
    return f"{min(len(answer.partitions), 2)} partitions, {min(len(answer.node_endpoints), 2)} endpoints"


def _addresses(api_key: int, data: bytes) -> str:
    if not data:
        return "empty"
    version = data[0] % (versions.APIS[api_key].max_version + 1)
    named = addresses.brokers_named(api_key, version, data[1:])
    frame = addresses.rewrite(api_key, version, 7, data[1:], lambda *_: ("proxy.example", 19093))
    moved = addresses.brokers_named(api_key, version, frame[8:])
    assert moved == dict.fromkeys(named, ("proxy.example", 19093))
    return f"{min(len(named), 3)} brokers"


def _versions(data: bytes) -> str:
    if not data:
        return "empty"
    version = data[0] % 5
    capped = versions.cap_versions(version, 7, data[1:], "librdkafka 2.16.0", (KafkaApi.SASL_HANDSHAKE,))
    versions.cap_versions(version, 7, capped.frame[8:])
    return f"{min(len(capped.broker_ranges), 3)} ranges"


def _small_bodies(data: bytes) -> str:
    """What is read of other bodies, each of them a line or two."""
    if not data:
        return "empty"
    kind, version, body = data[0] % 5, data[0] // 5, data[1:]
    if kind == 0:
        return "software" if versions.client_software(version % 5, body) else "no software"
    if kind == 1:
        return "mechanism" if sasl.handshake_mechanism(body) else "no mechanism"
    if kind == 2:
        return f"{min(len(sasl.decode_handshake(body)[1]), 2)} mechanisms"
    if kind == 3:
        return f"error {min(sasl.decode_authenticate(body, version % 3).error_code, 1)}"
    return "no offset" if list_offsets.decode_answer(1 + version % 7, body) is None else "an offset"


_SHARE_KINDS = [
    (key, version) for key in (KafkaApi.SHARE_FETCH, KafkaApi.SHARE_ACKNOWLEDGE) for version in (1, 2)
]


def _share_answer(data: bytes) -> str:
    """An answer of a share group behind a byte that says which."""
    if len(data) < 2:
        return "empty"
    body = data[1:]
    answer = ShareAnswer(*_SHARE_KINDS[data[0] % len(_SHARE_KINDS)], len(body))
    step = 1 + len(body) % 97
    pieces = [body[start : start + step] for start in range(0, len(body), step)]
    left = b"".join(leaving for piece in pieces for leaving in answer.feed(piece))
    assert len(left) == len(body)
    return "unchanged" if left == body else "blotted out"


def _share_seeds() -> Iterator[bytes]:
    partitions = [Partition(n, 6, b"moved", (2, 9), b"records", [(0, 9, 1)], [(n, b"tag")]) for n in range(3)]
    for endpoints in ([], [Endpoint(2, b"broker-2.example", 9092, b"rack")] * 3):
        answer = Answer([partitions], endpoints, [(1, b"tag")])
        for number, (key, version) in enumerate(_SHARE_KINDS):
            yield bytes([number]) + answer.start(key, version) + answer.end()


def _small_seeds() -> Iterator[bytes]:
    for exchange in exchanges("ApiVersions"):
        yield bytes([5 * exchange.fields["api_version"]]) + exchange.request[1]
    yield b"\1\0\x0dSCRAM-SHA-256"
    yield b"\2" + struct.pack(">hi", 33, 2) + b"\0\x05PLAIN\0\x0dSCRAM-SHA-512"
    yield b"\3" + struct.pack(">hhi", 0, -1, 5) + b"token"
    yield b"\x08" + struct.pack(">hhi", 0, -1, 5) + b"token" + bytes(8)
    yield b"\x0d\0\0\0\0\6token" + bytes(9)
    partition = struct.pack(">ihqq", 0, 0, -1, 42)
    yield b"\4" + struct.pack(">ih5si", 1, 5, b"topic", 1) + partition
    yield b"\x13" + struct.pack(">iih5si", 0, 1, 5, b"topic", 1) + partition + bytes(4)
    yield b"\x22" + bytes(5) + b"\2\6topic\2" + partition + bytes(7)


TARGETS = (
    Target("request-frames", seeds.request_frames, lambda data: _frames(RequestFrames(), data)),
    Target("response-frames", seeds.response_frames, lambda data: _frames(ResponseFrames(), data)),
    Target("produce", lambda: seeds.request_bodies("Produce"), _produce),
    Target("batch", seeds.batches, lambda data: _read_batch(data)),
    Target("batch-right-crc", seeds.batches, lambda data: _read_batch(signed(data))),
    Target("batch-right-codec", seeds.areas, lambda data: _area(data, _read_batch)),
    Target("held-batch", seeds.batches, lambda data: _held_batch(signed(data))),
    Target("held-batch-right-codec", seeds.areas, lambda data: _area(data, _held_batch)),
    Target("fetch-request", seeds.fetch_requests, _fetch_request),
    Target("fetch-answer", seeds.fetch_answers, _fetch_answer),
    Target("fetched-batch", seeds.fetched, lambda data: _fetched(signed(data))),
    Target("fetched-batch-right-codec", seeds.fetched_areas, lambda data: _area(data, _fetched)),
    Target("produce-answer", lambda: seeds.response_bodies("Produce"), _produce_answer),
    Target(
        "metadata",
        lambda: seeds.response_bodies("Metadata"),
        lambda data: _addresses(KafkaApi.METADATA, data),
    ),
    Target(
        "coordinator",
        lambda: seeds.response_bodies("FindCoordinator"),
        lambda data: _addresses(KafkaApi.FIND_COORDINATOR, data),
    ),
    Target(
        "cluster",
        lambda: seeds.response_bodies("DescribeCluster"),
        lambda data: _addresses(KafkaApi.DESCRIBE_CLUSTER, data),
    ),
    Target("share-answer", _share_seeds, _share_answer),
    Target("versions", lambda: seeds.response_bodies("ApiVersions"), _versions),
    Target("small-bodies", _small_seeds, _small_bodies),
)


def outcome(target: Target, data: bytes) -> str:
    """What came of it, errors by their kind. Raises what must not come out."""
    try:
        return target.run(data)
    except LfsError as error:
        return f"{type(error).__name__}: {_words(str(error))}"


def _words(text: str) -> str:
    """A message without what differs between inputs that are alike: numbers, and what others say in it."""
    return re.sub(r"-?\d+", "#", re.split(r": |'", text)[0])
