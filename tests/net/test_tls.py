"""TLS by PEM files: which side trusts which, files that change while it runs, files that cannot be used."""

# mypy: disallow-untyped-calls=False

from __future__ import annotations

import math
import os
import time
from pathlib import Path
from typing import Any, cast

from OpenSSL import SSL, crypto
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IHandshakeListener
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.task import Clock
from twisted.logger import capturedLogs, formatEvent
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.python.failure import Failure
from twisted.test.iosim import FakeTransport, IOPump
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from lfsproxy.errors import SettingError
from lfsproxy.net.tls import ClientTls, ServerTls, certificate_expiry
from lfsproxy.net.tls_errors import tls_trouble
from tests.certificates import Authority, Issued

PREFIX = "LFS_KAFKA_TLS"
UNKNOWN_AUTHORITY = (
    "its certificate is signed by an authority that is not trusted (CN=tests): put that authority's "
    "certificate into the PEM file that LFS_KAFKA_TLS_CA names"
)


@implementer(IHandshakeListener)
class End(Protocol):
    """One end of a connection, and what became of it."""

    def __init__(self) -> None:
        self.data = b""
        self.shaken = False
        self.trouble: str | None = None

    def handshakeCompleted(self) -> None:
        self.shaken = True

    def dataReceived(self, data: bytes) -> None:
        self.data += data

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.trouble = tls_trouble(reason)


class ExpiryTests(SynchronousTestCase):
    def test_it_is_that_of_the_first_certificate(self) -> None:
        issued = Authority(Path(self.mktemp())).issue("localhost")
        left = certificate_expiry(str(issued.certificate)) - time.time()
        self.assertTrue(86000 < left <= 86400, left)

    def test_a_file_without_one_has_none(self) -> None:
        file = Path(self.mktemp())
        self.assertTrue(math.isnan(certificate_expiry(str(file))))
        for text in ("", "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"):
            file.write_text(text)
            self.assertTrue(math.isnan(certificate_expiry(str(file))))


class TlsTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.folder = Path(self.mktemp())
        self.authority = Authority(self.folder)
        self.server = self.authority.issue("localhost", "127.0.0.1")
        self.me = self.authority.issue("me")

    def client_tls(self, own: Issued | None = None, ca: Path | None = None) -> ClientTls:
        """``ca``: whom to trust, the tests' authority where None."""
        cert, key = (str(own.certificate), str(own.key)) if own else ("", "")
        return ClientTls(PREFIX, str(ca or self.authority.file), cert, key)

    def server_tls(self, own: Issued | None = None, client_ca: Path | None = None) -> ServerTls:
        own = own or self.server
        return ServerTls(PREFIX, str(own.certificate), str(own.key), str(client_ca or ""))

    def connect(self, client: ClientTls, server: ServerTls, host: str = "localhost") -> tuple[End, End]:
        """Both ends after a greeting from each to the other, or what came of that."""
        clock = Clock()
        wraps: list[Any] = []
        transports = []
        for tls, is_client in ((client.creator(host), True), (server, False)):
            factory: Any = TLSMemoryBIOFactory(tls, is_client, Factory.forProtocol(End), clock)
            wraps.append(factory.buildProtocol(None))
            transports.append(FakeTransport(wraps[-1], isServer=not is_client))
        ours, theirs = wraps[0].wrappedProtocol, wraps[1].wrappedProtocol
        pump: Any = cast(Any, IOPump)(*wraps, *transports, False)
        for wrap, transport in zip(wraps, transports, strict=True):
            wrap.makeConnection(transport)
        pump.flush()
        for wrap in wraps:
            wrap.write(b"hello")
        clock.advance(0)
        pump.flush()
        return ours, theirs

    def assert_connects(self, client: ClientTls, server: ServerTls, host: str = "localhost") -> None:
        ours, theirs = self.connect(client, server, host)
        self.assertEqual([ours.trouble, theirs.trouble], [None, None])
        self.assertEqual([ours.data, theirs.data], [b"hello", b"hello"])
        self.assertTrue(ours.shaken and theirs.shaken)


