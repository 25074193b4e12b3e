"""Real Kafka clients at work through the proxy as they would be at the broker: topics, groups, tools."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Sequence
from typing import Any

from lfsproxy.devstack.ports import HOST
from lfsproxy.envelope import parse_envelope
from tests.integration.clients import commands, java
from tests.integration.clients.python import SECONDS, kafka_python, librdkafka, read_topic
from tests.integration.clients.records import Mode, Record, lfs
from tests.integration.clients.share import configure
from tests.integration.kafka_door import KafkaDoorTestCase, wait_for
from tests.integration.proxy import shared_proxy
from tests.integration.stack import in_thread, stack

VALUES = [b"%d" % number for number in range(100)]


class ClientTestCase(KafkaDoorTestCase):
    async def setUp(self) -> None:  # type: ignore[override]
        self.servers, self.proxy = await stack(), await shared_proxy()

    @property
    def real(self) -> str:
        return self.servers.kafka.bootstrap

    def is_envelope(self, value: bytes | None) -> bool:
        return parse_envelope(value or b"") is not None


class LibrdkafkaTests(ClientTestCase):
    async def test_topics_configs_and_groups_are_administered(self) -> None:
        await in_thread(self.administer)

    def administer(self) -> None:
        import confluent_kafka.admin
        from confluent_kafka import ConsumerGroupTopicPartitions, TopicPartition

        # Its stubs do not export what its documentation imports.
        api: Any = confluent_kafka.admin
        family = {"broker.address.family": "v4"}
        admin: Any = api.AdminClient({"bootstrap.servers": self.proxy.bootstrap, **family})
        direct: Any = api.AdminClient({"bootstrap.servers": self.real, **family})
        admin.create_topics([api.NewTopic("by-librdkafka", 3, config={"retention.ms": "1234567"})])[
            "by-librdkafka"
        ].result(SECONDS)
        resource = api.ConfigResource(api.ResourceType.TOPIC, "by-librdkafka")
        for each in (admin, direct):
            config = each.describe_configs([resource])[resource].result(SECONDS)
            self.assertEqual(config["retention.ms"].value, "1234567")
            self.assertEqual(len(each.list_topics("by-librdkafka").topics["by-librdkafka"].partitions), 3)
        self.assertEqual(
            [(broker.host, broker.port) for broker in admin.list_topics().brokers.values()],
            [(HOST, self.proxy.node_port)],
        )
        (node,) = admin.describe_cluster().result(SECONDS).nodes
        self.assertEqual((node.id, node.host, node.port), (1, HOST, self.proxy.node_port))
        self.consume("librdkafka-group", "by-librdkafka")
        (group,) = admin.describe_consumer_groups(["librdkafka-group"]).values()
        self.assertEqual(group.result(SECONDS).coordinator.port, self.proxy.node_port)
        request = ConsumerGroupTopicPartitions("librdkafka-group")
        committed = {}
        for each in (admin, direct):
            offsets = each.list_consumer_group_offsets([request])["librdkafka-group"].result(SECONDS)
            committed[each] = sorted((p.partition, p.offset) for p in offsets.topic_partitions)
        self.assertEqual(committed[admin], committed[direct])
        self.assertEqual(sum(offset for _, offset in committed[admin]), len(VALUES))
        admin.delete_consumer_groups(["librdkafka-group"])["librdkafka-group"].result(SECONDS)
        part = TopicPartition("by-librdkafka", 0, 5)
        self.assertEqual(admin.delete_records([part])[part].result(SECONDS).low_watermark, 5)
        admin.delete_topics(["by-librdkafka"])["by-librdkafka"].result(SECONDS)
        # The broker's own metadata follow a moment later.
        wait_for(lambda: "by-librdkafka" not in admin.list_topics().topics)

    def consume(self, group: str, topic: str) -> None:
        """Two members of a group read what was produced through the proxy, and commit."""
        from confluent_kafka import Consumer

        outcomes = librdkafka(
            self.proxy.bootstrap,
            topic,
            [Record(value, partition=number % 3) for number, value in enumerate(VALUES)],
            Mode(idempotent=True),
        )
        self.assertEqual({outcome.error for outcome in outcomes}, {""})
        config: dict[str, Any] = {
            "bootstrap.servers": self.proxy.bootstrap,
            "group.id": group,
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
            "broker.address.family": "v4",
        }
        members: list[Any] = [Consumer(config), Consumer(config)]
        for member in members:
            member.subscribe([topic])
        seen: list[bytes] = []

        def poll() -> int:
            for member in members:
                seen.extend(message.value() for message in member.consume(len(VALUES), 0.2))
            return len(seen)

        wait_for(poll, lambda count: count >= len(VALUES))
        for member in members:
            if member.assignment():
                member.commit(offsets=member.position(member.assignment()), asynchronous=False)
            member.close()
        self.assertEqual(sorted(set(seen)), sorted(VALUES))


class PythonTests(ClientTestCase):
    async def test_kafka_python_administers_and_reads_in_a_group(self) -> None:
        await in_thread(self.by_kafka_python)

    def by_kafka_python(self) -> None:
        from kafka import KafkaConsumer
        from kafka.admin import KafkaAdminClient

        admin: Any = KafkaAdminClient(bootstrap_servers=self.proxy.bootstrap)
        admin.create_topics({"by-kafka-python": {"num_partitions": 2, "replication_factor": 1}})
        wait_for(lambda: admin.list_topics(), lambda topics: "by-kafka-python" in topics)
        records = [*[Record(value) for value in VALUES], lfs(b"blob" * 1000)]
        outcomes = kafka_python(self.proxy.bootstrap, "by-kafka-python", records, Mode())
        self.assertEqual([outcome.offset for outcome in outcomes], list(range(len(records))))
        consumer = KafkaConsumer(
            "by-kafka-python",
            bootstrap_servers=self.proxy.bootstrap,
            group_id="kafka-python-group",
            auto_offset_reset="earliest",
            enable_auto_commit=False,
            consumer_timeout_ms=1000 * SECONDS,
        )
        values = [record.value for record in itertools.islice(consumer, len(records))]
        consumer.commit()
        consumer.close()
        self.assertEqual(values[:-1], VALUES)
        self.assertTrue(self.is_envelope(values[-1]))
        self.assertIn("kafka-python-group", str(admin.list_groups()))
        admin.delete_topics(["by-kafka-python"])
        admin.close()

    async def test_aiokafka_reads_in_a_group(self) -> None:
        topic = await self.servers.new_topic("aiokafka")
        records = [*[Record(value) for value in VALUES], lfs(b"blob" * 1000)]
        await in_thread(librdkafka, self.proxy.bootstrap, topic, records, Mode())
        values = await in_thread(lambda: asyncio.run(self.by_aiokafka(topic, len(records))))
        self.assertEqual(values[:-1], VALUES)
        self.assertTrue(self.is_envelope(values[-1]))

    async def by_aiokafka(self, topic: str, count: int) -> Sequence[bytes | None]:
        from aiokafka import AIOKafkaConsumer

        consumer = AIOKafkaConsumer(
            topic,
            bootstrap_servers=self.proxy.bootstrap,
            group_id=f"group-of-{topic}",
            auto_offset_reset="earliest",
            enable_auto_commit=False,
        )
        await consumer.start()
        try:
            values = [(await asyncio.wait_for(consumer.getone(), SECONDS)).value for _ in range(count)]
            await consumer.commit()
        finally:
            await consumer.stop()
        return values


class CommandTests(ClientTestCase):
    """Kafka's own tools, kcat, and franz-go."""

    async def test_the_tools_of_kafka_work_unchanged(self) -> None:
        await in_thread(self.by_tools)

    def by_tools(self) -> None:
        at = self.proxy.bootstrap
        java.tool(at, "kafka-topics", "--create", "--topic", "by-tools", "--partitions", "1")
        described = java.tool(at, "kafka-topics", "--describe", "--topic", "by-tools")
        self.assertIn("PartitionCount: 1", described)
        self.assertEqual(described, java.tool(self.real, "kafka-topics", "--describe", "--topic", "by-tools"))
        java.tool(
            at,
            "kafka-console-producer",
            *("--topic", "by-tools", "--property", "parse.headers=true"),
            stdin=b"LFS_BLOB:,trace:1\toffloaded by the console\ntrace:2\tplain\n",
        )
        consumed = java.tool(
            at,
            "kafka-console-consumer",
            *("--topic", "by-tools", "--from-beginning", "--max-messages", "2", "--group", "tools-group"),
            *("--formatter-property", "print.headers=true"),
        )
        (first, second) = consumed.splitlines()
        self.assertEqual(second, "trace:2\tplain")
        headers, _, value = first.partition("\t")
        self.assertEqual(headers, "trace:1")
        self.assertTrue(self.is_envelope(value.encode()))
        configure(at, "tools-share", share_auto_offset_reset="earliest")
        shared = java.tool(
            at,
            "kafka-console-share-consumer",
            *("--topic", "by-tools", "--max-messages", "2", "--group", "tools-share"),
            *("--formatter-property", "print.headers=true"),
        )
        self.assertEqual(shared.splitlines()[:2], [first, second])
        shares = java.tool(at, "kafka-share-groups", "--describe", "--group", "tools-share")
        self.assertRegex(shares, r"tools-share\s+by-tools\s+0\s+\d+\s+0")
        groups = java.tool(at, "kafka-consumer-groups", "--describe", "--group", "tools-group")
        self.assertRegex(groups, r"tools-group\s+by-tools\s+0\s+2\s+2\s+0")
        produced = java.tool(
            at,
            "kafka-producer-perf-test",
            *("--topic", "by-tools", "--num-records", "5000", "--record-size", "1000", "--throughput", "-1"),
            *("--producer-props", f"bootstrap.servers={at}", "--transaction-duration-ms", "200"),
        )
        self.assertIn("5000 records sent", produced)
        self.assertEqual(len(read_topic(at, "by-tools")), 5002)

    async def test_kcat_offloads_by_a_header_and_names_errors(self) -> None:
        topic = await self.servers.new_topic("kcat")
        await in_thread(self.by_kcat, topic)

    def by_kcat(self, topic: str) -> None:
        kcat = commands.kcat(self.proxy.bootstrap)
        produce = [*kcat, "-P", "-t", topic]
        commands.output_of([*produce, "-H", "LFS_BLOB", "-H", "trace=1"], b"offloaded")
        commands.output_of([*produce, "-H", "trace=2"], b"plain")
        wrong = ["-H", "LFS_BLOB=" + "0" * 64]
        refused = commands.run([*produce, *wrong], b"refused")
        self.assertEqual(refused.returncode, 1)
        self.assertIn(b"Broker failed to validate record", refused.stderr)
        gapless = ["-X", "enable.idempotence=true", "-X", "enable.gapless.guarantee=true"]
        # Its status is 0 or 1 then, by which of its threads is first.
        refused = commands.run([*produce, *wrong, *gapless], b"refused")
        self.assertIn(b"Gap-less ordering would not be guaranteed", refused.stderr)
        read = commands.output_of([*kcat, "-C", "-t", topic, "-o", "beginning", "-e", "-f", "%o %h %s\\n"])
        first, second = read.splitlines()
        self.assertEqual(second, "1 trace=2 plain")
        self.assertTrue(first.startswith("0 trace=1 {"))
        self.assertTrue(self.is_envelope(first.removeprefix("0 trace=1 ").encode()))

    async def test_franz_go_reads_in_a_group(self) -> None:
        program = await in_thread(commands.franz)
        for transaction in ("", "a-transaction-of-franz"):
            topic = await self.servers.new_topic("franz")
            sent = [lfs(b"blob" * 100_000, ("trace", b"t"), key=b"lfs"), Record(b"plain", (), b"plain")] * 3
            mode = Mode(idempotent=True, transactional_id=transaction)
            await in_thread(commands.franz_go, self.proxy.bootstrap, topic, sent, mode)
            command = [program, "group", self.proxy.bootstrap, topic, "6"]
            read = await in_thread(commands.output_of, command)
            self.assertEqual(
                read.splitlines(),
                ["0 lfs trace", "1 plain ", "2 lfs trace", "3 plain ", "4 lfs trace", "5 plain "],
            )
            values = await in_thread(self.values, topic)
            self.assertEqual([self.is_envelope(value) for value in values], [True, False] * 3)
