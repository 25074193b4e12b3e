"""Lines that repeat are written a few times, then counted; with bounded memory, and per kind and client."""

from __future__ import annotations

from threading import Thread
from typing import Any, cast

from twisted.internet.task import Clock
from twisted.logger import ILogObserver, LogEvent, LogLevel, formatEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from lfsproxy.log.repeats import FEW, MANY, MOST_COUNTED, WINDOW_SECONDS, Repeats
from lfsproxy.log.uploads import UploadEnd, upload_ended
from lfsproxy.logs import Logger
from lfsproxy.testing import MemoryMetrics
from tests.relay.records import batch, lfs, produce
from tests.relay.records import request as kafka_request
from tests.relay.rig import RelayTestCase
from tests.web.doubles import Door, request

FLOOD = 10_000
"""Of what is cheapest to send."""
SOME = 300
"""Of every other kind: enough to be far above what is written."""


class RepeatCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.events: list[LogEvent] = []
        self.repeats = Repeats(cast(ILogObserver, self.events.append), self.clock.seconds)
        self.log = Logger(namespace="n", observer=self.repeats)

    @property
    def lines(self) -> list[str]:
        return [formatEvent(event) for event in self.events]


class KindTests(RepeatCase):
    """Lines that are about no client, and say of what kind they are: a library's."""

    def test_numbers_and_quoted_values_make_no_other_kind(self) -> None:
        for number in range(SOME):
            self.log.warn("traces: {text}", text=f"again in {number} s", kind=f"again in {number} s")
            self.log.warn("traces: {text}", text="refused", kind="refused")
        self.assertEqual(len(self.lines), 2 * FEW)
        self.repeats.flush(all=True)
        self.assertIn(
            f"… and {SOME - FEW} more like it in 0 s, the last: traces: again in {SOME - 1} s", self.lines
        )


class WhileCountingTests(RepeatCase):
    def test_a_line_that_is_logged_in_the_midst_of_a_count_is_written(self) -> None:
        """As the collector of garbage does, at any place, with the error of a Deferred that nobody took."""
        said = self.log

        class Garbage:
            def __str__(self) -> str:
                said.error("an error that nobody took")
                return "garbage"

        def event() -> None:
            self.repeats({"log_format": "{what}", "what": Garbage(), "log_level": LogLevel.info})

        thread = Thread(target=event, daemon=True)
        thread.start()
        thread.join(10)
        self.assertFalse(thread.is_alive())
        self.assertIn("an error that nobody took", self.lines)


