"""The proxy's own sign-in at brokers: before each connection, again in time, and with a wrong password."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from kafka.protocol.metadata import ApiVersionsResponse
from twisted.internet.defer import Deferred
from twisted.logger import LogLevel

from lfsproxy.errors import BrokerUnavailable, SignInRefused
from lfsproxy.kafka.token_server import TokenClient
from lfsproxy.wire.apis import KafkaApi
from lfsproxy.wire.oauth import Token
from tests.relay.records import request
from tests.relay.sasl import (
    AUTHENTICATION_FAILED,
    BLOB,
    OWN,
    SASL_AUTHENTICATE,
    SASL_HANDSHAKE,
    SignInTestCase,
    handshake,
)


class RelayWithIdentityTests(SignInTestCase):
    """Both identities at once: the client's on its connections, the proxy's for its own questions."""

    overrides = {**OWN}

    def test_the_proxy_s_own_questions_are_signed_in(self) -> None:
        self.assertEqual(self.asked(), [SASL_HANDSHAKE, SASL_AUTHENTICATE, KafkaApi.METADATA])
        self.successResultOf(Deferred.fromCoroutine(self.relay.check()))
        self.assertEqual(self.relay.notes(), [])

    def test_clients_sign_in_by_themselves(self) -> None:
        client = self.client()
        self.assertEqual(self.asked(), [])
        client.send(BLOB)
        self.assertFalse(client.is_open)
        self.assert_nothing_published()


class ProxyIdentityTests(SignInTestCase):
    """LFS_KAFKA_CLIENT_IDENTITY=proxy: every connection is signed in with the proxy's own."""

    overrides = {**OWN, "kafka_client_identity": "proxy"}

    def test_each_connection_is_signed_in_before_the_client_s_first_request(self) -> None:
        client = self.client()
        client.send(BLOB)
        self.assertEqual(self.asked()[:2], [SASL_HANDSHAKE, SASL_AUTHENTICATE])
        self.assertEqual(self.broker.requests[1].body[4:], b"proxy\0proxy\0hunter2")
        self.assertEqual(client.order, [9])
        self.assert_published(b"blob")

    def test_what_a_client_sends_meanwhile_waits(self) -> None:
        self.cluster.held = True
        client = self.client()
        client.send(request(KafkaApi.METADATA, 1, 1, b"\0\0\0\0"))
        self.assertEqual(self.asked(), [SASL_HANDSHAKE])
        self.answer()
        self.assertEqual(self.asked(), [SASL_HANDSHAKE, SASL_AUTHENTICATE])
        self.answer()
        self.assertEqual(self.asked(), [SASL_HANDSHAKE, SASL_AUTHENTICATE, KafkaApi.METADATA])

    def test_signing_in_is_not_offered_to_clients(self) -> None:
        self.cluster.ranges = (*self.cluster.ranges, (SASL_HANDSHAKE, 0, 1), (SASL_AUTHENTICATE, 0, 2))
        client = self.client()
        client.send(request(KafkaApi.API_VERSIONS, 0, 1))
        offered = ApiVersionsResponse.decode(client.replies[0].body, version=0).api_keys
        self.assertFalse({each.api_key for each in offered} & {SASL_HANDSHAKE, SASL_AUTHENTICATE})
        client.send(handshake(2))
        self.assertFalse(client.is_open)
        self.assertIn("SaslHandshake was not offered: the proxy signs in by itself", self.lines()[-1])

    def test_whoever_reaches_the_port_has_the_proxy_s_rights_which_is_said(self) -> None:
        self.assertIn("LFS_KAFKA_CLIENT_IDENTITY is proxy", self.lines()[0])

    def test_no_password_is_logged(self) -> None:
        self.sasl.password = b"other"
        self.client()
        self.assertNotIn("hunter2", "\n".join(self.lines(*LogLevel.iterconstants())))

    def test_a_broker_that_closes_during_the_sign_in(self) -> None:
        self.cluster.held = True
        client = self.client()
        for _ in self.cluster.addresses:
            self.broker.hang_up()
            self.net.flow()
        self.assertFalse(client.is_open)
        self.assertIn("closed the connection during sign-in", self.lines()[-1])

    def test_a_broker_that_does_not_answer_is_given_up(self) -> None:
        self.cluster.silent = True
        client = self.client()
        self.pass_seconds(21)
        self.assertFalse(client.is_open)

    def test_a_client_that_goes_away_ends_its_sign_in(self) -> None:
        self.cluster.held = True
        self.client().hang_up()
        self.assertFalse(self.broker.is_open)


