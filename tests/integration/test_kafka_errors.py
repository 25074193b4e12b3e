"""What real producers say when an LFS record cannot be offloaded, and that nothing of it stays anywhere.

docs/kafka.md has these names in a table. aiokafka cannot be told not to send again what is retriable, so it
is left out where S3 is in trouble.
"""

from __future__ import annotations

import hashlib
import socket
from collections.abc import Callable, Mapping, Sequence
from functools import partial

import attrs

from lfsproxy.devstack import S3Server
from lfsproxy.devstack.ports import HOST
from lfsproxy.envelope import parse_envelope
from lfsproxy.wire.answers import PartitionAnswer, ProduceResponse
from lfsproxy.wire.produce import PartitionRecords, TopicRecords
from tests.integration.clients import java
from tests.integration.clients.python import aiokafka, kafka_python, librdkafka
from tests.integration.clients.records import Mode, Outcome, Record, lfs
from tests.integration.http_door import keys_below
from tests.integration.kafka_door import KafkaDoorTestCase, at_once, wait_for
from tests.integration.proxy import own_proxy, shared_proxy
from tests.integration.stack import BUCKET, Stack, in_thread, own_s3, stack
from tests.relay import records as raw

MIB = 1024 * 1024
LIMITS = {
    "LFS_MAX_UPLOAD_SIZE": "1000000",
    "LFS_MAX_PASSTHROUGH_SIZE": str(MIB),
    "LFS_MAX_DECOMPRESSED_SIZE": str(4 * MIB),
    "LFS_S3_PART_SIZE": str(5 * MIB),
    "LFS_UPLOAD_MEMORY": str(12 * MIB),
}
PLAIN = Record(b"plain")


@attrs.frozen
class Client:
    """A client that does not send again: how to produce by it, and what it calls each Kafka error.

    ``batch_error`` is what it says of the others in a batch with one invalid record.
    """

    produce: Callable[..., list[Outcome]]
    names: Mapping[int, str]
    tells_why: bool
    batch_error: str = ""


CLIENTS = {
    "librdkafka": Client(
        partial(librdkafka, retries=0),
        {10: "MSG_SIZE_TOO_LARGE", 56: "KAFKA_STORAGE_ERROR", 87: "INVALID_RECORD", -1: "UNKNOWN"},
        tells_why=False,
        batch_error="INVALID_RECORD",
    ),
    "java": Client(
        partial(java.produce, retries=0),
        {
            10: "RecordTooLargeException",
            56: "KafkaStorageException",
            87: "InvalidRecordException",
            -1: "UnknownServerException",
        },
        tells_why=True,
        batch_error="KafkaException",
    ),
    "kafka_python": Client(
        partial(kafka_python, retries=0),
        {
            10: "MessageSizeTooLargeError",
            56: "KafkaStorageError",
            87: "InvalidRecordError",
            -1: "UnknownError",
        },
        tells_why=True,
        batch_error="KafkaError",
    ),
    "aiokafka": Client(
        aiokafka,
        {10: "MessageSizeTooLargeError", 87: "UnknownError", -1: "UnknownError"},
        tells_why=False,
        batch_error="UnknownError",
    ),
}


@attrs.frozen
class Fault:
    """Records that are refused: by which code, at which record, and why, as far as a client is told."""

    records: Sequence[Record]
    code: int
    why: str
    bad_record: int = 0
    mode: Mode = Mode()


X = b"x" * 10
FAULTS = (
    Fault(
        [PLAIN, lfs(X, checksum=b"0" * 64), PLAIN],
        87,
        f"the sha256 of the bytes is {hashlib.sha256(X).hexdigest()}",
        1,
    ),
    Fault([lfs(X, checksum=b"zz")], 87, "a sha256 checksum is 64 hex digits, got 'zz'"),
    Fault([PLAIN, lfs(X, ("LFS_BLOB_ALG", b"sha1"))], 87, "unknown checksum algorithm 'sha1'", 1),
    Fault([lfs(b"x" * 1_000_001)], 10, "LFS_MAX_UPLOAD_SIZE allows"),
    Fault([lfs(b"x" * 8 * MIB)], 10, "LFS_MAX_UPLOAD_SIZE allows"),
    Fault([Record(b"x" * 1_200_000)], 10, "larger than LFS_MAX_PASSTHROUGH_SIZE"),
    Fault([lfs(bytes(6 * MIB))], 10, "LFS_MAX_DECOMPRESSED_SIZE", mode=Mode("zstd")),
)