class ClientTests(RepeatCase):
    def say(self, times: int = 1, host: str = "10.0.0.1", **values: Any) -> None:
        for number in range(times):
            self.log.warn("{peer} is broken: {why}", peer=f"{host}:{1000 + number}", why=number, **values)

    def test_the_first_few_are_written_then_how_many_more_there_were(self) -> None:
        self.say(FLOOD)
        self.assertEqual(len(self.lines), FEW)
        self.clock.advance(WINDOW_SECONDS - 1)
        self.repeats.flush()
        self.assertEqual(len(self.lines), FEW)
        self.clock.advance(1)
        self.repeats.flush()
        self.assertEqual(
            self.lines[FEW:],
            [
                f"… and {FLOOD - FEW} more like it from 10.0.0.1 in 60 s, the last: "
                f"10.0.0.1:{1000 + FLOOD - 1} is broken: {FLOOD - 1}"
            ],
        )
        last = self.events[-1]
        self.assertEqual((last["log_level"], last["log_namespace"]), (LogLevel.warn, "n"))
        self.assertEqual(
            last["fields"],
            {"event": "repeated", "count": FLOOD - FEW, "seconds": 60, "peer": "10.0.0.1"},
        )
        self.repeats.flush(all=True)
        self.assertEqual(len(self.lines), FEW + 1)

    def test_after_a_minute_they_are_written_again(self) -> None:
        self.say(FEW + 2)
        self.clock.advance(WINDOW_SECONDS)
        self.say()
        self.assertEqual(len(self.lines), FEW + 2)
        self.assertTrue(self.lines[FEW].startswith("… and 2 more like it"), self.lines)
        self.assertTrue(self.lines[FEW + 1].endswith(":1000 is broken: 0"), self.lines)

    def test_another_host_another_level_and_another_kind_count_by_themselves(self) -> None:
        self.say(2 * FEW)
        self.say(1, host="10.0.0.2")
        self.say(1, host="[2001:db8::1]")
        self.say(1, kind="other")
        self.log.error("{peer} is broken: {why}", peer="10.0.0.1:1", why=0)
        self.log.warn("{peer} is something else", peer="10.0.0.1:1")
        self.assertEqual(len(self.lines), FEW + 5)

    def test_only_the_words_of_a_kind_count(self) -> None:
        for number in range(2 * FEW):
            self.say(kind=f"the name 'n{number}' has {number} bytes")
        self.assertEqual(len(self.lines), FEW)
        self.say(kind="it is another error")
        self.assertEqual(len(self.lines), FEW + 1)

    def test_kinds_that_a_client_makes_up_are_bounded(self) -> None:
        for number in range(2 * MANY):
            self.say(kind="x" * number)
        self.assertEqual(len(self.lines), MANY)

    def test_a_stop_tells_the_rest(self) -> None:
        self.say(FEW + 3)
        self.clock.advance(7)
        self.repeats.flush(all=True)
        self.assertTrue(self.lines[-1].startswith("… and 3 more like it from 10.0.0.1 in 7 s"), self.lines)

    def test_very_many_hosts_are_bounded_in_lines_and_in_memory(self) -> None:
        hosts = 5 * MOST_COUNTED
        for number in range(hosts):
            self.say(FEW + 2, host=f"10.1.{number // 256}.{number % 256}")
        self.assertEqual(len(self.lines), MANY)
        self.assertLessEqual(self.repeats.counted, MOST_COUNTED)
        self.clock.advance(WINDOW_SECONDS)
        self.repeats.flush()
        told = [event["fields"]["count"] for event in self.events if "fields" in event]
        self.assertEqual(sum(told) + MANY, hosts * (FEW + 2))
        self.assertEqual(self.repeats.counted, 0)


class StateTests(RepeatCase):
    def test_a_line_about_nobody_is_left_out_only_if_it_says_the_same(self) -> None:
        for number in range(3 * FEW):
            self.log.warn("the blob {key} stays", key=number)
        self.assertEqual(len(self.lines), 3 * FEW)
        for _ in range(3 * FEW):
            self.log.warn("S3 is away")
        self.assertEqual(len(self.lines), 4 * FEW)
        self.repeats.flush(all=True)
        self.assertEqual(self.lines[-1], f"… and {2 * FEW} more like it in 0 s, the last: S3 is away")

    def test_failures_are_told_apart_by_their_error(self) -> None:
        for why in ("one", "two"):
            for _ in range(2 * FEW):
                try:
                    raise ValueError(why)
                except ValueError:
                    self.log.failure("it failed")
        self.assertEqual(len(self.lines), 2 * FEW)

    def test_lines_about_uploads_are_never_left_out(self) -> None:
        globalLogPublisher.addObserver(self.repeats)
        self.addCleanup(globalLogPublisher.removeObserver, self.repeats)
        for _ in range(3 * FEW):
            upload_ended(MemoryMetrics(), UploadEnd(door="http", topic="t", reason="the same"))
        self.assertEqual(len(self.lines), 3 * FEW)


