"""The commands' identity on kafka-python's connections: arguments, a password that changes or is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from kafka import errors as kafka_errors
from kafka.future import Future
from kafka.net.manager import KafkaConnectionManager
from kafka.net.selector import NetworkSelector
from kafka.protocol.consumer import FetchRequest, FetchResponse
from kafka.protocol.metadata import MetadataRequest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from lfsproxy.cli.access import security_arguments as arguments_of
from lfsproxy.cli.signing import Identity, SigningManager, SignInWithheld
from lfsproxy.errors import SettingError
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


def security_arguments(given: Settings) -> dict[str, Any]:
    return arguments_of(given, Identity(given))


class ArgumentsTests(SynchronousTestCase):
    def test_without_security_there_is_none(self) -> None:
        arguments = security_arguments(Settings())
        self.assertEqual(arguments["security_protocol"], "PLAINTEXT")
        self.assertEqual([name for name in arguments if name.startswith(("ssl_", "sasl_"))], [])

    def test_tls(self) -> None:
        arguments = security_arguments(
            settings("", "SSL", kafka_tls_ca="ca", kafka_tls_cert="cert", kafka_tls_key="key")
        )
        self.assertEqual(
            {name: value for name, value in arguments.items() if name.startswith("ssl_")},
            {"ssl_check_hostname": True, "ssl_cafile": "ca", "ssl_certfile": "cert", "ssl_keyfile": "key"},
        )
        self.assertIsNone(security_arguments(settings("", "SSL"))["ssl_cafile"])

    def test_sasl(self) -> None:
        arguments = security_arguments(settings("SCRAM-SHA-512"))
        self.assertEqual(
            (arguments["sasl_mechanism"], arguments["sasl_plain_username"]), ("SCRAM-SHA-512", "pro=2Cxy")
        )
        self.assertEqual(security_arguments(settings())["sasl_plain_username"], "pro,xy")

    def test_a_token_is_read_from_its_file_each_time(self) -> None:
        file = Path(self.mktemp())
        file.write_text("one")
        more = {"kafka_sasl_password": "", "kafka_sasl_password_file": str(file)}
        clock, given = Clock(), settings("OAUTHBEARER", **more)
        identity = Identity(given, seconds=clock.seconds)
        provider = arguments_of(given, identity)["sasl_oauth_token_provider"]
        self.assertEqual(provider.token(), "one")
        file.write_text("two\n")
        clock.advance(1)
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
        arguments = {**security_arguments(settings()), "bootstrap_servers": ["a:1", "b:1"]}
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

    def answered(self, *records: bytes | None) -> Any:
        """A Fetch answer as it is read off the wire."""
        Topic = FetchResponse.FetchableTopicResponse
        partitions = [
            Topic.PartitionData(version=12, partition_index=index, records=data, aborted_transactions=[])
            for index, data in enumerate(records)
        ]
        answer = FetchResponse(responses=[Topic(version=12, topic="t", partitions=partitions)])
        return FetchResponse.decode(answer.encode(version=12), version=12)

    def sent(self, request: Any, answer: Any) -> Any:
        class Connection:
            def send_request(self, request: Any, request_timeout_ms: int | None = None) -> Any:
                return Future().success(answer)

        self.patch(self.manager, "get_connection", lambda node: Connection())
        return self.manager.send(request, node_id=1).value

    def test_null_records_are_none(self) -> None:
        found = self.sent(FetchRequest(), self.answered(None, b"", b"batch"))
        self.assertEqual(
            [bytes(each.records) for each in found.responses[0].partitions], [b"", b"", b"batch"]
        )

    def test_other_answers_stay_as_they_are(self) -> None:
        answer = object()
        self.assertIs(self.sent(MetadataRequest(), answer), answer)