class RefusedTestCase(SignInTestCase):
    overrides = {**OWN, "kafka_client_identity": "proxy"}

    def prepare(self) -> None:
        super().prepare()
        self.sasl.password = b"other"


class RefusedTests(RefusedTestCase):
    def test_wrong_credentials_are_told(self) -> None:
        problem = self.failureResultOf(Deferred.fromCoroutine(self.relay.check()), BrokerUnavailable)
        self.assertEqual(
            problem.getErrorMessage(),
            "the broker refuses the proxy's sign-in by PLAIN as 'proxy': wrong password",
        )

    def test_they_are_not_tried_again_and_again(self) -> None:
        self.assertEqual(self.sasl.attempts, 1)
        for _ in range(29):
            self.assertFalse(self.client().is_open)
            self.pass_seconds(1)
        self.assertEqual(self.sasl.attempts, 1)
        self.pass_seconds(2)
        self.assertEqual(self.sasl.attempts, 2)
        self.assertEqual(len([line for line in self.lines() if "wrong password" in line]), 1)

    def test_they_are_tried_in_the_end(self) -> None:
        self.sasl.password = b"hunter2"
        self.pass_seconds(31)
        self.successResultOf(Deferred.fromCoroutine(self.relay.check()))
        self.assertTrue(self.client().is_open)

    def test_a_mechanism_that_is_not_offered_is_told(self) -> None:
        self.sasl.mechanisms = ("GSSAPI", "SCRAM-SHA-512")
        self.pass_seconds(31)
        problem = self.failureResultOf(Deferred.fromCoroutine(self.relay.check()), BrokerUnavailable)
        self.assertIn(
            "the broker does not offer PLAIN (LFS_KAFKA_SASL_MECHANISM), but GSSAPI, SCRAM-SHA-512",
            problem.getErrorMessage(),
        )


class FirstSignInTests(RefusedTestCase):
    def test_clients_wait_for_one_another_until_one_is_signed_in(self) -> None:
        self.cluster.held = True
        self.pass_seconds(31)
        clients = [self.client() for _ in range(10)]
        self.assertEqual(len([each for each in self.cluster.connections if each.pending and each.is_open]), 1)
        self.cluster.held = False
        for each in self.cluster.connections:
            each.answer_all()
        self.net.flow()
        self.assertEqual([client.is_open for client in clients], [False] * 10)
        self.assertEqual(self.sasl.attempts, 2)


class LaterSignInTests(SignInTestCase):
    overrides = {**OWN, "kafka_client_identity": "proxy"}

    def test_with_a_broker_that_has_taken_one_they_do_not_wait(self) -> None:
        for _ in self.cluster.addresses:
            self.client()
        self.cluster.held = True
        for _ in range(10):
            self.client()
        signing = [each for each in self.cluster.connections if each.pending]
        self.assertEqual(len(signing), 10)


