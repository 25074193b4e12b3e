"""Frames of the proxy's own sign-in, its mechanisms, and what is remembered of refused credentials."""

from __future__ import annotations

import os

from kafka.net.sasl.scram import ScramClient
from kafka.protocol.sasl import (
    SaslAuthenticateRequest,
    SaslAuthenticateResponse,
    SaslHandshakeRequest,
    SaslHandshakeResponse,
)
from twisted.trial.unittest import SynchronousTestCase

from lfsproxy.errors import FramingError, SignInRefused
from lfsproxy.wire.sasl import (
    REFUSED_SECONDS,
    Authenticated,
    RefusedSignIns,
    SaslClient,
    SignInWatch,
    authenticate_request,
    decode_authenticate,
    decode_handshake,
    handshake_mechanism,
    handshake_request,
    new_client,
)

BROKER, OTHER = ("a", 1), ("b", 1)
CREDENTIALS, CHANGED = ("PLAIN", "proxy", "hunter2"), ("PLAIN", "proxy", "hunter3")


def client(mechanism: str, username: str = "proxy", protocol: str = "SASL_SSL") -> SaslClient:
    return new_client(mechanism, username, "hunter2", "broker.example", protocol)


class FrameTests(SynchronousTestCase):
    """Against kafka-python's codecs."""

    def test_requests(self) -> None:
        shake = SaslHandshakeRequest.decode(
            handshake_request(7, "SCRAM-SHA-512"), version=1, header=True, framed=True
        )
        self.assertEqual((shake.mechanism, shake._header.correlation_id), ("SCRAM-SHA-512", 7))
        given = SaslAuthenticateRequest.decode(
            authenticate_request(8, b"\0token"), version=1, header=True, framed=True
        )
        self.assertEqual((given.auth_bytes, given._header.correlation_id), (b"\0token", 8))

    def test_the_mechanism_that_a_client_names(self) -> None:
        frame = handshake_request(7, "PLAIN")
        self.assertEqual(handshake_mechanism(frame[-7:]), "PLAIN")

    def test_handshake_answers(self) -> None:
        message = SaslHandshakeResponse(version=1, error_code=33, mechanisms=["PLAIN", "GSSAPI"])
        self.assertEqual(decode_handshake(bytes(message.encode(version=1))), (33, ["PLAIN", "GSSAPI"]))

    def test_authenticate_answers_of_every_version(self) -> None:
        for version in (0, 1, 2):
            for text in (None, "wrong"):
                message = SaslAuthenticateResponse(
                    version=version,
                    error_code=58,
                    error_message=text,
                    auth_bytes=b"v=x",
                    session_lifetime_ms=9,
                )
                body = (b"\0" if version == 2 else b"") + bytes(message.encode(version=version))
                expected = Authenticated(58, text, b"v=x", 9 if version else 0)
                self.assertEqual(decode_authenticate(body, version), expected)

    def test_answers_that_are_cut_short(self) -> None:
        for decode in (decode_handshake, decode_authenticate, handshake_mechanism):
            for body in (b"", b"\0", b"\0\x63"):
                self.assertRaises(FramingError, decode, body)


class MechanismTests(SynchronousTestCase):
    def test_plain(self) -> None:
        plain = client("PLAIN")
        self.assertEqual(plain.auth_bytes(), b"proxy\0proxy\0hunter2")
        plain.receive(b"")
        self.assertTrue(plain.is_done())

    def test_a_token(self) -> None:
        bearer = client("OAUTHBEARER", username="")
        self.assertEqual(bearer.auth_bytes(), b"n,,\x01auth=Bearer hunter2\x01\x01")
        bearer.receive(b'{"status":"invalid_token"}')
        self.assertFalse(bearer.is_done())
        self.assertEqual(bearer.auth_bytes(), b"\x01")

    def test_scram_names_are_escaped(self) -> None:
        first = client("SCRAM-SHA-256", username="a=b,c").auth_bytes()
        self.assertTrue(first.startswith(b"n,,n=a=3Db=2Cc,r="), first)

    def test_scram_verifies_the_server(self) -> None:
        for mechanism in ScramClient.MECHANISMS:
            scram = client(mechanism)
            nonce = scram.auth_bytes().rpartition(b"r=")[2]
            scram.receive(b"r=" + nonce + b"more,s=c2FsdA==,i=4096")
            self.assertFalse(scram.is_done())
            scram.auth_bytes()
            with self.assertRaisesRegex(SignInRefused, f"the broker's {mechanism} answer is not right"):
                scram.receive(b"v=d3Jvbmc=")

    def test_a_server_that_answers_another_s_nonce(self) -> None:
        scram = client("SCRAM-SHA-256")
        scram.auth_bytes()
        self.assertRaises(SignInRefused, scram.receive, b"r=other,s=c2FsdA==,i=4096")
        self.assertRaises(SignInRefused, client("SCRAM-SHA-256").receive, b"nonsense")

    def test_aws_signs_the_broker_s_name(self) -> None:
        for name, value in (
            ("AWS_ACCESS_KEY_ID", "AKID"),
            ("AWS_SECRET_ACCESS_KEY", "secret"),
            ("AWS_DEFAULT_REGION", "eu-west-1"),
        ):
            self.patch_environment(name, value)
        signed = client("AWS_MSK_IAM").auth_bytes()
        self.assertIn(b'"host":"broker.example"', signed)
        self.assertNotIn(b"secret", signed)

    def patch_environment(self, name: str, value: str) -> None:
        old = os.environ.get(name)
        os.environ[name] = value
        self.addCleanup(lambda: os.environ.pop(name) if old is None else os.environ.update({name: old}))

    def test_a_mechanism_that_cannot_be_used_here_is_named(self) -> None:
        with self.assertRaisesRegex(SignInRefused, "AWS_MSK_IAM .*cannot be used here: .*SASL_SSL"):
            client("AWS_MSK_IAM", protocol="SASL_PLAINTEXT")


class RefusedTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.refused = RefusedSignIns()
        self.refused.refused(BROKER, CREDENTIALS, 100.0, "wrong password")

    def test_refused_credentials_are_not_shown_again_for_a_while(self) -> None:
        with self.assertRaisesRegex(SignInRefused, "^wrong password$"):
            self.refused.check(BROKER, CREDENTIALS, 100.0 + REFUSED_SECONDS - 0.1)
        self.refused.check(BROKER, CREDENTIALS, 100.0 + REFUSED_SECONDS)

    def test_others_are(self) -> None:
        self.refused.check(BROKER, CHANGED, 101.0)

    def test_another_broker_may_think_otherwise(self) -> None:
        self.refused.check(OTHER, CREDENTIALS, 101.0)

    def test_no_password_is_in_a_repr(self) -> None:
        self.assertNotIn("hunter2", repr(vars(self.refused)))


class GateTests(SynchronousTestCase):
    def is_open(self, *steps: str | tuple[int, bytes]) -> bool:
        """Whether the sign-in is done after handshakes (a mechanism) and answers (error code, auth bytes)."""
        watch = SignInWatch()
        for step in steps:
            if isinstance(step, str):
                watch.handshake(step)
            else:
                watch.answered(Authenticated(step[0], None, step[1], 0))
        return watch.done

    def test_it_is_closed_at_first(self) -> None:
        self.assertFalse(self.is_open())
        self.assertFalse(self.is_open("PLAIN"))

    def test_an_answer_without_a_handshake_opens_nothing(self) -> None:
        self.assertFalse(self.is_open((0, b"")))

    def test_one_step_mechanisms(self) -> None:
        for mechanism in ("PLAIN", "GSSAPI", "AWS_MSK_IAM"):
            self.assertTrue(self.is_open(mechanism, (0, b"")))
            self.assertFalse(self.is_open(mechanism, (58, b"")))

    def test_scram_opens_with_the_server_s_proof(self) -> None:
        for mechanism in ("SCRAM-SHA-256", "SCRAM-SHA-512"):
            self.assertFalse(self.is_open(mechanism, (0, b"r=x,s=y,i=1")))
            self.assertFalse(self.is_open(mechanism, (0, b"r=x,s=y,i=1"), (0, b"e=other-error")))
            self.assertTrue(self.is_open(mechanism, (0, b"r=x,s=y,i=1"), (0, b"v=proof")))

    def test_tokens_open_with_an_empty_answer(self) -> None:
        self.assertFalse(self.is_open("OAUTHBEARER", (0, b"{}")))
        self.assertFalse(self.is_open("OAUTHBEARER", (0, b"{}"), (58, b"")))
        self.assertTrue(self.is_open("OAUTHBEARER", (0, b"")))

    def test_a_renewal_keeps_it_open_unless_it_fails(self) -> None:
        self.assertTrue(self.is_open("PLAIN", (0, b""), "PLAIN"))
        self.assertTrue(self.is_open("PLAIN", (0, b""), "PLAIN", (0, b""), "SCRAM-SHA-256", (0, b"r=")))
        self.assertFalse(self.is_open("PLAIN", (0, b""), "PLAIN", (58, b"")))

    def test_an_exchange_within_another_opens_nothing(self) -> None:
        self.assertFalse(self.is_open("SCRAM-SHA-256", "PLAIN", (0, b"r=x")))
        self.assertFalse(self.is_open("SCRAM-SHA-256", (0, b"r=x"), "PLAIN", (0, b"")))
