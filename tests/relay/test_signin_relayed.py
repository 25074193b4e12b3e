"""Clients that sign in with the brokers through the relay: when they may upload."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred

from lfsproxy.errors import BrokerUnavailable
from lfsproxy.wire.apis import KafkaApi
from tests.relay.records import batch, lfs, produce, record, request
from tests.relay.rig import KIB, Client
from tests.relay.sasl import (
    AUTHENTICATION_FAILED,
    BLOB,
    SignInTestCase,
    authenticate,
    handshake,
)


class GateTests(SignInTestCase):
    """LFS_KAFKA_CLIENT_IDENTITY=relay: the client's own exchange."""

    overrides = {"kafka_security_protocol": "SASL_PLAINTEXT"}

    def setUp(self) -> None:
        super().setUp()
        self.begun: list[str] = []
        begin: Any = self.store.begin

        def note(key: str, *rest: Any) -> Any:
            self.begun.append(key)
            return begin(key, *rest)

        self.patch(self.store, "begin", note)

    def asked_check(self) -> Deferred[None]:
        """A question for readiness, and what comes of it."""
        asking = Deferred.fromCoroutine(self.relay.check())
        self.net.flow()
        self.pass_seconds(1)
        return asking

    def assert_closed_unread(self, client: Client) -> None:
        """The client's Produce closed its connection, and nothing of it went anywhere."""
        self.assertFalse(client.is_open)
        self.assert_nothing_published()
        self.assertEqual((self.begun, self.budget.used), ([], 0))
        self.assertIn(("not-signed-in",), self.metrics.of("kafka_closed"))
        self.assertIn("produces before the broker has taken its sign-in", self.lines()[-1])

    def test_who_has_signed_in_uploads(self) -> None:
        client = self.client()
        client.send(handshake(1))
        client.send(authenticate(2))
        client.send(BLOB)
        self.assertEqual(client.order, [1, 2, 9])
        self.assert_published(b"blob")

    def test_the_exchange_is_relayed_byte_for_byte(self) -> None:
        for version in (0, 1, 2):
            client = self.client()
            frames = [handshake(1), authenticate(2, version=version)]
            for frame in frames:
                client.send(frame)
            self.assertEqual([each.frame for each in self.broker.requests], frames)
            client.send(BLOB)
            self.assertEqual(client.order, [1, 2, 9])

    def test_nobody_uploads_before_signing_in(self) -> None:
        for _ in range(100):
            client = self.client()
            client.send(produce(9, batch(lfs(bytes(100 * KIB)))))
            self.assert_closed_unread(client)

    def test_a_large_request_before_the_sign_in_is_not_read(self) -> None:
        client = self.client()
        client.send(produce(9, batch(lfs(bytes(3000 * KIB)))))
        self.assert_closed_unread(client)

    def test_plain_records_do_not_pass_either(self) -> None:
        client = self.client()
        client.send(produce(9, batch(record(b"plain")), acks=0))
        self.assert_closed_unread(client)

    def test_a_produce_that_does_not_wait_for_the_answer(self) -> None:
        self.cluster.held = True
        client = self.client()
        client.send(handshake(1), authenticate(2), BLOB)
        self.assert_closed_unread(client)

    def test_a_handshake_is_no_sign_in(self) -> None:
        client = self.client()
        client.send(handshake(1))
        client.send(BLOB)
        self.assert_closed_unread(client)

    def test_a_refused_sign_in(self) -> None:
        client = self.client()
        client.send(handshake(1))
        client.send(authenticate(2, b"\0user\0wrong"))
        self.assertEqual(client.replies[1].body[:2], AUTHENTICATION_FAILED.to_bytes(2))
        client.send(BLOB)
        self.assert_closed_unread(client)

    def test_the_first_step_of_scram_is_positive_and_no_sign_in(self) -> None:
        self.sasl.steps.append((0, b"r=nonce,s=salt,i=4096"))
        client = self.client()
        client.send(handshake(1, "SCRAM-SHA-256"))
        client.send(authenticate(2, b"n,,n=user,r=nonce"))
        client.send(BLOB)
        self.assert_closed_unread(client)

    def test_the_last_step_of_scram_is_a_sign_in(self) -> None:
        self.sasl.steps.extend([(0, b"r=nonce,s=salt,i=4096"), (0, b"v=proof")])
        client = self.client()
        client.send(handshake(1, "SCRAM-SHA-256"))
        client.send(authenticate(2, b"n,,n=user,r=nonce"))
        client.send(authenticate(3, b"c=biws,r=nonce,p=proof"))
        client.send(BLOB)
        self.assert_published(b"blob")

    def test_a_refused_token_is_first_answered_without_an_error_code(self) -> None:
        self.sasl.steps.extend([(0, b'{"status":"invalid_token"}'), (0, b"")])
        client = self.client()
        client.send(handshake(1, "OAUTHBEARER"))
        client.send(authenticate(2, b"n,,\x01auth=Bearer x\x01\x01"))
        other = self.client()
        client.send(BLOB)
        self.assert_closed_unread(client)
        other.send(handshake(1, "OAUTHBEARER"))
        other.send(authenticate(2, b"n,,\x01auth=Bearer y\x01\x01"))
        other.send(BLOB)
        self.assert_published(b"blob")

    def test_a_handshake_behind_a_first_step_does_not_lend_it_its_name(self) -> None:
        for first in (
            [handshake(1, "SCRAM-SHA-256"), authenticate(2, b"n,,n=user"), handshake(3, "PLAIN")],
            [handshake(1, "SCRAM-SHA-256"), handshake(3, "PLAIN"), authenticate(2, b"n,,n=user")],
        ):
            self.sasl.steps.append((0, b"r=nonce,s=salt,i=4096"))
            client = self.client()
            client.send(*first)
            client.send(BLOB)
            self.assert_closed_unread(client)

    def test_a_session_that_is_renewed_goes_on(self) -> None:
        client = self.client()
        client.send(handshake(1))
        client.send(authenticate(2))
        client.send(handshake(3))
        client.send(BLOB)
        client.send(authenticate(4))
        client.send(produce(10, batch(lfs(b"more"))))
        self.assertEqual(client.order, [1, 2, 3, 9, 4, 10])
        self.assert_published(b"blob", b"more")

    def test_a_session_that_is_not_renewed_ends(self) -> None:
        client = self.client()
        client.send(handshake(1))
        client.send(authenticate(2))
        client.send(handshake(3))
        client.send(authenticate(4, b"\0user\0wrong"))
        client.send(BLOB)
        self.assert_closed_unread(client)

    def test_without_an_identity_the_proxy_asks_what_anybody_may(self) -> None:
        self.successResultOf(self.asked_check())
        self.assertEqual(self.asked(), [18])
        self.assertEqual(self.sasl.attempts, 0)
        self.assertIn("LFS_KAFKA_SASL_MECHANISM is not set", self.lines()[0])
        self.assertEqual(self.relay.notes(), self.lines())

    def test_without_an_identity_an_unreachable_cluster_is_told(self) -> None:
        self.cluster.reachable = False
        problem = self.failureResultOf(self.asked_check(), BrokerUnavailable)
        self.assertIn("10.0.0.1:9092", problem.getErrorMessage())

    def test_a_broker_s_port_is_opened_when_a_client_s_answer_names_it(self) -> None:
        self.assertEqual([number for number, *_ in self.net.tcpServers], [19092])
        self.client().send(request(KafkaApi.METADATA, 1, 1, b"\0\0\0\0"))
        self.assertEqual([number for number, *_ in self.net.tcpServers], [19092, 19093, 19094])
