"""The identity on kafka-python's connections: its arguments, a password that changes, one that is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from kafka import errors as kafka_errors
from kafka.net.manager import KafkaConnectionManager
from kafka.net.selector import NetworkSelector
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from lfsproxy.broker.config import connection_arguments
from lfsproxy.broker.no_publisher import NoPublisher
from lfsproxy.broker.outcome import not_sent
from lfsproxy.broker.signing import Identity, SigningManager, SignInWithheld
from lfsproxy.errors import BrokerUnavailable, SettingError, SignInRefused
from lfsproxy.interfaces import IEnvelopePublisher
from lfsproxy.settings import Settings, load_settings

A, B = ("a", 1), ("b", 1)
REFUSED = kafka_errors.SaslAuthenticationFailedError("SaslAuthenticationFailedError: wrong password")


def settings(mechanism: str = "PLAIN", protocol: str = "SASL_SSL", **more: str) -> Settings:
    given = {
        "kafka_brokers": "a:1,b:1",
        "kafka_security_protocol": protocol,
        "kafka_sasl_mechanism": mechanism,
        "kafka_sasl_username": "pro,xy",
        "kafka_sasl_password": "hunter2",
        **more,
    }
    return load_settings({}, given).settings


class ArgumentsTests(SynchronousTestCase):
    def test_without_security_there_is_none(self) -> None:
        arguments = connection_arguments(Settings())
        self.assertEqual(arguments["security_protocol"], "PLAINTEXT")
        self.assertEqual([name for name in arguments if name.startswith(("ssl_", "sasl_"))], [])

    def test_tls(self) -> None:
        arguments = connection_arguments(
            settings("", "SSL", kafka_tls_ca="ca", kafka_tls_cert="cert", kafka_tls_key="key")
        )
        self.assertEqual(
            {name: value for name, value in arguments.items() if name.startswith("ssl_")},
            {"ssl_check_hostname": True, "ssl_cafile": "ca", "ssl_certfile": "cert", "ssl_keyfile": "key"},
        )
        self.assertIsNone(connection_arguments(settings("", "SSL"))["ssl_cafile"])

    def test_sasl(self) -> None:
        arguments = connection_arguments(settings("SCRAM-SHA-512"))
        self.assertEqual(
            (arguments["sasl_mechanism"], arguments["sasl_plain_username"]), ("SCRAM-SHA-512", "pro=2Cxy")
        )
        self.assertEqual(connection_arguments(settings())["sasl_plain_username"], "pro,xy")

    def test_a_token_is_read_from_its_file_each_time(self) -> None:
        file = Path(self.mktemp())
        file.write_text("one")
        more = {"kafka_sasl_password": "", "kafka_sasl_password_file": str(file)}
        provider = connection_arguments(settings("OAUTHBEARER", **more))["sasl_oauth_token_provider"]
        self.assertEqual(provider.token(), "one")
        file.write_text("two\n")
        self.assertEqual(provider.token(), "two")


class IdentityTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.file = Path(self.mktemp())
        self.file.write_text("old")
        given = settings(kafka_sasl_password="", kafka_sasl_password_file=str(self.file))
        self.identity = Identity(given, seconds=self.clock.seconds)

    def test_a_password_file_is_read_anew_within_a_second(self) -> None:
        self.assertEqual(self.identity.credentials(), ("PLAIN", "pro,xy", "old"))
        self.file.write_text("new")
        self.clock.advance(1)
        self.assertEqual(self.identity.credentials()[2], "new")

    def test_a_file_that_goes_away_leaves_the_password_that_was_read_last(self) -> None:
        self.identity.credentials()
        self.file.unlink()
        self.clock.advance(1)
        with capturedLogs() as events:
            self.assertEqual(self.identity.credentials()[2], "old")
        self.assertIn("LFS_KAFKA_SASL_PASSWORD_FILE", str(formatEvent(events[0])))

    def test_a_file_that_never_was_there_is_an_error(self) -> None:
        self.file.unlink()
        self.assertRaises(SettingError, self.identity.credentials)

    def test_refused_credentials_are_withheld_from_that_broker_for_a_while(self) -> None:
        self.identity.refused(A, self.identity.credentials(), REFUSED)
        self.clock.advance(10)
        why = "the broker refuses the proxy's sign-in by PLAIN as 'pro,xy': wrong password"
        self.assertEqual(self.identity.refusal(A), (20.0, why))
        self.assertIsNone(self.identity.refusal(B))
        self.clock.advance(20)
        self.assertIsNone(self.identity.refusal(A))

    def test_new_ones_are_not(self) -> None:
        self.identity.refused(A, self.identity.credentials(), REFUSED)
        self.file.write_text("new")
        self.clock.advance(1)
        self.assertIsNone(self.identity.refusal(A))

    def test_without_sasl_nothing_is_read_or_withheld(self) -> None:
        identity = Identity(Settings())
        identity.refused(A, identity.credentials(), REFUSED)
        self.assertIsNone(identity.refusal(A))


class ManagerTests(SynchronousTestCase):
    """With the private names of kafka-python that are relied on."""

    def setUp(self) -> None:
        self.identity = Identity(settings())
        arguments = connection_arguments(settings())
        self.net = NetworkSelector(**arguments)
        self.manager = SigningManager(self.net, self.identity, **arguments)
        self.addCleanup(self.net.close)
        self.addCleanup(self.manager.close)
        self.nodes = {broker.host: broker.node_id for broker in self.manager.cluster.bootstrap_brokers()}

    def refuse(self, *hosts: str) -> None:
        for host in hosts:
            self.identity.refused((host, 1), self.identity.credentials(), REFUSED)

    def test_a_connection_has_the_password_of_now(self) -> None:
        connection = self.manager.get_connection(self.nodes["a"])
        self.assertEqual(connection.config["sasl_plain_password"], "hunter2")
        connection.config["sasl_plain_password"] = "older"
        self.assertIs(self.manager.get_connection(self.nodes["a"]), connection)
        self.assertEqual(connection.config["sasl_plain_password"], "hunter2")

    def test_a_refused_sign_in_is_remembered_also_where_it_is_renewed(self) -> None:
        for host, ending in (("a", "init_future"), ("b", "close_future")):
            connection = self.manager.get_connection(self.nodes[host])
            connection.initializing = False
            getattr(connection, ending).failure(REFUSED)
            self.assertIsNotNone(self.identity.refusal((host, 1)))

    def test_what_a_mechanism_itself_complains_of_counts_too(self) -> None:
        connection = self.manager.get_connection(self.nodes["a"])
        connection.initializing = False
        connection.init_future.failure(ValueError("Server sent wrong signature!"))
        refusal = self.identity.refusal(A)
        self.assertIn("wrong signature", refusal[1] if refusal else "")

    def test_a_lost_connection_does_not(self) -> None:
        for ending in ("init_future", "close_future"):
            for error in (kafka_errors.KafkaConnectionError("gone"), OSError()):
                connection = self.manager.get_connection(self.nodes["a"])
                connection.initializing = False
                getattr(connection, ending).failure(error)
                self.manager._conns.clear()
        self.assertIsNone(self.identity.refusal(A))

    def test_a_refused_broker_is_not_ready(self) -> None:
        self.refuse("a")
        self.assertGreater(self.manager.connection_delay(self.nodes["a"]), 29)
        self.assertEqual(self.manager.connection_delay(self.nodes["b"]), 0)
        self.assertRaises(kafka_errors.NodeNotReadyError, self.manager.get_connection, self.nodes["a"])

    def test_bootstrap_is_told_instead_of_waiting(self) -> None:
        self.refuse("a")
        with self.assertRaisesRegex(SignInWithheld, "the broker refuses the proxy's sign-in"):
            self.manager.get_connection(self.nodes["a"], pop_on_close=False)

    def test_a_refusal_by_all_is_a_refusal(self) -> None:
        self.refuse("a")
        self.assertIsNone(self.manager.refusal())
        self.assertIsNotNone(self.manager.refusal(self.nodes["a"]))
        self.refuse("b")
        self.assertIn("wrong password", self.manager.refusal() or "")

    def test_what_comes_with_the_end_of_a_stream_is_heard(self) -> None:
        class Transport:
            reads: list[tuple[bytes, Exception | None]] = [(b"answer", OSError("end")), (b"", OSError("end"))]

            def _sock_recv(self) -> tuple[bytes, Exception | None]:
                return self.reads.pop(0)

        async def build(_: Any, node: Any, timeout_at: Any = None) -> Transport:
            return Transport()

        self.patch(KafkaConnectionManager, "_build_transport", build)
        building = Deferred.fromCoroutine(self.manager._build_transport("node"))
        transport = self.successResultOf(building)
        self.assertEqual(transport._sock_recv(), (b"answer", None))
        self.assertIsInstance(transport._sock_recv()[1], OSError)


class OutcomeTests(SynchronousTestCase):
    def test_a_refused_sign_in_is_not_the_client_s_fault(self) -> None:
        for error in (
            REFUSED,
            SignInWithheld("the broker refuses it"),
            kafka_errors.UnsupportedSaslMechanismError(),
        ):
            self.assertIsInstance(not_sent(error, "demo"), SignInRefused)
        self.assertEqual(SignInRefused.http_status, 503)
        self.assertEqual(
            str(not_sent(SignInWithheld("the broker refuses it"), "demo")), "the broker refuses it"
        )


class NoPublisherTests(SynchronousTestCase):
    def test_it_says_which_setting_is_missing(self) -> None:
        publisher = NoPublisher()
        verifyObject(IEnvelopePublisher, publisher)
        for asking in (
            publisher.choose_partition("demo", None, None),
            publisher.publish("demo", 0, None, b"", [], None),
            publisher.check(),
        ):
            failure = self.failureResultOf(Deferred.fromCoroutine(asking), BrokerUnavailable)
            self.assertIn("LFS_KAFKA_SASL_MECHANISM is not set", failure.getErrorMessage())
        self.assertEqual(self.successResultOf(Deferred.fromCoroutine(publisher.next_offset("demo", 0))), 0)
        self.successResultOf(Deferred.fromCoroutine(publisher.stop()))
