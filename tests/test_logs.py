"""No control character from outside reaches the log, from whichever field of whichever door it comes."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import cast

from twisted.logger import ILogObserver, LogEvent, formatEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

import lfsproxy
from lfsproxy.logs import Logger
from lfsproxy.quoting import shown
from tests.relay.records import batch, lfs, produce, record
from tests.relay.records import request as kafka_request
from tests.relay.rig import RelayTestCase
from tests.relay.sasl import SaslServer, authenticate, handshake
from tests.web.doubles import Door, form, request
from tests.web.tus_door import TUS, TusDoor, encode

NASTY = "n\x00a\x1b[31m\r\ns\u2028t\u2029\x85\u202e\u2066\x7fy"
WIRE = NASTY.encode()


def lines_of(events: list[LogEvent]) -> list[str]:
    """The formatted events, of every level."""
    return [formatEvent(event) for event in events]


def imports_twisteds_logger(text: str) -> bool:
    """Whether a module's text takes a logger from Twisted itself."""
    names = set[str]()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return bool(names & {"twisted.logger", "twisted.logger.Logger", "twisted.python.log"})


class ShownTests(SynchronousTestCase):
    def test_printable_names_are_as_they_are(self) -> None:
        for name in ("orders", "bestände", "注文", "a b", ""):
            self.assertEqual(shown(name), name)
        self.assertIsNone(shown(None))

    def test_what_is_not_printable_is_escaped(self) -> None:
        self.assertEqual(shown("a\nb\u2028\u202ec"), "a\\nb\\u2028\\u202ec")
        self.assertEqual(shown(b"\xff\x00"), "\\udcff\\x00")

    def test_long_names_are_cut(self) -> None:
        self.assertEqual(shown("a" * 1000), "a" * 250)

    def test_every_module_logs_through_it(self) -> None:
        folder = Path(lfsproxy.__file__).parent
        for path in folder.rglob("*.py"):
            if path.name != "logs.py" or path.parent != folder:
                self.assertFalse(imports_twisteds_logger(path.read_text()), path)

    def test_the_import_is_found_however_it_is_written(self) -> None:
        for text in (
            "from twisted.logger import Logger",
            "from twisted.logger import (\n    LogLevel,\n    Logger,\n)",
            "from twisted import logger",
            "import twisted.logger",
            "from twisted.python import log",
        ):
            self.assertTrue(imports_twisteds_logger(text), text)
        self.assertFalse(imports_twisteds_logger("from twisted.logger import LogLevel"))


class LoggerTests(SynchronousTestCase):
    _log = Logger()

    def setUp(self) -> None:
        self.events: list[LogEvent] = []
        observe = cast(ILogObserver, self.events.append)
        globalLogPublisher.addObserver(observe)
        self.addCleanup(globalLogPublisher.removeObserver, observe)

    def test_every_kind_of_value(self) -> None:
        self._log.warn("{a} {b} {c} {d:.1f}", a=NASTY, b=ValueError(NASTY), c=[NASTY], d=1.25)
        (line,) = lines_of(self.events)
        self.assertTrue(line.isprintable(), line)
        self.assertTrue(line.endswith(" 1.2"))

    def test_it_is_the_module_s(self) -> None:
        self._log.info("x")
        self.assertEqual(self.events[0]["log_namespace"], "tests.test_logs.LoggerTests")


class KafkaLogTestCase(RelayTestCase):
    """Looks at the log of the Kafka door."""

    def check(self, some: str) -> None:
        lines = lines_of(self.events)
        self.assertTrue(any(some in line for line in lines), lines)
        for line in lines:
            self.assertTrue(line.isprintable(), line)


