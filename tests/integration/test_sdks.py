"""Every SDK reads what every SDK has published, and names the same faults by the same names.

Produced by each language's Kafka client and by its upload helper, through the proxy, and read by every other,
whole and as a stream: in each algorithm at the sizes around one part, and 64 MiB in one algorithm.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import attrs
from twisted.trial.unittest import TestCase

from lfsproxy.client import checksum_of
from lfsproxy.envelope import Envelope
from tests.integration.clients.python import read_topic
from tests.integration.frames import MIB
from tests.integration.kafka_door import at_once
from tests.integration.proxy import shared_proxy
from tests.integration.sdk_blobs import payload, put_large
from tests.integration.sdks import SDKS, Driver, Sdk, built, new_driver, shared_driver
from tests.integration.stack import Stack, in_thread, stack

PART = 5 * MIB
SIZES = (0, 1, PART - 1, PART, PART + 1)
LARGE = 64 * MIB
ALGORITHMS = ("sha256", "crc32", "md5")
DOORS = ("produce", "upload")
BOTH = ("read", "stream")
CONTENT_TYPE = "image/png"

MEMORY_BLOB = 256 * MIB
MEMORY_LIMIT = 150 * 1000 * 1000


@attrs.frozen
class Sent:
    """One payload to publish. ``expected``: the Kafka client names the checksum in LFS_BLOB."""

    size: int
    algorithm: str
    expected: bool = True


def sent_by(door: str) -> list[Sent]:
    """What one language publishes through one door: 64 MiB with another algorithm at each."""
    small = [Sent(size, algorithm, expected=size != PART) for algorithm in ALGORITHMS for size in SIZES]
    return [*small, Sent(LARGE, "sha256" if door == "produce" else "crc32")]


class SdkTestCase(TestCase):
    """Tests with one driver process per language, in front of the shared servers and proxy."""

    timeout = 900
    servers: Stack

    async def setUp(self) -> None:  # type: ignore[override]
        self.servers = await stack()

    async def drivers(self, **options: Any) -> list[Driver]:
        """The drivers of all SDKs that are here, built and configured."""
        here = [sdk for sdk in SDKS if sdk.is_here]
        return [await in_thread(shared_driver, sdk, self.servers, **options) for sdk in here]

    async def stored(self, name: str, data: bytes, **fields: Any) -> bytes:
        """Put an object, and return an envelope for it; ``fields`` replace the envelope's."""
        key = f"lfs/sdks/{name}"
        await in_thread(self.servers.s3_client().put_object, Bucket=self.servers.bucket, Key=key, Body=data)
        given = {
            "s3_bucket": self.servers.bucket,
            "s3_key": key,
            "content_type": CONTENT_TYPE,
            "content_length": len(data),
            "checksum_algo": "sha256",
            "checksum": hashlib.sha256(data).hexdigest(),
        }
        return Envelope(**{**given, **fields}).to_bytes()

    async def assert_all_answer(
        self,
        value: bytes | None,
        wanted: dict[str, Any],
        ops: Sequence[str] = ("read", "stream"),
        **options: Any,
    ) -> None:
        """Every SDK answers to this value what is wanted; of other fields nothing is said."""
        drivers = await self.drivers(**options)
        for op in ops:
            answers = await at_once(*(partial(driver.read, op, value) for driver in drivers))
            for driver, answer in zip(drivers, answers, strict=True):
                seen = {name: answer.get(name) for name in wanted}
                self.assertEqual(seen, wanted, f"{driver.sdk.name}, {op}: {answer}")


class HereTests(TestCase):
    """One test per language, so that one that is not tested is told by name."""

    timeout = 900


def builds(sdk: Sdk) -> Callable[[HereTests], Coroutine[Any, Any, None]]:
    async def test(self: HereTests) -> None:
        sdk.require()
        await in_thread(built, sdk)

    return test