class TrustTests(TlsTestCase):
    def test_a_private_authority_is_trusted_for_a_name_and_an_address(self) -> None:
        for host in ("localhost", "127.0.0.1"):
            self.assert_connects(self.client_tls(), self.server_tls(), host)

    def test_another_name_is_refused(self) -> None:
        for host in ("other.example", "127.0.0.2"):
            ours, theirs = self.connect(self.client_tls(), self.server_tls(), host)
            self.assertEqual(ours.trouble, f"its certificate is for localhost, 127.0.0.1, not for {host}")
            self.assertEqual((ours.shaken, theirs.data), (False, b""))

    def test_a_certificate_whose_names_cannot_be_used_is_refused_in_words(self) -> None:
        for own in (self.authority.issue("localhost", old=True), self.authority.issue("*")):
            ours, theirs = self.connect(self.client_tls(), self.server_tls(own))
            self.assertRegex(str(ours.trouble), "its certificate names no host .*subjectAltName")
            self.assertEqual((ours.shaken, theirs.data), (False, b""))

    def test_another_authority_is_refused(self) -> None:
        stranger = Authority(self.folder, "stranger")
        ours, theirs = self.connect(self.client_tls(ca=stranger.file), self.server_tls())
        self.assertEqual(ours.trouble, UNKNOWN_AUTHORITY)
        self.assertEqual((ours.shaken, theirs.data), (False, b""))

    def test_without_an_authority_the_system_s_are_trusted(self) -> None:
        ours, _ = self.connect(ClientTls(PREFIX, "", "", ""), self.server_tls())
        self.assertEqual(ours.trouble, UNKNOWN_AUTHORITY)

    def test_every_authority_of_a_file_is_trusted(self) -> None:
        other = Authority(self.folder, "other")
        both = self.folder / "both.pem"
        both.write_bytes(other.file.read_bytes() + self.authority.file.read_bytes())
        self.assert_connects(self.client_tls(ca=both), self.server_tls())
        self.assert_connects(self.client_tls(ca=both), self.server_tls(other.issue("localhost")))

    def test_chains_are_sent_by_both_sides(self) -> None:
        between = Authority(self.folder, "between", within=self.authority)
        client = self.client_tls(between.issue("me"))
        server = self.server_tls(between.issue("localhost"), client_ca=self.authority.file)
        self.assert_connects(client, server)

    def test_old_versions_are_refused(self) -> None:
        options = self.server_tls().context()
        self.assertTrue(options.set_options(0) & SSL.OP_NO_TLSv1_1)
        self.assertFalse(options.set_options(0) & SSL.OP_NO_TLSv1_2)


class ClientCertificateTests(TlsTestCase):
    def test_a_client_with_a_certificate_is_let_in(self) -> None:
        self.assert_connects(self.client_tls(self.me), self.server_tls(client_ca=self.authority.file))

    def test_a_client_without_one_is_not(self) -> None:
        _, theirs = self.connect(self.client_tls(), self.server_tls(client_ca=self.authority.file))
        self.assertEqual(theirs.trouble, "TLS: peer did not return a certificate")
        self.assertEqual((theirs.shaken, theirs.data), (False, b""))

    def test_nor_is_a_stranger(self) -> None:
        stranger = Authority(self.folder, "stranger").issue("me")
        _, theirs = self.connect(self.client_tls(stranger), self.server_tls(client_ca=self.authority.file))
        self.assertEqual(theirs.trouble, "TLS: certificate verify failed")
        self.assertEqual((theirs.shaken, theirs.data), (False, b""))


