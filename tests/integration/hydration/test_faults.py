"""S3 that is away, before a blob and in the middle of one, and a proxy that is killed: consumers go on.

Each client has its own defaults of trying again. What it reads in the end is the log, each record once.
LFS_TEST_HYDRATION_CLIENTS has the clients, with commas in between; some where it is not set.
"""

from __future__ import annotations

import os
import random
import socket
import time
from collections.abc import Callable
from functools import partial

from lfsproxy.codes import KafkaCode
from tests.integration.hydration.cursors import first_difference
from tests.integration.hydration.fetches import NEWEST, Fetcher, topic_ids
from tests.integration.hydration.model import Entry, Log, View
from tests.integration.hydration.placed import Placer
from tests.integration.hydration.plans import CONFIG, EPOCH, MIB
from tests.integration.hydration.readers.programs import READERS, Limits
from tests.integration.kafka_door import KafkaDoorTestCase, at_once, wait_for
from tests.integration.proxy import own_proxy
from tests.integration.stack import BUCKET, Stack, in_thread, own_s3, stack

CLIENTS = os.environ.get("LFS_TEST_HYDRATION_CLIENTS", "librdkafka,java,kafka-python").split(",")
BLOBS = 6
SIZE = 9 * MIB
"""More than a part: the blobs are streamed."""
LARGE = 45 * MIB
AWAY = 4.0
"""Seconds: more than LFS_S3_RETRY_TIMEOUT, so that consumers notice."""
SOON = {"LFS_S3_RETRY_TIMEOUT": "2"}
HYDRATED = View(committed=False, hydrated=True)


class FaultTests(KafkaDoorTestCase):
    timeout = 300

    async def setUp(self) -> None:  # type: ignore[override]
        shared = await stack()
        self.s3 = await own_s3(self)
        self.servers = Stack(shared.kafka, self.s3, BUCKET)
        self.topic = await self.servers.new_topic("faults", partitions=2, config=CONFIG)
        self.placer = Placer(self.servers, self.topic)
        self.log = await in_thread(self.write)

    def write(self) -> Log:
        """Large blobs in one partition, plain records in the other."""
        log = Log()
        for partition in (0, 1):
            found: list[Entry] = []
            for number in range(BLOBS):
                blob = b"%d" % number * SIZE if partition == 0 else None
                value = self.placer.envelope(blob) if blob is not None else b"plain %d" % number
                offset = self.placer.append([value], partition=partition)
                found.append(Entry(self.topic, partition, offset, None, EPOCH, 0, (), value, blob))
            part = self.topic, partition
            log.entries[part], log.markers[part] = found, set()
            log.stable[part] = log.ends[part] = len(found)
        return log

    def given(self) -> float:
        """Bytes of blobs that consumers have got."""
        return self.proxy.metrics()[f'lfsproxy_hydrated_bytes_total{{topic="{self.topic}"}}']

    def read_by(self, name: str) -> None:
        """Read the log with a client that exists here. Blocks."""
        (reader,) = (each for each in READERS if each.name == name)
        limits = Limits(10 * MIB, 10 * MIB)
        seen, wanted = reader.read(self.proxy.bootstrap, self.log, HYDRATED, limits=limits, seconds=150)
        self.assertEqual(seen, wanted, f"{name}: {first_difference(seen, wanted)}")

    async def test_while_s3_is_away_the_partition_has_a_retriable_error(self) -> None:
        self.proxy = await own_proxy(self, self.servers, LFS_HYDRATE_TOPICS="*", **SOON)
        await in_thread(self.check_away)

    def check_away(self) -> None:
        fetcher = Fetcher(self.proxy.bootstrap, topic_ids(self.servers.kafka.bootstrap, [self.topic]))
        self.addCleanup(fetcher.close)
        both = {(self.topic, 0): 0, (self.topic, 1): 0}
        self.s3.kill()
        answer = fetcher.fetch(NEWEST, both)
        self.assertEqual([each.error for each in answer.parts], [KafkaCode.KAFKA_STORAGE_ERROR, 0])
        values = [len(list(each.batches())) for each in answer.parts]
        self.assertEqual(values, [0, BLOBS])
        self.s3.start()
        answer = fetcher.fetch(NEWEST, both)
        self.assertEqual([each.error for each in answer.parts], [0, 0])

    async def test_a_blob_goes_on_where_it_was_when_s3_comes_back(self) -> None:
        self.proxy = await own_proxy(self, self.servers, LFS_HYDRATE_TOPICS="*")
        await in_thread(self.check_goes_on)

    def check_goes_on(self) -> None:
        blob = random.Random(1).randbytes(LARGE)
        offset = self.placer.append([self.placer.envelope(blob)])
        ids = topic_ids(self.servers.kafka.bootstrap, [self.topic])
        fetcher = Fetcher(self.proxy.bootstrap, ids, receive_buffer=64 * 1024)
        self.addCleanup(fetcher.close)
        fetcher.send(NEWEST, {(self.topic, 0): offset})
        # What the systems between have room for is less than the blob.
        wait_for(lambda: len(fetcher.client.socket.recv(MIB, socket.MSG_PEEK)))
        self.s3.kill()
        self.s3.start()
        (found,) = fetcher.receive(NEWEST).parts
        self.assertEqual([one.value for each in found.batches() for one in each], [blob])

    async def test_consumers_wait_for_an_s3_that_is_away(self) -> None:
        self.proxy = await own_proxy(self, self.servers, LFS_HYDRATE_TOPICS="*", **SOON)
        await in_thread(self.s3.kill)
        await self.assert_all_read(self.back_later)

    def back_later(self) -> None:
        time.sleep(AWAY)
        self.s3.start()

    async def test_consumers_go_on_after_s3_was_away_in_the_middle_of_a_blob(self) -> None:
        self.proxy = await own_proxy(self, self.servers, LFS_HYDRATE_TOPICS="*", **SOON)
        await self.assert_all_read(self.away_in_the_middle)

    def away_in_the_middle(self) -> None:
        wait_for(self.given)
        self.s3.kill()
        self.back_later()

    async def test_consumers_go_on_after_the_proxy_was_killed(self) -> None:
        self.proxy = await own_proxy(self, self.servers, LFS_HYDRATE_TOPICS="*")
        for name in CLIENTS:
            # One after the other: a client whose first connection fails need not try again.
            before = await in_thread(self.given)
            await at_once(partial(self.kill_in_the_middle, before), partial(self.read_by, name))

    def kill_in_the_middle(self, before: float) -> None:
        wait_for(self.given, lambda given: given > before)
        self.proxy.kill()
        self.proxy.start()

    async def assert_all_read(self, happens: Callable[[], None]) -> None:
        """The clients read the log, side by side, while something happens."""
        await at_once(happens, *(partial(self.read_by, name) for name in CLIENTS))