class PasswordFileTests(SignInTestCase):
    def setUp(self) -> None:
        self.file = Path(self.mktemp())
        self.file.write_text("old\n")
        self.overrides: dict[str, Any] = {
            **OWN,
            "kafka_sasl_password": "",
            "kafka_sasl_password_file": str(self.file),
            "kafka_client_identity": "proxy",
        }
        super().setUp()

    def test_a_new_password_is_tried_at_once(self) -> None:
        self.assertEqual(self.sasl.attempts, 1)
        self.pass_seconds(3)
        self.assertEqual(self.sasl.attempts, 1)
        self.file.write_text("hunter2\n")
        self.pass_seconds(2)
        self.successResultOf(Deferred.fromCoroutine(self.relay.check()))
        self.assertTrue(self.client().is_open)

    def test_a_file_that_is_gone_is_named(self) -> None:
        self.file.unlink()
        self.assertFalse(self.client().is_open)
        self.assertIn("LFS_KAFKA_SASL_PASSWORD_FILE", self.lines()[-1])


class TokenTests(SignInTestCase):
    """OAUTHBEARER with a token that is fetched."""

    overrides = {
        "kafka_security_protocol": "SASL_PLAINTEXT",
        "kafka_sasl_mechanism": "OAUTHBEARER",
        "kafka_client_identity": "proxy",
        "kafka_oauth_token_url": "http://sso.example/token",
        "kafka_oauth_client_id": "proxy",
        "kafka_oauth_client_secret": "hunter2",
        "kafka_oauth_extensions": ("logicalCluster=lkc-1", "identityPoolId=pool-1"),
    }

    def prepare(self) -> None:
        super().prepare()
        self.sasl.steps.extend([(0, b"")] * 20)
        self.fetches: list[Deferred[Token]] = []

        async def fetch(client: TokenClient, secret: str) -> Token:
            self.fetches.append(Deferred())
            return await self.fetches[-1]

        self.patch(TokenClient, "fetch", fetch)

    def answer_fetch(self, answer: Token | Exception) -> None:
        """The token server answers the last question."""
        if isinstance(answer, Token):
            self.fetches[-1].callback(answer)
        else:
            self.fetches[-1].errback(answer)
        self.net.flow()

    def shown(self) -> bytes:
        """What the broker was shown last."""
        shown = [each.body[4:] for each in self.requests() if each.api_key == SASL_AUTHENTICATE]
        return bytes(shown[-1])

    def requests(self) -> list[Any]:
        return [each for broker in self.cluster.connections for each in broker.requests]

    def test_the_first_ones_wait_and_all_others_take_what_is_there(self) -> None:
        client = self.client()
        client.send(BLOB)
        self.assertEqual((self.requests(), len(self.fetches)), ([], 1))
        self.answer_fetch(Token("abc", 3600))
        self.assertEqual(client.order, [9])
        self.assertEqual(
            self.shown(), b"n,,\x01auth=Bearer abc\x01logicalCluster=lkc-1\x01identityPoolId=pool-1\x01\x01"
        )
        self.assertTrue(self.client().is_open)
        self.assertEqual(len(self.fetches), 1)

    def test_a_new_token_is_shown_once_it_is_there(self) -> None:
        self.sasl.lifetime_ms = 20_000
        self.answer_fetch(Token("abc", 10))
        client = self.client()
        self.pass_seconds(8.6)
        self.answer_fetch(Token("def", 30))
        self.assertIn(b"Bearer abc", self.shown())
        self.pass_seconds(8.6)
        self.assertIn(b"Bearer def", self.shown())
        self.assertTrue(client.is_open)

    def test_why_there_is_no_token_is_told(self) -> None:
        self.answer_fetch(SignInRefused("the token server refuses the client"))
        problem = self.failureResultOf(Deferred.fromCoroutine(self.relay.check()), BrokerUnavailable)
        self.assertEqual(problem.getErrorMessage(), "the token server refuses the client")
        self.assertFalse(self.client().is_open)
        self.assertEqual(self.requests(), [])

    def test_a_broker_that_refuses_it_is_told_with_what_the_clock_has_to_do_with_it(self) -> None:
        self.sasl.steps.clear()
        self.sasl.steps.extend([(0, b'{"status":"invalid_token"}'), (AUTHENTICATION_FAILED, b"")] * 4)
        self.answer_fetch(Token("abc", 3600, "this machine's clock is 90 s behind the token server's"))
        problem = self.failureResultOf(Deferred.fromCoroutine(self.relay.check()), BrokerUnavailable)
        self.assertEqual(
            problem.getErrorMessage(),
            "the broker refuses the proxy's sign-in by OAUTHBEARER as 'proxy': wrong password "
            "(this machine's clock is 90 s behind the token server's)",
        )

    def test_what_is_wrong_with_a_token_that_serves_is_a_note(self) -> None:
        self.answer_fetch(Token("abc", 10))
        self.assertEqual(self.relay.notes(), [])
        self.pass_seconds(8.6)
        self.answer_fetch(BrokerUnavailable("the token server is gone"))
        self.assertEqual(
            self.relay.notes(), ["the proxy's token cannot be renewed: the token server is gone"]
        )

    def test_neither_token_nor_secret_is_logged(self) -> None:
        self.answer_fetch(Token("abcdef", 3600))
        self.client().send(BLOB)
        said = "\n".join(self.lines(*LogLevel.iterconstants()))
        self.assertNotIn("abcdef", said)
        self.assertNotIn("hunter2", said)


