"""``lfsproxy fsck``: its options, the lines of its findings, and its table."""

from __future__ import annotations

import json
from typing import Any

from click.testing import CliRunner
from twisted.trial.unittest import SynchronousTestCase

from lfsproxy.cli import main as cli
from lfsproxy.cli.fsck import ended, line_of
from lfsproxy.upkeep.findings.found import KEPT, Counts, Finding
from lfsproxy.upkeep.findings.positions import Place, State

GONE = Finding("dangling", "the blob b/k is gone", "photos", 3, 42, 0, b"customer\n7", "b", "k")


class OptionTests(SynchronousTestCase):
    def test_what_is_not_understood(self) -> None:
        for option, text in (
            ("--since", "yesterday"),
            ("--since", "2026"),
            ("--until", "30"),
            ("--until", "2026-13-01"),
            ("--partitions", ""),
            ("--partitions", "a"),
            ("--partitions", "5-4"),
            ("--partitions", "0-2147483647"),
            ("--partitions", "1,,2"),
            ("--topics", ""),
            ("--topics", "a b"),
            ("--resume", "."),
        ):
            result = CliRunner().invoke(cli.main, ["fsck", option, text])
            self.assertEqual(result.exit_code, 2, (option, text, result.output))
            self.assertIn(option, result.output)

    def test_help(self) -> None:
        text = CliRunner().invoke(cli.main, ["fsck", "--help"]).output
        for word in ("--topics GLOBS", "--verify", "--resume FILE", "--json", "lfsproxy serve --help"):
            self.assertIn(word, text)
        self.assertNotIn("--s3-bucket", text)


class LineTests(SynchronousTestCase):
    def test_for_people(self) -> None:
        place, todo = line_of(GONE, as_json=False).splitlines()
        self.assertEqual(place, "photos:3:42 dangling: the blob b/k is gone (key 'customer\u240a7')")
        self.assertEqual(todo, f"    {GONE.todo}")

    def test_a_name_from_outside_begins_no_line(self) -> None:
        made = Finding("dangling", "the blob b/a\nb\x1b[2J is gone", "photos", 3, 42, 0)
        self.assertEqual(
            line_of(made, as_json=False).splitlines()[0],
            r"photos:3:42 dangling: the blob b/a\nb\x1b[2J is gone",
        )

    def test_a_partition(self) -> None:
        made = Finding("unreadable", "no leader", "photos", 3, todo="look")
        self.assertEqual(line_of(made, as_json=False), "photos:3 unreadable: no leader\n    look")

    def test_as_json(self) -> None:
        self.assertEqual(json.loads(line_of(GONE, as_json=True)), GONE.to_json())


class EndTests(SynchronousTestCase):
    def state(self, **counts: Counts) -> State:
        return State(
            {},
            dict.fromkeys(counts, "id"),
            [Place(name, 0, 0, 1, 1) for name in counts],
            dict(counts),
        )

    def test_clean(self) -> None:
        done = ended(self.state(photos=Counts(10, 5)), [], verify=False)
        self.assertFalse(done.findings)
        self.assertEqual(
            done.text.splitlines(),
            [
                "topic       records  envelopes  dangling  wrong length  unreadable  invalid  foreign",
                "photos           10          5         0             0           0        0        0",
                "all topics       10          5         0             0           0        0        0",
            ],
        )

    def test_findings(self) -> None:
        state = self.state(photos=Counts(10, 5), videos=Counts(7, 2, wrong_checksum=1), none=Counts(3))
        state.note({"finding": "wrong_checksum"})
        done = ended(state, [], verify=True)
        self.assertTrue(done.findings)
        self.assertEqual(
            [line.split()[0] for line in done.text.splitlines()], ["topic", "videos", "photos", "all"]
        )
        self.assertIn("wrong checksum", done.text)
        self.assertEqual(
            (done.summary["records"], done.summary["findings"], done.summary["more_findings"]),
            (20, [{"finding": "wrong_checksum"}], 0),
        )

    def test_a_partition_that_was_not_read_is_a_finding(self) -> None:
        unread = Finding("unreadable", "no leader", "photos", 3, todo="look")
        done = ended(self.state(photos=Counts(10, 5)), [unread], verify=False)
        self.assertTrue(done.findings)
        self.assertEqual((done.summary["unread"], done.summary["findings"]), (1, [unread.to_json()]))
        self.assertIn("that could not be read to their end: 1", done.text)

    def test_more_findings_than_are_kept(self) -> None:
        state = self.state(photos=Counts(9999, 9999, dangling=9999))
        for _ in range(KEPT + 5):
            state.note({})
        summary: Any = ended(state, [], verify=False).summary
        self.assertEqual((len(summary["findings"]), summary["more_findings"]), (KEPT, 5))

    def test_many_topics(self) -> None:
        state = self.state(**{f"t{number:02}": Counts(1, 1) for number in range(60)})
        lines = ended(state, [], verify=False).text.splitlines()
        self.assertEqual((len(lines), lines[-2]), (53, "(10 more topics)"))

    def test_envelopes_that_lead_elsewhere_are_explained(self) -> None:
        text = ended(self.state(photos=Counts(1, 1, foreign=1)), [], verify=False).text
        self.assertIn("LFS_DOWNLOAD_PREFIXES", text.splitlines()[-1])
