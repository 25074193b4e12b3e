"""fsck --resume: a look that was interrupted goes on where it was, and counts and tells nothing twice."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from twisted.internet.defer import CancelledError, Deferred

from lfsproxy.errors import SettingError
from lfsproxy.upkeep.findings import walk
from lfsproxy.upkeep.findings.found import Counts
from lfsproxy.upkeep.findings.fsck import SAVE_SECONDS
from lfsproxy.upkeep.findings.positions import State, load, save
from tests.upkeep.findings_rig import FindingsTestCase

OPTIONS = {"--topics": "*"}


class ResumeTests(FindingsTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.file = Path(self.mktemp())
        for _ in range(6):
            gone = self.envelope("photos")
            del self.blobs[gone.s3_key]
            self.append("photos", b"plain", gone.to_bytes())

    def interrupt_after(self, looks: int) -> None:
        """Begin, and cancel when ``looks`` batches were looked through."""
        self.log.hold("look")
        going = self.begin(self.fsck(resume=self.file).run())
        for _ in range(looks):
            # The batch, and whether its record is still there.
            self.log.let_go_one("look")
            self.go_on()
            self.log.let_go_one("look")
            self.go_on()
        going.cancel()
        self.failureResultOf(going, CancelledError)
        self.log.let_go("look")

    def test_goes_on_where_it_was(self) -> None:
        self.interrupt_after(2)
        self.assertEqual(self.kinds(), [("photos", 1, "dangling"), ("photos", 3, "dangling")])
        self.assertEqual(self.notes, [f"the same command goes on from here: {self.file} has how far it came"])
        state = self.look(resume=self.file)
        self.assertEqual([told.offset for told in self.told], [1, 3, 5, 7, 9, 11])
        self.assertEqual(state.total(), Counts(records=12, envelopes=6, dangling=6))
        self.assertEqual([each["offset"] for each in state.findings], [1, 3, 5, 7, 9, 11])
        self.assertEqual(self.total, 8)
        self.assertFalse(self.file.exists())

    def test_what_was_appended_since_is_not_looked_at(self) -> None:
        self.interrupt_after(1)
        self.append("photos", b"new")
        self.assertEqual(self.look(resume=self.file).total().records, 12)

    def test_is_interrupted_again_and_again(self) -> None:
        for _ in range(5):
            self.interrupt_after(1)
        self.assertEqual(self.look(resume=self.file).total().dangling, 6)
        self.assertEqual([told.offset for told in self.told], [1, 3, 5, 7, 9, 11])

    def test_half_a_slice_is_not_counted(self) -> None:
        self.store.source.hold("size_of")
        going = self.begin(self.fsck(resume=self.file).run())
        going.cancel()
        self.failureResultOf(going, CancelledError)
        self.store.source.let_go("size_of")
        state = load(self.file, OPTIONS)
        assert state is not None
        self.assertEqual((state.total(), state.places[0].next), (Counts(), 0))

    def test_a_slice_within_a_batch(self) -> None:
        self.patch(walk, "SLICE", 2)
        self.log.create("photos")
        self.append("photos", *(self.envelope("photos").to_bytes() for _ in range(5)))
        self.store.source.hold("size_of")
        going = self.begin(self.fsck(resume=self.file).run())
        for _ in range(3):
            self.store.source.let_go_one("size_of")
            self.go_on()
        going.cancel()
        self.failureResultOf(going, CancelledError)
        self.store.source.let_go("size_of")
        state = load(self.file, OPTIONS)
        assert state is not None
        self.assertEqual((state.places[0].next, state.total()), (2, Counts(records=2, envelopes=2)))
        self.assertEqual(self.look(resume=self.file).total(), Counts(records=5, envelopes=5))

    def test_the_file_is_written_on_the_way(self) -> None:
        self.log.hold("look")
        going = self.begin(self.fsck(resume=self.file).run())
        self.clock.advance(SAVE_SECONDS)
        self.log.let_go_one("look")
        self.go_on()
        self.log.let_go_one("look")
        self.go_on()
        state = load(self.file, OPTIONS)
        assert state is not None
        self.assertEqual((state.places[0].next, state.found), (2, 1))
        going.cancel()
        self.failureResultOf(going, CancelledError)

    def test_the_file_stays_where_a_partition_could_not_be_read(self) -> None:
        whole = self.damage("photos", 3)
        self.look(resume=self.file)
        self.assertEqual(self.kinds()[-1], ("photos", 6, "unreadable"))
        self.log.logs["photos"][0].batches[3] = whole
        state = self.look(resume=self.file)
        self.assertEqual([told.offset for told in self.told], [1, 3, 5, 6, 7, 9, 11])
        self.assertEqual((state.total().dangling, len(state.findings)), (6, 6))
        self.assertFalse(self.file.exists())

    def test_a_topic_that_was_created_again_is_looked_at_from_its_start(self) -> None:
        self.interrupt_after(2)
        self.log.create("photos")
        self.append("photos", b"new")
        self.assertEqual(self.look(resume=self.file).total(), Counts(records=1))
        self.assertIn("the topic photos was created again", self.notes[-1])

    def test_a_topic_that_is_gone_is_left_out(self) -> None:
        self.interrupt_after(2)
        del self.log.logs["photos"]
        self.assertEqual(self.look(resume=self.file).total(), Counts())
        self.assertIn("the topic photos is gone", self.notes[-1])

    def test_records_that_expired_since_are_passed_over(self) -> None:
        self.interrupt_after(2)
        self.log.logs["photos"][0].first = 8
        state = self.look(resume=self.file)
        self.assertEqual([told.offset for told in self.told], [1, 3, 9, 11])
        self.assertEqual(state.places[0].next, 12)


class FileTests(FindingsTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.file = Path(self.mktemp())

    def refused(self, options: dict[str, Any] = OPTIONS) -> str:
        going: Deferred[Any] = self.begin(self.fsck(resume=self.file, options=options).run())
        return str(self.failureResultOf(going, SettingError).value)

    def test_of_other_options(self) -> None:
        save(self.file, State({"--topics": "photos", "--verify": True}))
        said = self.refused({"--topics": "photos", "--verify": False})
        self.assertIn("is of another look, which had --verify 'true'", said)
        self.assertTrue(self.file.exists())

    def test_another_file(self) -> None:
        for text in (
            b"",
            b"\xff",
            b"[]",
            b"{}",
            b'{"version":2}',
            b'{"version":1,"options":{},"ids":{},"places":[],"counts":{"t":{"x":1}},"findings":[],"found":0}',
            b'{"version":1,"options":{},"ids":{},"places":[{"topic":"t"}],"counts":{},"findings":[],"found":0}',
            b'{"version":1,"options":{},"ids":{},"places":[{"topic":"t","partition":0,"first":"0","next":0,'
            b'"end":1}],"counts":{},"findings":[],"found":0}',
        ):
            self.file.write_bytes(text)
            self.assertIn("is no file of lfsproxy fsck --resume", self.refused())
            self.assertEqual(self.file.read_bytes(), text)

    def test_a_place_that_cannot_be_written_is_told_at_once(self) -> None:
        self.file = self.file / "not" / "there"
        self.append("photos", self.envelope("photos").to_bytes())
        going: Deferred[Any] = self.begin(self.fsck(resume=self.file).run())
        error = self.failureResultOf(going, FileNotFoundError).value
        self.assertEqual((error.filename, self.told), (str(self.file), []))

    def test_a_write_that_fails_leaves_the_former_state(self) -> None:
        save(self.file, State(OPTIONS, found=1))

        def fail(number: int) -> None:
            raise OSError(28, "No space left on device")

        self.patch(os, "fsync", fail)
        error = self.assertRaises(OSError, save, self.file, State(OPTIONS, found=2))
        self.assertEqual((error.errno, error.filename), (28, str(self.file)))
        state = load(self.file, OPTIONS)
        assert state is not None
        self.assertEqual(state.found, 1)
        self.assertEqual(os.listdir(self.file.parent).count(f"{self.file.name}.new"), 0)

    def test_it_is_json(self) -> None:
        save(self.file, State(OPTIONS, {"t": "id"}))
        self.assertEqual(json.loads(self.file.read_text())["ids"], {"t": "id"})
