"""The text of an exception is never empty, and never Python's own notation."""

from __future__ import annotations

import re
import socket
import ssl
from pathlib import Path

import urllib3
from kafka import errors as kafka_errors
from OpenSSL import SSL
from service_identity import VerificationError
from service_identity.exceptions import DNSMismatch
from service_identity.hazmat import DNS_ID
from twisted.internet.defer import CancelledError
from twisted.internet.error import ConnectionDone
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.client import ResponseNeverReceived

import lfsproxy
from lfsproxy.errors import StoreRefused
from lfsproxy.words import error_text, is_notation

REPRS_MAY_BE_IN = {
    # What cannot happen, or a bug of ours would be there.
    "relay/replies.py": 1,
    "relay/requests.py": 1,
}
"""Files below lfsproxy/ that may use ``!r``, and how often."""


class ReprTests(SynchronousTestCase):
    """What somebody sent, or set, is quoted by ``quoting.quoted``: ``!r`` shows Python's notation."""

    def test_only_a_few_places_show_a_repr(self) -> None:
        folder = Path(lfsproxy.__file__).parent
        found = {
            str(path.relative_to(folder)): count
            for path in folder.rglob("*.py")
            if (count := len(re.findall(r"!r[:}]|\brepr\(", path.read_text())))
        }
        self.assertEqual(found, REPRS_MAY_BE_IN)


class ErrorTextTests(SynchronousTestCase):
    def test_what_is_a_sentence_stays(self) -> None:
        self.assertEqual(
            error_text(StoreRefused("the bucket 'x' is away (LFS_S3_BUCKET)")),
            "the bucket 'x' is away (LFS_S3_BUCKET)",
        )

    def test_our_own_sentences_stay_whatever_they_quote(self) -> None:
        self.assertEqual(error_text(StoreRefused("the topic 'a b' is none")), "the topic 'a b' is none")
        self.assertEqual(error_text(StoreRefused("")), "store refused")

    def test_an_error_without_text_is_its_class_in_words(self) -> None:
        self.assertEqual(error_text(CancelledError()), "cancelled")
        self.assertEqual(error_text(kafka_errors.KafkaTimeoutError("")), "kafka timeout")
        self.assertEqual(error_text(ValueError("")), "value")
        self.assertEqual(error_text(ConnectionDone()), "Connection was closed cleanly.")

    def test_what_does_not_decode_and_what_is_missing(self) -> None:
        self.assertEqual(error_text(UnicodeDecodeError("utf-8", b"\xff", 0, 1, "no")), "it is not UTF-8")
        self.assertEqual(error_text(KeyError("topic")), "there is no 'topic'")
        self.assertEqual(error_text(KeyError(b"x")), "key")

    def test_an_answer_that_broke_off(self) -> None:
        error = urllib3.exceptions.ProtocolError("Connection broken: IncompleteRead(1 bytes read)")
        self.assertEqual(error_text(error), "Connection broken: the answer broke off (1 bytes read)")

    def test_openssl_s_tuples(self) -> None:
        error = SSL.Error([("SSL routines", "", "wrong version number"), ("", "", "other")])
        self.assertEqual(error_text(error), "wrong version number; other")

    def test_errors_inside_agent_s_are_told_once(self) -> None:
        inner = [Failure(SSL.Error([("a", "b", "bad thing")])), Failure(SSL.Error([("c", "d", "bad thing")]))]
        self.assertEqual(error_text(ResponseNeverReceived(inner)), "bad thing")

    def test_reprs_are_not_shown(self) -> None:
        mismatch = VerificationError(errors=[DNSMismatch(mismatched_id=DNS_ID("localhost"))])
        for error in (
            mismatch,
            ValueError("Segment header failed to decode", UnicodeDecodeError("utf-8", b"\xfc", 0, 1, "no")),
            OSError(),
            RuntimeError(object()),
            RuntimeError(b"bytes"),
        ):
            text = error_text(error)
            self.assertTrue(text)
            self.assertFalse(is_notation(text), text)

    def test_the_system_s_words(self) -> None:
        self.assertEqual(error_text(ConnectionRefusedError(111, "Connection refused")), "Connection refused")
        self.assertEqual(
            error_text(socket.gaierror(-2, "Name or service not known")), "Name or service not known"
        )

    def test_urllib3_s_pools_are_not_named(self) -> None:
        pool = urllib3.PoolManager(retries=False, timeout=2)
        with socket.socket() as one:
            one.bind(("127.0.0.1", 0))
            port = one.getsockname()[1]
        error = self.assertRaises(
            urllib3.exceptions.HTTPError, pool.request, "GET", f"http://127.0.0.1:{port}/"
        )
        self.assertEqual(error_text(error), "Failed to establish a new connection: Connection refused")
        error = self.assertRaises(urllib3.exceptions.HTTPError, pool.request, "GET", "http://nobody.invalid/")
        self.assertNotIn("HTTPConnection", error_text(error))

    def test_python_s_own_tls_errors(self) -> None:
        error = ssl.SSLCertVerificationError(1, "[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed")
        error.verify_message = "self-signed certificate"
        self.assertEqual(error_text(error), "certificate verify failed: self-signed certificate")