class MatrixTests(SdkTestCase):
    """One test per language and door: it publishes, all read."""

    def new_file(self) -> Path:
        return Path(self.mktemp()).absolute()

    async def publish(self, driver: Driver, door: str, topic: str, sent: Sent, file: Path) -> None:
        proxy = await shared_proxy()
        fields: dict[str, Any] = {
            "topic": topic,
            "file": str(file),
            "algorithm": sent.algorithm,
            "content_type": CONTENT_TYPE,
        }
        if door == "produce":
            fields |= {"bootstrap": proxy.bootstrap, "expected": sent.expected}
        else:
            fields |= {"url": proxy.http}
        answer = await in_thread(driver.ask, door, **fields)
        self.assertEqual(answer["outcome"], "ok", f"{driver.sdk.name}, {sent}: {answer}")

    async def check(self, sdk: Sdk, door: str) -> None:
        driver = await in_thread(shared_driver, sdk, self.servers)
        topic = await self.servers.new_topic(f"sdk-{sdk.name}-{door}")
        all_sent = sent_by(door)
        digests: dict[int, str] = {}
        file = self.new_file()
        for sent in all_sent:
            data = payload(sent.size)
            digests[sent.size] = hashlib.sha256(data).hexdigest()
            file.write_bytes(data)
            await self.publish(driver, door, topic, sent, file)
        records = await in_thread(read_topic, self.servers.kafka.bootstrap, topic)
        self.assertEqual(len(records), len(all_sent))
        for sent, record in zip(all_sent, records, strict=True):
            assert record.value is not None
            self.check_envelope(record.value, sent)
            wanted = {"outcome": "blob", "length": sent.size, "sha256": digests[sent.size]}
            await self.assert_all_answer(record.value, wanted, ops_for(sent, door))

    def check_envelope(self, value: bytes, sent: Sent) -> None:
        fields = json.loads(value)
        self.assertEqual(fields["content_length"], sent.size)
        self.assertEqual(fields["content_type"], CONTENT_TYPE)
        self.assertEqual(fields["checksum_algo"], sent.algorithm)
        self.assertEqual(fields["checksum"], checksum_of(payload(sent.size), sent.algorithm))


def ops_for(sent: Sent, door: str) -> Sequence[str]:
    """Both ways to read, except for the large ones: of one door whole, of the other as a stream."""
    if sent.size < LARGE:
        return BOTH
    return ("read",) if door == "produce" else ("stream",)


def published(sdk: Sdk, door: str) -> Callable[[MatrixTests], Coroutine[Any, Any, None]]:
    async def test(self: MatrixTests) -> None:
        sdk.require()
        await self.check(sdk, door)

    return test


class FaultTests(SdkTestCase):
    """What is wrong with a blob has one name in every language."""

    async def test_a_corrupted_blob(self) -> None:
        data = payload(PART)
        for algorithm in ALGORITHMS:
            wrong = data[:-1] + b"\xff"
            value = await self.stored(
                f"corrupted-{algorithm}",
                wrong,
                checksum_algo=algorithm,
                checksum=checksum_of(data, algorithm),
            )
            await self.assert_all_answer(value, failure("checksum-mismatch"))

    async def test_a_truncated_blob(self) -> None:
        value = await self.stored("truncated", payload(PART - 1), content_length=PART)
        await self.assert_all_answer(value, failure("blob-truncated"))

    async def test_a_blob_that_is_too_long(self) -> None:
        value = await self.stored("long", payload(PART + 1), content_length=PART)
        await self.assert_all_answer(value, failure("blob-truncated"))

    async def test_a_missing_blob(self) -> None:
        value = await self.stored("there", b"hello", s3_key="lfs/sdks/not-there")
        await self.assert_all_answer(value, failure("blob-missing"))
        await self.assert_all_answer(value, {"outcome": "skipped"}, on_missing="skip")

    async def test_a_blob_outside_the_prefix_or_the_bucket(self) -> None:
        for fields in ({"s3_key": "private/k.bin"}, {"s3_key": "lfs/../k"}, {"s3_bucket": "secrets"}):
            value = await self.stored("outside", b"hello", **fields)
            await self.assert_all_answer(value, failure("envelope-not-allowed"))

    async def test_a_bucket_that_is_not_there(self) -> None:
        value = await self.stored("bucket", b"hello", s3_bucket="no-such-bucket")
        await self.assert_all_answer(value, failure("store-refused"), bucket="no-such-bucket")

    async def test_a_blob_over_max_size(self) -> None:
        value = await self.stored("over", payload(1001))
        await self.assert_all_answer(value, failure("too-large"), max_size=1000)

    async def test_a_newer_envelope_and_one_that_is_not_valid(self) -> None:
        value = await self.stored("newer", b"hello")
        newer = value.replace(b'"lfs_version":1', b'"lfs_version":2')
        await self.assert_all_answer(newer, failure("unsupported-envelope"))
        invalid = value.replace(b'"content_length":5', b'"content_length":5.0')
        await self.assert_all_answer(invalid, failure("invalid-envelope"))

    async def test_a_key_of_every_kind_of_character(self) -> None:
        value = await self.stored("a b+c%20d%2fe&f=g#h?i~ü☃'()!*,;:@$.bin", b"hello")
        await self.assert_all_answer(value, {"outcome": "blob", "length": 5})

    async def test_ordinary_values(self) -> None:
        for value in (b"hello", b'{"lfs_version":1}', b"\x00\xff", b""):
            wanted = {
                "outcome": "ordinary",
                "length": len(value),
                "sha256": hashlib.sha256(value).hexdigest(),
            }
            await self.assert_all_answer(value, wanted)
        await self.assert_all_answer(None, {"outcome": "ordinary"})


