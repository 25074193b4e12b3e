"""Hostile input, case by case: what is sent, and what the proxy is to do about it.

``test_hostile`` holds the running process to it; ``benchmarks/hostile_table.py`` prints the table of
docs/hostile-input.md. A case runs in a thread of its own while an ordinary client goes on producing.
"""

from __future__ import annotations

import contextlib
import random
import ssl
import struct
import threading
import zlib
from collections.abc import Callable, Iterator

from tests.integration import frames
from tests.integration.frames import MIB, LargeRecord, batch, frame, head, lfs, produce, records
from tests.integration.hostile import EXPANDED, PARTITIONS, Case, Scene
from tests.integration.raw import RawClient
from tests.wire.helpers import Record, raw_record, varint


# The cases
def _produce_v9(topics: bytes) -> bytes:
    """A Produce request of version 9 up to its topics, which are as given."""
    return frame(head(0, 9) + b"\0" + b"\0" + struct.pack(">hi", -1, 30000) + topics)


def _tls(scene: Scene) -> str:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with scene.connect() as client, contextlib.suppress(ConnectionError):
        try:
            context.wrap_socket(client.socket)
        except (ssl.SSLError, OSError):
            return "closed"
    return "a handshake"


def _stalled(scene: Scene) -> str:
    """Ten half frames hold all memory of large requests; another client then needs some of it."""
    value = random.Random(1).randbytes(8 * MIB)
    large = produce(scene.topic, batch(records(lfs(value), lfs(value)), 2))
    with contextlib.ExitStack() as stack:
        *stalled, client = [stack.enter_context(scene.connect()) for _ in range(11)]
        for each in (*stalled, client):
            # Joined to a broker before: the last one is then the last to ask for memory too.
            each.send(frame(head(3, 1) + bytes(4)))
            each.answer()
        for each in stalled:
            each.send(large[: 3 * MIB])
        client.send(large)
        return client.said()


def _length_beyond(scene: Scene) -> str:
    """A request that says it is 2 GiB, of which little comes; the connection may wait, others must not."""
    start = frames.produce_start(scene.topic, 2**31 - 1000)
    with scene.connect() as client, scene.connect() as other:
        client.send(struct.pack(">i", len(start) + 2**31 - 1000) + start + batch(bytes(100_000)))
        other.send(produce(scene.topic, batch(records(lfs(bytes(MIB))))))
        return f"others: {other.said()}"


def _longest_frame(scene: Scene) -> str:
    """A request that is relayed, with the largest length there is; the broker has the say, others go on."""
    with scene.connect() as client, scene.connect() as other:
        client.send(struct.pack(">i", 2**31 - 1) + head(3, 1) + bytes(100_000))
        other.send(produce(scene.topic, batch(records(lfs(bytes(MIB))))))
        return f"others: {other.said()}"


def _no_acks(scene: Scene) -> str:
    """With acks=0 between two requests that are answered: their offsets tell whether it was published."""
    data = batch(records(lfs(b"x" * 1000)))
    offsets = []
    with scene.connect() as client:
        for acks in (-1, 0, -1):
            client.send(produce(scene.topic, data, acks=acks))
            if acks:
                offsets += [verdict.base_offset for verdict in client.verdicts()]
    return "published" if offsets == [offsets[0], offsets[0] + 2] else f"offsets {offsets}"


def _never_reads(scene: Scene) -> str:
    """Asks for the metadata of all topics over and over, and takes no answer."""
    ask = frame(head(3, 1) + struct.pack(">i", -1))
    with scene.connect(receive_buffer=4096) as client:
        client.socket.settimeout(2)
        sent = 0
        with contextlib.suppress(TimeoutError):
            while sent < 64 * MIB:
                sent += client.socket.send(ask * 1000)
        return "not read any more" if sent < 64 * MIB else "all was read"


def _slow_drip(scene: Scene) -> str:
    """A value in segments of three bytes."""
    data = produce(scene.topic, batch(records(lfs(bytes(100_000)))))
    with scene.connect() as client:
        for start in range(0, len(data), 3):
            client.send(data[start : start + 3])
        return client.said()


def _bomb(scene: Scene, name: str) -> str:
    codec, make = frames.BOMBS[name]
    record = LargeRecord(EXPANDED)
    with scene.connect() as client:
        client.send_all(frames.large_produce(scene.topic, lambda: make(record), codec=codec))
        return client.said()


def _windows(scene: Scene) -> str:
    """Ten connections at once whose zstd data wants the largest window that brokers allow, and fills it."""
    area = _zstd_with_window(27, LargeRecord(min(scene.most - MIB, 150 * MIB), headers=()))
    data = produce(scene.topic, batch(area, codec=4))
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(scene.connect()) for _ in range(10)]
        for client in clients:
            client.send(data)
        return ", ".join(sorted({client.said() for client in clients}))


