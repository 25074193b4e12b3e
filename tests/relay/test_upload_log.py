"""Each record that was offloaded, or that could not be, has one line of its own in the log."""

from __future__ import annotations

from typing import Any

from twisted.logger import LogLevel

from lfsproxy.errors import StoreUnavailable
from tests.relay.records import batch, lfs, produce, record
from tests.relay.rig import KIB, PART, RelayTestCase
from tests.uploadlog import upload_lines


class UploadLogTests(RelayTestCase):
    def test_each_offloaded_record_is_found_by_its_offset(self) -> None:
        client = self.client()
        client.send(produce(1, batch(lfs(b"one"), record(b"plain"), lfs(b"three"))))
        client.send(produce(2, batch(lfs(b"next"))))
        keys = list(self.store.blobs)
        common = {
            "event": "upload",
            "result": "ok",
            "door": "kafka",
            "client": "a-client",
            "peer": "127.0.0.1:40000",
            "topic": "demo-topic",
            "partition": 0,
            "seconds": 0.0,
        }
        self.assertEqual(
            upload_lines(self.events),
            [
                {**common, "offset": 0, "key": keys[0], "bytes": 3},
                {**common, "offset": 2, "key": keys[1], "bytes": 5},
                {**common, "offset": 3, "key": keys[2], "bytes": 4},
            ],
        )

    def test_a_client_without_an_id(self) -> None:
        frame = produce(1, batch(record(b"x", (b"LFS_BLOB", b"abc"))))
        start = frame.index(b"a-client") - 2
        body = frame[4:start] + b"\xff\xff" + frame[start + 10 :]
        self.client().send(len(body).to_bytes(4, "big") + body)
        (line,) = [each for each in self.lines(LogLevel.info) if each.startswith("refused")]
        self.assertTrue(line.startswith("refused a batch of a client without an id for demo-topic/0: "), line)

    def test_a_streamed_record_too(self) -> None:
        self.client().send(produce(1, batch(lfs(bytes(3 * PART + KIB)))))
        (line,) = upload_lines(self.events)
        self.assertEqual((line["result"], line["client"], line["bytes"]), ("ok", "a-client", 3 * PART + KIB))

    def test_a_failure_has_its_reason(self) -> None:
        self.store.fail_next("commit", StoreUnavailable("S3 is asleep"))
        self.client().send(produce(1, batch(lfs(b"one"))))
        (line,) = upload_lines(self.events)
        self.assertEqual((line["result"], line["reason"]), ("store_error", "S3 is asleep"))
        self.assertNotIn("offset", line)

    def test_one_that_is_refused_before_it_stores_anything_has_its_reason(self) -> None:
        self.client().send(produce(1, batch(lfs(b"one", mark=b"not hex"))))
        (line,) = upload_lines(self.events)
        self.assertEqual(
            (line["result"], line["topic"], line["client"]), ("client_error", "demo-topic", "a-client")
        )
        self.assertIn("hex", line["reason"])
        self.assertNotIn("key", line)
        self.assertEqual(self.metrics.of("upload"), [])

    def test_an_unknown_outcome_has_its_reason(self) -> None:
        self.cluster.held = True
        self.client().send(produce(1, batch(lfs(b"one"))))
        self.broker.hang_up()
        self.net.flow()
        (line,) = upload_lines(self.events)
        self.assertEqual(
            (line["result"], line["reason"]), ("broker_error", "the broker's answer did not come")
        )
        self.broker.pending.clear()


class SpeculationTests(RelayTestCase):
    overrides = {"max_passthrough_size": 2 * PART}

    def test_a_record_that_was_not_to_be_offloaded_after_all_has_no_line(self) -> None:
        begun: list[str] = []
        begin = self.store.begin

        def note(key: str, *args: Any) -> Any:
            begun.append(key)
            return begin(key, *args)

        self.patch(self.store, "begin", note)
        self.client().send(produce(1, batch(record(bytes(PART + KIB)), lfs(bytes(3 * PART)))))
        self.assertEqual(len(begun), 2)
        self.assertEqual([line["bytes"] for line in upload_lines(self.events)], [3 * PART])