class ExpiryTests(SignInTestCase):
    """KIP-368 with the proxy's identity: it signs in again on the connections of clients, in time."""

    overrides = {**OWN, "kafka_client_identity": "proxy"}

    def prepare(self) -> None:
        super().prepare()
        self.sasl.lifetime_ms = 10_000

    def test_it_signs_in_again_before_the_session_ends(self) -> None:
        client = self.client()
        for _ in range(3):
            before = self.asked()
            self.pass_seconds(8)
            self.assertEqual(self.asked(), before)
            self.pass_seconds(0.6)
            self.assertEqual(self.asked(), [*before, SASL_HANDSHAKE, SASL_AUTHENTICATE])
        client.send(BLOB)
        self.assertEqual(client.order, [9])

    def test_an_upload_longer_than_a_session_is_published(self) -> None:
        self.store.hold("seal")
        client = self.client()
        client.send(BLOB)
        self.pass_seconds(29)
        self.assertEqual(self.asked().count(SASL_AUTHENTICATE), 4)
        self.let_go("seal")
        self.assertEqual(client.code(9), 0)
        self.assert_published(b"blob")

    def test_requests_wait_for_the_end_of_it(self) -> None:
        client = self.client()
        self.cluster.held = True
        client.send(request(KafkaApi.METADATA, 1, 1, b"\0\0\0\0"))
        self.pass_seconds(8.6)
        client.send(BLOB, request(KafkaApi.METADATA, 1, 2, b"\0\0\0\0"))
        self.assertEqual(self.asked()[2:], [KafkaApi.METADATA, SASL_HANDSHAKE])
        self.answer(2)
        self.assertEqual(self.asked()[2:], [KafkaApi.METADATA, SASL_HANDSHAKE, SASL_AUTHENTICATE])
        self.answer()
        self.cluster.held = False
        self.broker.answer_all()
        self.net.flow()
        self.assertEqual(client.order, [1, 9, 2])

    def test_a_refusal_closes_the_client_s_connection(self) -> None:
        client = self.client()
        self.sasl.password = b"other"
        self.pass_seconds(8.6)
        self.assertFalse(client.is_open)
        self.assertIn("the broker refuses the proxy's sign-in", self.lines()[-1])
        self.assertIn((SignInRefused.problem,), self.metrics.of("kafka_closed"))

    def test_a_client_that_goes_away_meanwhile(self) -> None:
        client, broker = self.client(), self.broker
        self.cluster.held = True
        self.pass_seconds(8.6)
        client.hang_up()
        self.assertFalse(broker.is_open)