def _zstd_with_window(log: int, record: LargeRecord) -> bytes:
    """A frame that declares a window of 2 ** log bytes, of blocks that repeat one byte (RFC 8878)."""
    out = bytearray(b"\x28\xb5\x2f\xfd" + bytes([0, (log - 10) << 3]))

    def raw(data: bytes, last: bool = False) -> None:
        out.extend((last | len(data) << 3).to_bytes(3, "little") + data)

    raw(record.start)
    for start in range(0, record.size, 128 * 1024):
        size = min(128 * 1024, record.size - start)
        out.extend((1 << 1 | size << 3).to_bytes(3, "little") + b"\0")
    raw(record.end, last=True)
    return bytes(out)


def _old_format(scene: Scene) -> str:
    """A message of format 1 whose value has the header's name; the broker's own answer counts."""
    value = b"LFS_BLOB in a value"
    body = struct.pack(">bbqi", 1, 0, 1000, -1) + struct.pack(">i", len(value)) + value
    message = struct.pack(">qiI", 0, len(body) + 4, zlib.crc32(body)) + body
    data = produce(scene.topic, message)
    with RawClient(scene.broker) as straight, scene.connect() as client:
        straight.send(data)
        client.send(data)
        return "as the broker says" if straight.said() == client.said() else "not as the broker says"


def _noise(scene: Scene) -> str:
    noise = random.Random(7)
    answers = set()
    for _ in range(50):
        with scene.connect() as client:
            client.send(struct.pack(">i", 1000) + b"\x40" + noise.randbytes(2000))
            answers.add("closed" if client.answer() is None else "answered")
    return ", ".join(sorted(answers))


def _keys_and_headers(scene: Scene) -> str:
    large = bytes(15 * MIB)
    data = produce(scene.topic, batch(records((large, b"x", [(b"LFS_BLOB", b""), (b"h", large)]))))
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(scene.connect()) for _ in range(5)]
        sending = [threading.Thread(target=client.send, args=[data]) for client in clients]
        for thread in sending:
            thread.start()
        return ", ".join(sorted({client.said() for client in clients}))


def _tiny_everywhere(scene: Scene) -> str:
    records_of_one = b"".join(raw_record(index, lfs(b"", b"none")) for index in range(25_000))
    return scene.said_of(frames.produce_partitions(scene.topic, [batch(records_of_one, 25_000)] * PARTITIONS))


def _many_headers(scene: Scene) -> str:
    body = b"\0\0\0\1\1" + varint(2**31 - 1) + b"LFS_BLOB"
    return scene.said_of(produce(scene.topic, batch(varint(len(body)) + body)))


def _tiny(count: int) -> bytes:
    one: Record = (None, b"", [(b"LFS_BLOB", b""), (b"h", bytes(100))])
    return b"".join(raw_record(index, one) for index in range(count))


def _at_once(scene: Scene, count: int, data: bytes) -> str:
    """One request on each of ``count`` connections."""
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(scene.connect()) for _ in range(count)]
        for client in clients:
            client.send(data)
            client.socket.settimeout(900)
        return ", ".join(sorted({client.said() for client in clients}))


def _tiny_in_zstd(scene: Scene) -> str:
    count = 19_000_000
    return _at_once(scene, 4, produce(scene.topic, batch(frames.tiny_records(count), count, 4)))


def _dense_in_zstd(scene: Scene) -> str:
    count = 500_000
    return _at_once(scene, 8, produce(scene.topic, batch(frames.dense_records(count), count, 4)))


def _streamed(scene: Scene, area: bytes, count: int = 1, codec: int = 0) -> str:
    """A batch that is too large to be held."""
    return scene.said_of(produce(scene.topic, batch(area, count, codec)))


HUGE = 26 * MIB
ZEROS = bytes(HUGE)


def _every_bomb() -> Iterator[Case]:
    def run(name: str) -> Callable[[Scene], str]:
        return lambda scene: _bomb(scene, name)

    for name in frames.BOMBS:
        yield Case(f"a bomb of 1.1 GB in {name}", "error 10", run(name))


def _closed(name: str, log: str, *data: bytes) -> Case:
    """A case of broken framing that does not need to know the topic."""
    return Case(name, "closed", lambda scene: scene.answer_to(*data), log, 1)