class KafkaDoorTests(KafkaLogTestCase):
    """Client id, topic, header values, transactional id."""

    def test_topic_and_transactional_id(self) -> None:
        self.client().send(produce(1, batch(lfs(b"x")), topic=NASTY, transactional_id=NASTY))
        self.check("refused a batch of a-client for n\\x00a\\x1b[31m\\r\\ns\\u2028t")

    def test_client_id(self) -> None:
        frame = produce(1, batch(lfs(b"x")), topic="no/name")
        frame = frame.replace(b"a-client", WIRE[:8])
        self.client().send(frame)
        self.check("refused a batch of n\\x00a\\x1b[31m for no/name")

    def test_header_values(self) -> None:
        for headers in (
            [(b"LFS_BLOB", WIRE)],
            [(b"LFS_BLOB", b""), (b"LFS_BLOB_ALG", WIRE)],
            [(b"LFS_BLOB", b"0" * 64), (b"content-type", WIRE), (WIRE, WIRE)],
        ):
            self.client().send(produce(1, batch(record(b"x", *headers))))
        self.check("refused a batch of a-client for demo-topic/0: record 0: ")

    def test_an_outcome_that_is_not_known(self) -> None:
        self.cluster.fail_next(-1)
        self.client().send(produce(1, batch(lfs(b"x", (b"content-type", WIRE)))))
        self.check("its blob stays")

    def test_broken_framing(self) -> None:
        self.client().send(kafka_request(78, 1, 1, WIRE).replace(b"a-client", WIRE[:8]))
        self.check("the connection of Kafka client n\\x00a\\x1b[31m")
        self.client().send(b"GET /" + WIRE + b" HTTP/1.1\r\n\r\n")
        self.check("looks like HTTP")


class SignInTests(KafkaLogTestCase):
    """SASL user and mechanism of a client that signs in with the broker."""

    overrides = {"kafka_security_protocol": "SASL_PLAINTEXT"}

    def prepare(self) -> None:
        self.cluster.sasl = SaslServer()

    def test_user(self) -> None:
        client = self.client()
        client.send(handshake(1, mechanism=NASTY))
        client.send(authenticate(2, b"\0" + WIRE + b"\0" + WIRE))
        client.send(produce(3, batch(lfs(b"x"))))
        self.check("produces before the broker has taken its sign-in")


class HttpDoorTests(SynchronousTestCase):
    """Path, query, headers, file name, tus metadata."""

    def setUp(self) -> None:
        self.events: list[LogEvent] = []
        observe = cast(ILogObserver, self.events.append)
        globalLogPublisher.addObserver(observe)
        self.addCleanup(globalLogPublisher.removeObserver, observe)
        # Each by itself, since the parser takes only some of them.
        self.raw = [f"a{each.encode().decode('latin-1')}b" for each in NASTY if not each.isprintable()]
        self.quoted = "".join(f"%{byte:02x}" for byte in WIRE)

    def check(self, door: Door, data: bytes) -> None:
        client = door.client()
        client.send(data)
        client.leave()
        lines = lines_of(self.events)
        self.assertTrue(any(" /" in line for line in lines), lines)
        for line in lines:
            self.assertTrue(line.isprintable(), line)

    def test_path_and_query(self) -> None:
        for nasty in (self.quoted, *self.raw):
            for path in (
                f"/v1/topics/{nasty}/records",
                f"/{nasty}",
                f"/v1/topics/t/records?{nasty}=1",
                f"/v1/topics/t/records?header={nasty}:{nasty}&content_type={nasty}&checksum={nasty}",
            ):
                self.check(Door(), request(path=path, body=b"x"))

    def test_headers(self) -> None:
        for name in ("Content-Type", "Content-Digest", "Content-MD5", "Authorization", "Origin", "X-Other"):
            for nasty in ("fine", *self.raw):
                self.check(Door(), request(body=b"x", headers=[f"{name}: {nasty}"]))

    def test_a_method(self) -> None:
        for nasty in ("PATCHED", *self.raw):
            self.check(Door(), request(method=nasty))

    def test_a_file_name(self) -> None:
        body, header = form(("file", NASTY, b"x"))
        self.check(Door(), request(body=body, headers=[header]))
        body, header = form((NASTY, None, b"x"))
        self.check(Door(), request(body=body, headers=[header]))

    def test_tus_metadata(self) -> None:
        fields = [f"{name} {encode(NASTY)}" for name in ("filename", "key", "filetype", *self.raw)]
        for metadata in fields:
            headers = [TUS, "Upload-Length: 1", f"Upload-Metadata: {metadata}"]
            self.check(TusDoor(), request(path="/v1/topics/t/uploads", headers=headers))

    def test_a_tus_id(self) -> None:
        for nasty in (self.quoted, *self.raw):
            self.check(TusDoor(), request("PATCH", f"/v1/topics/t/uploads/{nasty}", headers=[TUS]))