def failure(outcome: str) -> dict[str, Any]:
    """The answer to a value that cannot be handed over."""
    return {"outcome": outcome, "length": None, "sha256": None}


class MemoryTests(SdkTestCase):
    """A blob of 256 MiB as a stream, and what the process grows by."""


def streams(sdk: Sdk) -> Callable[[MemoryTests], Coroutine[Any, Any, None]]:
    async def test(self: MemoryTests) -> None:
        sdk.require()
        value, sha256 = await in_thread(put_large, self.servers, "lfs/sdks/memory.bin", MEMORY_BLOB)
        driver = await in_thread(new_driver, sdk, self.servers)
        self.addCleanup(driver.close)
        idle = driver.peak_memory
        answer = await in_thread(driver.read, "stream", value)
        self.assertEqual((answer["outcome"], answer["sha256"]), ("blob", sha256), str(answer))
        self.assertLess(driver.peak_memory - idle, MEMORY_LIMIT)

    return test


class PollTests(SdkTestCase):
    """A poll's blobs in parallel: in the values' order, one record's failure in its place."""

    async def values(self) -> list[tuple[bytes | None, dict[str, Any]]]:
        """Values of every kind, and what ``read`` answers to each."""
        small, large = payload(1000), payload(PART)
        pairs: list[tuple[bytes | None, dict[str, Any]]] = []
        for number in range(12):
            data = large if number % 4 == 0 else small[: 100 + number]
            value = await self.stored(f"poll-{number}", data)
            pairs.append((value, blob(data)))
        value = await self.stored("poll-lost", b"x", s3_key="lfs/sdks/poll-not-there")
        pairs.insert(2, (value, failure("blob-missing")))
        value = await self.stored("poll-wrong", small[:-1] + b"\xff", checksum=checksum_of(small, "sha256"))
        pairs.insert(0, (value, failure("checksum-mismatch")))
        value = await self.stored("poll-outside", b"x", s3_key="private/k")
        pairs.append((value, failure("envelope-not-allowed")))
        pairs.insert(5, (b"hello", {**blob(b"hello"), "outcome": "ordinary"}))
        pairs.insert(6, (None, {"outcome": "ordinary"}))
        return pairs


def blob(data: bytes) -> dict[str, Any]:
    """The answer to an envelope of these bytes."""
    return {"outcome": "blob", "length": len(data), "sha256": hashlib.sha256(data).hexdigest()}


def polls(sdk: Sdk) -> Callable[[PollTests], Coroutine[Any, Any, None]]:
    async def test(self: PollTests) -> None:
        sdk.require()
        driver = await in_thread(new_driver, sdk, self.servers)
        self.addCleanup(driver.close)
        pairs = await self.values()
        # All at once, one at a time, and with room for less than one blob: the answer is the same.
        for concurrency, most in ((8, 256 * MIB), (1, 256 * MIB), (8, 1000)):
            given = [value for value, _ in pairs]
            answer = await in_thread(driver.poll, given, concurrency, most)
            self.assertEqual(answer["outcome"], "ok", f"{sdk.name}: {answer}")
            for number, (seen, (_, wanted)) in enumerate(zip(answer["records"], pairs, strict=True)):
                told = {name: seen.get(name) for name in wanted}
                self.assertEqual(told, wanted, f"{sdk.name}, record {number}: {seen}")

    return test


for _sdk in SDKS:
    setattr(PollTests, f"test_{_sdk.name}_polls_in_order", polls(_sdk))
    setattr(HereTests, f"test_{_sdk.name}_can_be_built", builds(_sdk))
    setattr(MemoryTests, f"test_{_sdk.name}_streams_in_little_memory", streams(_sdk))
    for _door in DOORS:
        setattr(MatrixTests, f"test_{_sdk.name}_{_door}", published(_sdk, _door))