CASES: tuple[Case, ...] = (
    _closed("a frame of length 0", "length is 0", bytes(8)),
    _closed("a frame of length -1", "length is -1", b"\xff" * 8),
    _closed(
        "a client id longer than its frame",
        "a client id of 30000 bytes",
        frame(struct.pack(">hhih", 0, 8, 1, 30000) + bytes(20)),
    ),
    _closed("HTTP to the plain port", "looks like HTTP", b"POST /topics/t HTTP/1.1\r\nHost: x\r\n\r\n"),
    Case("TLS to the plain port", "closed", _tls, "looks like TLS", 1),
    Case("noise, on 50 connections", "closed", _noise, "is closed", 50),
    _closed(
        "an API that was not offered", "API 83 version 0 was not offered", frame(head(83, 0) + bytes(20))
    ),
    _closed("a version that was not offered", "Produce version 13", frame(head(0, 13) + bytes(20))),
    _closed("a count of 2 billion topics", "items where", _produce_v9(b"\xff\xff\xff\xff\x07")),
    _closed("a varint without end around the records", "varint", _produce_v9(b"\xff" * 40)),
    _closed(
        "records longer than their request",
        "records of 2147483647 bytes",
        frame(frames.produce_start("topic", 2**31 - 1) + bytes(1000)),
    ),
    _closed(
        "bytes behind the end of a request",
        "70000 bytes after the end",
        frame(produce("topic", batch(records(lfs(b"x")), magic=1))[4:] + bytes(70_000)),
    ),
    Case("a frame of 2 GiB that never comes", "others: ok", _length_beyond),
    Case("a request that is relayed, of 2^31-1 bytes", "others: ok", _longest_frame),
    Case("ten half frames that stall, all the memory being theirs", "ok", _stalled, "sent too little", 6),
    Case("a value in segments of three bytes", "ok", _slow_drip),
    Case("a client that takes no answers", "not read any more", _never_reads),
    Case(
        "a varint without end in a record",
        "error 87",
        lambda s: s.said_of(produce(s.topic, batch(b"LFS_BLOB" + b"\x80" * 40))),
    ),
    Case("a varint without end in 26 MiB", "error 87", lambda s: _streamed(s, b"\x80" * 40 + ZEROS)),
    Case(
        "a record of 2 GiB in a small batch",
        "error 87",
        lambda s: s.said_of(produce(s.topic, batch(varint(2**31 - 1) + b"LFS_BLOB"))),
    ),
    Case(
        "a count of 2 billion records",
        "error 87",
        lambda s: s.said_of(produce(s.topic, batch(records(lfs(b"x")), 2**31 - 1))),
    ),
    Case(
        "a count of 2 billion records in 26 MiB",
        "error 87",
        lambda s: _streamed(s, records(lfs(ZEROS)), 2**31 - 1),
    ),
    Case(
        "a count of -1 records",
        "error 87",
        lambda s: s.said_of(produce(s.topic, batch(records(lfs(b"x")), -1))),
    ),
    Case(
        "a count that is too small",
        "error 87",
        lambda s: s.said_of(produce(s.topic, batch(records(lfs(b"x"), lfs(b"y")), 1))),
    ),
    Case(
        "a wrong CRC, of 26 MiB",
        "error 2",
        lambda s: s.said_of(produce(s.topic, batch(records(lfs(ZEROS)))[:-1] + b"\x01")),
    ),
    Case(
        "a wrong CRC",
        "error 2",
        lambda s: s.said_of(produce(s.topic, batch(records(lfs(b"x")))[:-1] + b"\x01")),
    ),
    Case("acks=0", "published", _no_acks),
    Case(
        "acks=0 with a wrong checksum",
        "closed",
        lambda s: s.answer_to(produce(s.topic, batch(records(lfs(b"x", b"0" * 64))), acks=0)),
        "the sha256 of the bytes is",
        1,
    ),
    Case("a wrong checksum, of 26 MiB", "error 87", lambda s: _streamed(s, records(lfs(ZEROS, b"0" * 64)))),
    Case(
        "26 MiB that are not to be offloaded", "error 10", lambda s: _streamed(s, records((None, ZEROS, [])))
    ),
    Case("keys and headers of 15 MiB, on five connections", "error 10", _keys_and_headers),
    Case("a count of headers that is too large", "error 87", _many_headers),
    Case("300 tiny records to be offloaded", "ok", lambda s: _streamed(s, _tiny(300), 300)),
    Case("600,000 tiny records to be offloaded, in 24 partitions", "error 10 and error 87", _tiny_everywhere),
    Case("a message of format 1 with the header's name in it", "as the broker says", _old_format),
    *_every_bomb(),
    Case("19 million records in 12 KB of zstd, on four connections", "error 87", _tiny_in_zstd),
    Case("500,000 records in 400 KB of zstd, on eight connections", "ok", _dense_in_zstd),
    Case("windows of 128 MiB in zstd, on ten connections", "ok", _windows),
)