class FaultTestCase(KafkaDoorTestCase):
    async def client(self, name: str) -> Client:
        if name == "java":
            await in_thread(java.require_compiler)
        return CLIENTS[name]

    def check(self, client: Client, topic: str, fault: Fault) -> None:
        """Produce the records and see them refused. Blocks."""
        outcomes = client.produce(self.proxy.bootstrap, topic, fault.records, fault.mode)
        for number, outcome in enumerate(outcomes):
            is_bad = fault.code != 87 or number == fault.bad_record
            self.assertEqual(
                (outcome.offset, outcome.error),
                (-1, client.names[fault.code] if is_bad else client.batch_error),
                (fault.why, number, outcome),
            )
            if is_bad and client.tells_why:
                self.assertIn(fault.why, outcome.message)


class RefusalTests(FaultTestCase):
    """Records that no client should have sent."""

    async def setUp(self) -> None:  # type: ignore[override]
        self.servers = await stack()
        self.proxy = await shared_proxy(**LIMITS)

    async def check_all(self, *names: str) -> None:
        topic = await self.servers.new_topic("refused")
        for name in names:
            client = await self.client(name)
            for fault in FAULTS:
                await in_thread(self.check, client, topic, fault)
        self.assertEqual(await in_thread(self.values, topic), [])
        await self.assert_nothing_left(topic)

    async def test_clients_for_python_name_the_error(self) -> None:
        await self.check_all("librdkafka", "kafka_python", "aiokafka")

    async def test_java_names_the_error(self) -> None:
        await self.check_all("java")

    async def test_java_splits_a_batch_that_is_too_large(self) -> None:
        await in_thread(java.require_compiler)
        topic = await self.servers.new_topic("split")
        records = [lfs(X), *[Record(letter * 400_000) for letter in (b"a", b"b", b"c")]]
        outcomes = await in_thread(
            java.produce, self.proxy.bootstrap, topic, records, Mode(idempotent=True), batch_size=500_000
        )
        self.assertEqual([outcome.error for outcome in outcomes], [""] * 4)
        first, *others = await in_thread(self.values, topic)
        self.assertEqual(others, [record.value for record in records[1:]])
        envelope = parse_envelope(first or b"")
        self.assertIsNotNone(envelope)
        if envelope is not None:
            await in_thread(
                wait_for,
                lambda: keys_below(self.servers, topic),
                lambda keys: keys == [envelope.s3_key],
            )


class MalformedTests(KafkaDoorTestCase):
    """Bytes that no client library sends, over a bare socket."""

    async def setUp(self) -> None:  # type: ignore[override]
        self.servers = await stack()
        self.proxy = await shared_proxy(**LIMITS)
        self.topic = await self.servers.new_topic("malformed")

    def exchange(self, frame: bytes, address: tuple[str, int] | None = None) -> bytes:
        """Send bytes to the broker's port of the proxy, or to ``address``. Blocks.

        Returns the answer's frame, b"" where the connection is closed.
        """
        with socket.create_connection(address or (HOST, self.proxy.node_port), timeout=20) as connection:
            connection.sendall(frame)
            file = connection.makefile("rb")
            try:
                return file.read(int.from_bytes(file.read(4)))
            except ConnectionResetError:
                return b""

    def produce(self, batch: bytes) -> PartitionAnswer:
        answer = self.exchange(raw.produce(1, batch, topic=self.topic))
        return ProduceResponse.decode(9, answer[4:]).partitions[0]

    async def assert_refused(self, batch: bytes, code: int) -> None:
        answer = await in_thread(self.produce, batch)
        self.assertEqual((answer.error_code, answer.base_offset), (code, -1), answer)
        self.assertEqual(await in_thread(self.values, self.topic), [])
        await self.assert_nothing_left(self.topic)

    async def test_a_wrong_crc_is_a_corrupt_message(self) -> None:
        batch = bytearray(raw.batch(raw.lfs(b"blob" * 1000)))
        batch[-1] ^= 1
        await self.assert_refused(bytes(batch), 2)

    async def test_records_that_do_not_decode_are_invalid(self) -> None:
        await self.assert_refused(raw.batch(raw.lfs(b"blob"), area=b"LFS_BLOB\xff\xff\xff"), 87)

    async def test_compressed_records_that_do_not_decode_are_invalid(self) -> None:
        await self.assert_refused(raw.batch(raw.lfs(b"blob"), codec=4, area=b"LFS_BLOB no zstd"), 87)

    async def test_a_partition_named_twice_is_refused_of_which_kafka_would_keep_the_last_only(self) -> None:
        entries = [PartitionRecords(0, [raw.batch(raw.lfs(value))]) for value in (b"one", b"two")]
        frame = raw.produce_topics(1, [TopicRecords(self.topic, entries)])
        host, _, port = self.servers.kafka.bootstrap.rpartition(":")
        for address, codes, values in (
            ((HOST, self.proxy.node_port), [42], []),
            ((host, int(port)), [0], [b"two"]),
        ):
            answer = await in_thread(self.exchange, frame, address)
            verdicts = ProduceResponse.decode(9, answer[4:]).partitions
            self.assertEqual([verdict.error_code for verdict in verdicts], codes)
            self.assertEqual(await in_thread(self.values, self.topic), values)
        await self.assert_nothing_left(self.topic)

    async def test_broken_framing_closes_the_connection_and_is_counted(self) -> None:
        frame = raw.produce(1, raw.batch(raw.lfs(b"blob")), topic=self.topic)
        name = self.topic.encode()
        # The topic's name is as long as the rest of the frame and more.
        broken = frame.replace(bytes([len(name) + 1]) + name, b"\xff\xff\xff\x01" + name, 1)
        self.assertEqual(await in_thread(self.exchange, broken), b"")
        metrics = await in_thread(self.proxy.metrics)
        self.assertEqual(metrics['lfsproxy_kafka_closed_total{reason="broken-framing"}'], 1)
        self.assertIn("is closed: ", self.proxy.log)
        self.assertEqual(await in_thread(self.values, self.topic), [])
        await self.assert_nothing_left(self.topic)


