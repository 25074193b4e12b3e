"""What a check asks of Kafka, and what it makes of the answers."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from lfsproxy.errors import BadRequest, BrokerUnavailable, SettingError
from lfsproxy.probing import Certificate, Written
from lfsproxy.settings import Address, Settings
from lfsproxy.upkeep.steps.brokers import KafkaSteps
from lfsproxy.upkeep.steps.chain import STEP_SECONDS, Step
from tests.upkeep.steps_rig import KafkaDouble

FIRST, SECOND, THIRD = (Address(f"kafka-{number}", 9092) for number in (1, 2, 3))


class KafkaStepsTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.kafka = KafkaDouble()
        self.settings: dict[str, Any] = {"kafka_brokers": (FIRST,)}

    def begin(self, topic: str | None = None) -> Deferred[None]:
        self.steps = KafkaSteps(self.clock, Settings(**self.settings), lambda: self.kafka, lambda step: None)
        return Deferred.fromCoroutine(self.steps.run(topic))

    def check(self, topic: str | None = None) -> dict[str, Step]:
        self.successResultOf(self.begin(topic))
        return self.by_name()

    def by_name(self) -> dict[str, Step]:
        return {step.name: step for chain in self.steps.chains for step in chain.steps}


class ReachTests(KafkaStepsTestCase):
    def test_a_broker_is_reached_step_by_step(self) -> None:
        self.kafka.uses_tls = self.kafka.signs_in = True
        found = self.check()
        asked = ["resolve", "connect", "handshake", "sign_in", "lacks", "is_lfs_proxy", "brokers"]
        asked += ["largest_batch", "close"]
        self.assertEqual([call[0] for call in self.kafka.calls], asked)
        self.assertEqual({step.ok for step in found.values()}, {True})
        note = found["Kafka kafka-1:9092: TLS"].note
        self.assertRegex(
            note, r"^certificate for a.example, b.example by CN=tests, 2 certificates sent, valid "
        )
        self.assertEqual(found["Kafka kafka-1:9092: metadata"].note, "brokers: 1 at kafka-1:9092")

    def test_a_sign_in_by_a_fetched_token_is_told_by_its_own_settings(self) -> None:
        self.kafka.signs_in = True
        self.settings |= {
            "kafka_security_protocol": "SASL_SSL",
            "kafka_sasl_mechanism": "OAUTHBEARER",
            "kafka_oauth_token_url": "https://login.example/token",
            "kafka_oauth_client_id": "lfs",
            "kafka_oauth_client_secret": "s3cret",
        }
        self.assertEqual(self.check()["Kafka kafka-1:9092: sign-in"].note, "OAUTHBEARER as lfs")
        self.kafka.acts["sign_in"] = BrokerUnavailable("no token")
        step = self.check()["Kafka kafka-1:9092: sign-in"]
        self.assertIn("LFS_KAFKA_OAUTH_CLIENT_SECRET", step.do)
        self.assertNotIn("PASSWORD", step.do)

    def test_a_sign_in_without_a_password_is_told_by_what_it_needs(self) -> None:
        self.kafka.signs_in = True
        self.kafka.acts["sign_in"] = BrokerUnavailable("no")
        for mechanism, needed in (("AWS_MSK_IAM", "AWS credentials and region"), ("GSSAPI", "a ticket")):
            self.settings |= {"kafka_security_protocol": "SASL_SSL", "kafka_sasl_mechanism": mechanism}
            step = self.check()["Kafka kafka-1:9092: sign-in"]
            self.assertIn(needed, step.do)
            self.assertNotIn("PASSWORD", step.do)

    def test_a_certificate_that_soon_expires_is_told(self) -> None:
        self.kafka.uses_tls = True
        self.kafka.acts["handshake"] = Certificate(["a"] * 9, "CN=x", 0.0, 1)
        step = self.check()["Kafka kafka-1:9092: TLS"]
        self.assertTrue(step.ok and step.warning)
        self.assertEqual(step.note, "certificate for a, a, a, a, a, … by CN=x, valid for 0 more days")

    def test_each_broker_is_reached_where_it_says_that_it_is(self) -> None:
        self.kafka.acts["brokers"] = {1: FIRST, 2: SECOND}
        self.kafka.acts["connect", SECOND] = BrokerUnavailable("kafka-2:9092 cannot be reached: refused")
        found = self.check()
        step = found["Kafka broker 2, kafka-2:9092: connection"]
        self.assertEqual(step.wrong, "kafka-2:9092 cannot be reached: refused")
        self.assertIn("advertised.listeners", step.do)
        self.assertEqual(found["Kafka kafka-1:9092: connection"].ok, True)
        self.assertEqual(self.kafka.calls.count(("connect", FIRST)), 1)
        self.assertEqual(list(self.steps.nodes), [1, 2])

    def test_a_broker_that_hangs_holds_up_nobody_else(self) -> None:
        self.settings["kafka_brokers"] = (FIRST, SECOND, THIRD)
        for address in (FIRST, SECOND):
            self.kafka.acts["lacks", address] = Deferred()
        checking = self.begin()
        self.assertEqual(self.by_name()["Kafka kafka-3:9092: metadata"].ok, True)
        self.assertNoResult(checking)
        self.clock.advance(STEP_SECONDS)
        self.successResultOf(checking)
        found = self.by_name()
        for address in (FIRST, SECOND):
            step = found[f"Kafka {address}: API versions"]
            self.assertEqual((step.ok, step.wrong), (False, "there was no answer within 12 s"))
            self.assertEqual(found[f"Kafka {address}: metadata"].ok, None)

    def test_another_lfs_proxy_is_told(self) -> None:
        self.kafka.acts["is_lfs_proxy"] = True
        found = self.check()
        step = found["Kafka kafka-1:9092: API versions"]
        self.assertEqual((step.ok, step.warning), (True, True))
        self.assertIn("answers as an LFS Proxy does", step.note)
        self.assertEqual(found["Kafka kafka-1:9092: metadata"].ok, True)

    def test_the_proxy_itself_is_no_broker(self) -> None:
        self.settings["kafka_advertised_port_base"] = 30000
        itself = {1: Address("proxy.example", 30001), 3: Address("proxy.example", 30003)}
        self.kafka.acts |= {"is_lfs_proxy": True, "brokers": itself}
        step = self.check()["Kafka kafka-1:9092: metadata"]
        self.assertIn("kafka-1:9092 (LFS_KAFKA_BROKERS) is this proxy itself", step.wrong)
        self.kafka.acts["brokers"] = {**itself, 4: Address("proxy.example", 30005)}
        self.assertEqual(self.check()["Kafka kafka-1:9092: metadata"].ok, True)
        # Brokers may have such ports by chance.
        self.kafka.acts |= {"is_lfs_proxy": False, "brokers": itself}
        self.assertEqual(self.check()["Kafka kafka-1:9092: metadata"].ok, True)

    def test_a_bug_of_one_step_leaves_the_others(self) -> None:
        self.settings["kafka_brokers"] = (FIRST, SECOND)
        self.kafka.acts |= {("lacks", FIRST): TypeError("a mistake"), "close": ValueError("another")}
        found = self.check()
        wrong = [step.name for step in found.values() if step.ok is False]
        self.assertEqual(wrong, ["Kafka: end of the connections", "Kafka kafka-1:9092: API versions"])
        self.assertEqual(found["Kafka kafka-2:9092: metadata"].ok, True)

    def test_an_interrupt_closes_the_connections(self) -> None:
        self.kafka.acts["sign_in"] = Deferred()
        self.kafka.signs_in = True
        checking = self.begin()
        checking.cancel()
        self.failureResultOf(checking, CancelledError)
        self.assertEqual(self.kafka.calls[-1], ("close",))

    def test_a_token_server_that_is_away_is_no_matter_of_a_password(self) -> None:
        self.kafka.signs_in = True
        self.kafka.acts["sign_in"] = BrokerUnavailable("the token server sso:443 cannot be reached")
        self.assertIn("LFS_KAFKA_SASL_PASSWORD", self.check()["Kafka kafka-1:9092: sign-in"].do)
        self.settings |= {
            "kafka_security_protocol": "SASL_SSL",
            "kafka_sasl_mechanism": "OAUTHBEARER",
            "kafka_oauth_token_url": "https://sso/token",
            "kafka_oauth_client_id": "lfsproxy",
            "kafka_oauth_client_secret": "secret",
        }
        do = self.check()["Kafka kafka-1:9092: sign-in"].do
        self.assertIn("LFS_KAFKA_OAUTH_TOKEN_URL", do)
        self.assertNotIn("PASSWORD", do)

    def test_a_broker_that_is_too_old(self) -> None:
        self.kafka.acts["lacks"] = (["Fetch", "Produce"], [])
        step = self.check()["Kafka kafka-1:9092: API versions"]
        self.assertEqual(
            step.wrong, "kafka-1:9092 does not speak Fetch, Produce as the proxy does: the broker is too old"
        )

    def test_a_broker_without_producer_ids_is_ok_but_told(self) -> None:
        self.kafka.acts["lacks"] = ([], ["InitProducerId"])
        step = self.check()["Kafka kafka-1:9092: API versions"]
        self.assertTrue(step.ok and step.warning)
        self.assertIn("without InitProducerId a record can be written twice", step.note)

    def test_without_an_identity_nothing_is_asked_that_needs_one(self) -> None:
        self.kafka.has_identity = False
        step = self.check("orders")["Kafka kafka-1:9092: metadata"]
        self.assertTrue(step.ok and step.warning)
        self.assertEqual(self.by_name()["Kafka topic orders: metadata"].ok, None)
        for name in ("sign_in", "brokers", "partitions", "write"):
            self.assertEqual(self.kafka.count(name), 0)

    def test_a_file_that_cannot_be_used_ends_it(self) -> None:
        def make() -> KafkaDouble:
            raise SettingError("LFS_KAFKA_TLS_CA is 'x': not usable as PEM certificates")

        steps = KafkaSteps(self.clock, Settings(), make, lambda step: None)
        self.successResultOf(Deferred.fromCoroutine(steps.run("orders")))
        found = {step.name: step.ok for chain in steps.chains for step in chain.steps}
        self.assertEqual(
            found,
            {
                "Kafka: settings": False,
                "Kafka localhost:9092: connection": None,
                "Kafka topic orders: metadata": None,
            },
        )


class LargestTests(KafkaStepsTestCase):
    def step(self, size: int | None) -> Step:
        self.kafka.acts["largest_batch"] = size
        return self.check()["Kafka kafka-1:9092: message.max.bytes"]

    def test_as_much_as_the_proxy_lets_pass(self) -> None:
        self.assertEqual(self.step(20_000_000).note, "20000000 bytes")

    def test_less_than_the_proxy_lets_pass_is_kafka_s_default(self) -> None:
        step = self.step(1048588)
        self.assertEqual((step.ok, step.warning), (True, False))
        self.assertIn("LFS_MAX_PASSTHROUGH_SIZE lets 16777216 pass", step.note)

    def test_less_than_an_envelope_needs_is_wrong(self) -> None:
        step = self.step(8191)
        self.assertEqual(step.wrong[:35], "message.max.bytes is 8191 bytes, be")
        self.assertIn("set message.max.bytes", step.do)

    def test_it_may_not_be_asked_for(self) -> None:
        step = self.step(None)
        self.assertEqual((step.ok, step.warning), (True, False))

    def test_a_broker_by_another_name_is_not_asked_for_it(self) -> None:
        self.kafka.acts["brokers"] = {1: SECOND}
        found = self.check()
        self.assertNotIn("Kafka kafka-1:9092: message.max.bytes", found)
        self.assertIn("Kafka broker 1, kafka-2:9092: message.max.bytes", found)


class TopicTests(KafkaStepsTestCase):
    def test_a_record_is_written_and_read_back(self) -> None:
        found = self.check("orders")
        self.assertEqual(found["Kafka topic orders: metadata"].note, "3 partitions")
        self.assertEqual(found["Kafka topic orders: produce"].note, "partition 2, offset 7")
        self.assertIn(("read", "orders", Written(2, 7, b"value")), self.kafka.calls)
        self.assertEqual(found["Kafka topic orders: read back"].ok, True)

    def test_a_name_that_no_topic_can_have_is_not_to_be_created(self) -> None:
        self.kafka.acts["partitions"] = BadRequest("Kafka does not allow it")
        step = self.check("no/topic")["Kafka topic no/topic: metadata"]
        self.assertEqual(
            step.do, "a topic's name has 1 to 249 letters, digits, dots, hyphens and underscores (ASCII)"
        )
        self.assertIn("create the topic orders", self.check("orders")["Kafka topic orders: metadata"].do)

    def test_without_a_topic_nothing_is_written(self) -> None:
        self.check()
        self.assertEqual(self.kafka.count("write"), 0)

    def test_what_is_read_back_is_compared(self) -> None:
        self.kafka.acts["read"] = False
        step = self.check("orders")["Kafka topic orders: read back"]
        self.assertEqual(
            (step.ok, step.wrong), (False, "the record in orders is not read back as it was written")
        )

    def test_where_no_record_can_be_written_none_is_read(self) -> None:
        self.kafka.acts["write"] = BrokerUnavailable("no")
        found = self.check("orders")
        self.assertEqual(found["Kafka topic orders: read back"].ok, None)
        self.assertEqual(self.kafka.count("read"), 0)

    def test_where_no_broker_answers_the_topic_is_skipped(self) -> None:
        self.kafka.acts["connect"] = BrokerUnavailable("no")
        step = self.check("orders")["Kafka topic orders: metadata"]
        self.assertEqual((step.ok, step.note), (None, "skipped: no broker could be asked"))