class Flooded:
    """Counts the lines that a flood leaves in a log that is observed."""

    def __init__(self, test: SynchronousTestCase) -> None:
        self.events: list[LogEvent] = []
        self.came = 0
        self.repeats = Repeats(cast(ILogObserver, self.events.append), Clock().seconds)
        self._levels = {LogLevel.info, LogLevel.warn, LogLevel.error, LogLevel.critical}
        observe = cast(ILogObserver, self._observe)
        globalLogPublisher.addObserver(observe)
        test.addCleanup(globalLogPublisher.removeObserver, observe)

    def _observe(self, event: LogEvent) -> None:
        if event["log_level"] in self._levels:
            self.came += 1
            self.repeats(event)

    def take(self) -> tuple[int, list[str]]:
        """How many lines there were to be, and those that are written of them."""
        self.repeats.flush(all=True)
        came, lines = self.came, [formatEvent(event) for event in self.events]
        self.came = 0
        self.events.clear()
        return came, lines


class HttpFloodTests(SynchronousTestCase):
    def test_each_kind_of_bad_client(self) -> None:
        door = Door()
        flooded = Flooded(self)
        for what, times, data in (
            ("TLS on the plain port", FLOOD, b"\x16\x03\x01\x02\x00"),
            ("no request", SOME, b"\x00\x01\x02\r\n\r\n"),
            ("a bad chunk", SOME, request(body=None, headers=["Transfer-Encoding: chunked"]) + b"zz\r\n"),
            ("nothing there", SOME, request("GET", "/nowhere", None)),
            ("no such method", SOME, request("BREW", "/v1/topics/t/records", None)),
        ):
            for _ in range(times):
                client = door.client()
                client.send(data)
                client.leave()
            came, lines = flooded.take()
            uploads = [line for line in lines if line.startswith("upload ")]
            self.assertGreaterEqual(came, times, what)
            self.assertLessEqual(len(lines) - len(uploads), 3 * (FEW + 1), (what, lines[:5]))
            self.assertTrue(any(f"… and {times - FEW} more like it" in line for line in lines), what)

    def test_refused_keys(self) -> None:
        path = self.mktemp()
        with open(path, "w") as file:
            file.write('{"keys": []}')
        door = Door(http_api_keys_file=path)
        flooded = Flooded(self)
        client = door.client()
        wire = request("GET", "/v1/topics/t/partitions/0/records/0", None, ["Authorization: Bearer x"])
        for _ in range(SOME):
            client.send(wire)
            client.transport.clear()
        came, lines = flooded.take()
        self.assertEqual((came, len(lines)), (SOME, FEW + 1))
        self.assertIn("401", lines[-1])

    def test_what_is_served_is_not_left_out(self) -> None:
        door = Door()
        flooded = Flooded(self)
        for _ in range(3 * FEW):
            door.ask(request("OPTIONS", "/v1/topics/t/records", None))
        self.assertEqual(len(flooded.take()[1]), 3 * FEW)


class KafkaFloodTests(RelayTestCase):
    keeps_log = False

    def flood(self, data: bytes, times: int = SOME) -> None:
        flooded = Flooded(self)
        for _ in range(times):
            client = self.client()
            client.send(data)
            client.hang_up()
            self.clients.clear()
            self.net.wires = [wire for wire in self.net.wires if wire.open]
            self.cluster.connections.clear()
        came, lines = flooded.take()
        self.assertGreaterEqual(came, times)
        self.assertLessEqual(len(lines), 2 * (FEW + 1), lines)
        self.assertTrue(any(f"… and {times - FEW} more like it from 127.0.0.1" in line for line in lines))

    def test_a_version_that_was_not_offered(self) -> None:
        self.flood(kafka_request(0, 99, 1, b"x"), FLOOD)

    def test_broken_frames(self) -> None:
        self.flood(b"\x00\x00\x00\x02\x00\x00")

    def test_http_on_the_kafka_port(self) -> None:
        self.flood(b"GET / HTTP/1.1\r\n\r\n")

    def test_refused_batches(self) -> None:
        flooded = Flooded(self)
        client = self.client()
        for number in range(SOME):
            client.send(produce(number, batch(lfs(b"x")), topic="no/name"))
            client.data.clear()
        came, lines = flooded.take()
        uploads = [line for line in lines if line.startswith("upload ")]
        self.assertGreaterEqual(came, SOME)
        self.assertEqual(len(lines) - len(uploads), FEW + 1, lines[:3])