class StoreTroubleTests(FaultTestCase):
    """An S3 server that is stopped, frozen, or says no."""

    s3: S3Server

    async def setUp(self) -> None:  # type: ignore[override]
        kafka = (await stack()).kafka
        self.s3 = await own_s3(self)
        self.servers = Stack(kafka, self.s3, BUCKET)
        self.proxy = await own_proxy(self, self.servers, LFS_S3_RETRY_TIMEOUT="1")
        self.clients = [await self.client(name) for name in ("librdkafka", "kafka_python", "java")]
        self.topic = await self.servers.new_topic("trouble")

    async def check_clients(self, code: int, why: str) -> None:
        fault = Fault([lfs(X)], code, why)
        await at_once(*[partial(self.check, client, self.topic, fault) for client in self.clients])
        self.assertEqual(await in_thread(self.values, self.topic), [])

    async def test_an_s3_server_that_is_down_or_frozen_is_a_storage_error(self) -> None:
        await in_thread(self.s3.pause)
        await self.check_clients(56, "does not answer in time")
        await in_thread(self.s3.resume)
        await self.assert_nothing_left(self.topic)
        await in_thread(self.s3.kill)
        await self.check_clients(56, "connection refused")
        await in_thread(self.s3.start)
        await self.assert_nothing_left(self.topic)

    async def test_an_s3_server_that_says_no_is_an_unknown_server_error(self) -> None:
        bucket = self.servers.s3_client()
        # At its start the proxy finds out by an object of its own what the store can do.
        await in_thread(
            wait_for, lambda: bucket.list_objects_v2(Bucket=BUCKET)["KeyCount"], lambda count: count == 0
        )
        await in_thread(bucket.delete_bucket, Bucket=BUCKET)
        await self.check_clients(-1, "NoSuchBucket")
        await in_thread(self.s3.stop)
        self.s3.secret_key = "another-secret"
        await in_thread(self.s3.start)
        await self.check_clients(-1, "SignatureDoesNotMatch")
        await in_thread(self.s3.create_bucket, BUCKET)
        await self.assert_nothing_left(self.topic)

    async def test_a_record_is_delivered_once_when_s3_is_back(self) -> None:
        await in_thread(self.s3.stop)
        sending: list[Callable[[], list[Outcome]]] = [
            partial(each, self.proxy.bootstrap, self.topic, [lfs(name)], Mode(idempotent=True))
            for each, name in (
                (librdkafka, b"librdkafka"),
                (java.produce, b"java"),
                (kafka_python, b"python"),
            )
        ]

        def refusals() -> int:
            return self.proxy.log.count("refused a batch")

        def bring_back() -> list[Outcome]:
            wait_for(refusals, lambda count: count >= 2 * len(sending))
            self.s3.start()
            return []

        outcomes = await at_once(*sending, bring_back)
        self.assertEqual([outcome.error for each in outcomes for outcome in each], [""] * 3)
        values = await in_thread(self.values, self.topic)
        self.assertEqual(len(values), 3)
        keys = [envelope.s3_key for value in values if (envelope := parse_envelope(value or b""))]
        await in_thread(
            wait_for, lambda: sorted(keys_below(self.servers, self.topic)), lambda left: left == sorted(keys)
        )
