"""What is said when LFS_KAFKA_BROKERS or the security protocol does not fit what is there."""

from __future__ import annotations

from twisted.internet.defer import Deferred

from lfsproxy.errors import BrokerUnavailable
from lfsproxy.settings import Address
from tests.relay.rig import RelayTestCase

ONE = Address("10.0.0.1", 9092)
OTHER = Address("10.0.0.2", 9093)
NAMED = f"{ONE} (LFS_KAFKA_BROKERS)"


class TroubleTestCase(RelayTestCase):
    overrides = {"kafka_brokers": (ONE,)}

    def problem(self) -> str:
        """What readiness is told."""
        asked = Deferred.fromCoroutine(self.relay.check())
        self.pass_seconds(2)
        return str(self.failureResultOf(asked, BrokerUnavailable).value)


class RefusedTests(TroubleTestCase):
    def prepare(self) -> None:
        self.cluster.reachable = False

    def test_nobody_listens(self) -> None:
        self.assertEqual(
            self.problem(), f"{NAMED} cannot be reached: connection refused, nothing listens at that port"
        )

    def test_others_can_tell_it_too_until_it_is_over(self) -> None:
        problem = self.problem()
        self.assertEqual(self.trouble.text, problem)
        self.cluster.reachable = True
        self.pass_seconds(2)
        self.assertEqual(self.trouble.text, "")


class RefusedByAllTests(RelayTestCase):
    overrides = {"kafka_brokers": (ONE, OTHER)}

    def prepare(self) -> None:
        self.cluster.reachable = False

    def test_it_is_said_once_whoever_is_asked_first(self) -> None:
        for _ in range(4):
            self.client()
            self.pass_seconds(2)
        self.assertEqual(
            [line for line in self.lines() if "turned away" in line],
            [
                f"Kafka clients are turned away: {NAMED} cannot be reached: connection refused, "
                f"nothing listens at that port; {OTHER} (LFS_KAFKA_BROKERS) cannot be reached: connection "
                "refused, nothing listens at that port"
            ],
        )


class SilentTests(TroubleTestCase):
    def prepare(self) -> None:
        self.cluster.silent = True

    def test_what_takes_connections_and_says_nothing(self) -> None:
        self.pass_seconds(9)
        self.assertEqual(
            self.problem(),
            f"{NAMED} takes connections but gives no answer within 8 s: the broker hangs, or that port is "
            "not a broker's",
        )


class SignInWantedTests(TroubleTestCase):
    def prepare(self) -> None:
        self.cluster.no_metadata = {ONE.port}

    def test_a_port_for_sasl(self) -> None:
        self.assertEqual(
            self.problem(),
            f"{NAMED} closes the connection when it is asked without a sign-in: if that port is for SASL, "
            "set LFS_KAFKA_SECURITY_PROTOCOL=SASL_PLAINTEXT (it is PLAINTEXT)",
        )


class TlsPortTests(TroubleTestCase):
    def prepare(self) -> None:
        self.cluster.said = b"\x15\x03\x03\x00\x02\x02\x50" + bytes(9)

    def test_a_port_for_tls(self) -> None:
        self.assertEqual(
            self.problem(),
            f"{NAMED}: the broker's answer looks like TLS: its port wants SSL, and plaintext was sent "
            "(LFS_KAFKA_SECURITY_PROTOCOL is PLAINTEXT)",
        )


class WebServerTests(TroubleTestCase):
    def prepare(self) -> None:
        self.cluster.said = b"HTTP/1.1 400 Bad Request\r\n\r\n"

    def test_a_web_server(self) -> None:
        self.assertEqual(
            self.problem(),
            f"{NAMED}: the broker's answer looks like HTTP: a web server is at its port "
            "(LFS_KAFKA_SECURITY_PROTOCOL is PLAINTEXT)",
        )


class ControllerTests(TroubleTestCase):
    def prepare(self) -> None:
        self.cluster.controllers = {ONE.port}

    def test_only_a_controller(self) -> None:
        self.assertEqual(
            self.problem(),
            f"{NAMED} is a Kafka controller, not a broker: name only brokers in LFS_KAFKA_BROKERS",
        )


class ControllerAmongBrokersTests(RelayTestCase):
    overrides = {"kafka_brokers": (ONE, OTHER)}

    def prepare(self) -> None:
        self.cluster.controllers = {ONE.port}

    def test_the_others_do_and_it_is_said_once(self) -> None:
        self.pass_seconds(100)
        self.successResultOf(Deferred.fromCoroutine(self.relay.check()))
        self.assertEqual(
            [line for line in self.lines() if "controller" in line],
            [
                f"{ONE} in LFS_KAFKA_BROKERS is a Kafka controller, not a broker: it is not used; name only "
                "brokers there"
            ],
        )

    def test_no_client_is_sent_to_it(self) -> None:
        self.pass_seconds(100)
        for _ in range(4):
            self.client()
            self.assertEqual(self.broker.port, OTHER.port)


class NoHostNameTests(TroubleTestCase):
    overrides = {"kafka_brokers": (Address("a..b", 9092),)}

    def test_it_is_said(self) -> None:
        self.assertEqual(
            self.problem(), "a..b:9092 (LFS_KAFKA_BROKERS) cannot be reached: it is no host name"
        )


class UnderscoreTests(TroubleTestCase):
    overrides = {"kafka_brokers": (Address("my_kafka", 9092),)}

    def test_it_is_connected_to(self) -> None:
        self.successResultOf(Deferred.fromCoroutine(self.relay.check()))