class ChangeTests(TlsTestCase):
    def setUp(self) -> None:
        super().setUp()
        logs = capturedLogs()
        self.events = logs.__enter__()
        self.addCleanup(logs.__exit__, None, None, None)
        self.told = 0

    def lines(self) -> list[str]:
        """What was logged since the last call."""
        found = [
            formatEvent(event) for event in self.events if event["log_namespace"] == "lfsproxy.net.reread"
        ]
        told, self.told = self.told, len(found)
        return found[told:]

    def replace(self, old: Issued, new: Issued) -> None:
        """Put other files in the place of some that are in use."""
        for name in ("certificate", "key"):
            os.replace(getattr(new, name), getattr(old, name))

    def test_a_server_s_new_certificate_is_used_without_a_restart(self) -> None:
        tls = self.server_tls()
        self.assert_connects(self.client_tls(), tls)
        self.replace(self.server, self.authority.issue("renamed.example"))
        self.assert_connects(self.client_tls(), tls, "renamed.example")
        (line,) = self.lines()
        self.assertIn("read the certificates anew", line)
        self.assert_connects(self.client_tls(), tls, "renamed.example")
        self.assertEqual(self.lines(), [])

    def test_a_client_s_new_authority_and_certificate_are_used(self) -> None:
        tls = self.client_tls(self.me)
        self.assert_connects(tls, self.server_tls())
        other = Authority(self.folder / "other")
        os.replace(other.file, self.authority.file)
        self.replace(self.me, other.issue("me"))
        server = self.server_tls(other.issue("localhost"), client_ca=self.authority.file)
        self.assert_connects(tls, server)

    def test_a_link_that_is_set_to_another_file_is_a_change(self) -> None:
        certificate, key = self.folder / "tls.crt", self.folder / "tls.key"
        for issued in (self.server, self.authority.issue("renamed.example")):
            for link, file in ((certificate, issued.certificate), (key, issued.key)):
                link.unlink(missing_ok=True)
                link.symlink_to(file.absolute())
                os.utime(file, (0, 0))
            if issued is self.server:
                tls = ServerTls(PREFIX, str(certificate), str(key), "")
                self.assert_connects(self.client_tls(), tls)
        self.assert_connects(self.client_tls(), tls, "renamed.example")

    def test_files_that_turn_bad_are_told_once_and_the_old_ones_stay(self) -> None:
        tls = self.server_tls()
        self.assert_connects(self.client_tls(), tls)
        old = self.server.certificate.read_bytes()
        for damage in (b"", b"nonsense", self.me.certificate.read_bytes()):
            self.server.certificate.write_bytes(damage)
            self.assert_connects(self.client_tls(), tls)
            self.assert_connects(self.client_tls(), tls)
            (line,) = self.lines()
            self.assertIn("LFS_KAFKA_TLS_CERT is ", line)
            self.assertIn("the ones read before stay", line)
        self.server.certificate.unlink()
        self.assert_connects(self.client_tls(), tls)
        self.assertIn("No such file", self.lines()[0])
        self.server.certificate.write_bytes(old)
        self.assert_connects(self.client_tls(), tls)
        self.assertIn("read the certificates anew", self.lines()[0])


class BadFilesTests(TlsTestCase):
    def assert_refused(self, tls: ClientTls | ServerTls, *named: str) -> None:
        error = self.assertRaises(SettingError, tls.check)
        for text in named:
            self.assertIn(text, str(error))

    def test_a_missing_file_is_named(self) -> None:
        self.assert_refused(self.client_tls(ca=Path("/nowhere.pem")), "LFS_KAFKA_TLS_CA is '/nowhere.pem'")
        nothing = Issued(*[Path("/nowhere.pem")] * 3)
        self.assert_refused(self.server_tls(nothing), "LFS_KAFKA_TLS_CERT is '/nowhere.pem'", "No such file")

    def test_what_is_no_certificate_is_named(self) -> None:
        self.assert_refused(self.client_tls(ca=self.me.key), "LFS_KAFKA_TLS_CA", "no certificate in")

    def test_a_key_that_is_not_the_certificate_s(self) -> None:
        mixed = Issued(self.server.certificate, self.me.key, self.me.combined)
        for tls in (self.client_tls(mixed), self.server_tls(mixed)):
            self.assert_refused(tls, "LFS_KAFKA_TLS_KEY", "mismatch")

    def test_a_key_with_a_passphrase_is_refused_without_asking_for_it(self) -> None:
        locked = self.folder / "locked.key"
        key = crypto.load_privatekey(crypto.FILETYPE_PEM, self.server.key.read_bytes())
        locked.write_bytes(crypto.dump_privatekey(crypto.FILETYPE_PEM, key, "aes256", b"passphrase"))
        mixed = Issued(self.server.certificate, locked, locked)
        self.assert_refused(self.server_tls(mixed), "LFS_KAFKA_TLS_KEY")

    def test_no_key_is_quoted(self) -> None:
        self.server.key.write_text(self.server.key.read_text()[:100])
        error = self.assertRaises(SettingError, self.server_tls().check)
        self.assertNotIn(self.server.key.read_text().splitlines()[1], str(error))


class TroubleTests(SynchronousTestCase):
    def test_an_ordinary_close_is_no_trouble(self) -> None:
        for reason in (None, Failure(ConnectionDone())):
            self.assertEqual(tls_trouble(reason), "")

    def test_openssl_s_own_words_are_told(self) -> None:
        error = SSL.Error([("SSL routines", "", "wrong version number"), ("", "", "other")])
        self.assertEqual(tls_trouble(Failure(error)), "TLS: wrong version number; other")
        self.assertEqual(tls_trouble(Failure(SSL.Error())), "TLS: error")
