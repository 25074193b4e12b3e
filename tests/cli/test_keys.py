"""``lfsproxy keys``: the file that it makes, what it prints once, and what it does not touch."""

from __future__ import annotations

import json
import os
import re
import stat
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from subprocess import run as run_process
from typing import Any
from unittest import mock

from click.testing import CliRunner, Result
from twisted.trial.unittest import SynchronousTestCase

from lfsproxy.cli.main import main
from lfsproxy.web.keys import ApiKeys, read_keys

ADD = ("--name", "camera", "--topic", "clips", "--topic", "image-*", "--action", "write")


class KeysTests(SynchronousTestCase):
    def setUp(self) -> None:
        folder = Path(self.mktemp())
        folder.mkdir()
        self.path = folder / "keys.json"

    def run_keys(self, command: str, *options: str, **kwargs: Any) -> Result:
        return CliRunner().invoke(main, ["keys", command, "--file", str(self.path), *options], **kwargs)

    def add(self, *options: str) -> str:
        result = self.run_keys("add", *(options or ADD))
        self.assertEqual(result.exit_code, 0, result.output)
        return result.stdout.strip()

    def assertRefused(self, result: Result, why: str, code: int = 1) -> None:
        self.assertEqual(result.exit_code, code, result.output)
        self.assertRegex(result.output, why)

    def test_add_prints_a_token_that_the_file_knows_by_its_hash_only(self) -> None:
        token = self.add()
        self.assertRegex(token, r"^lfsproxy_[0-9a-f]{12}_[A-Za-z0-9_-]{43}$")
        text = self.path.read_text()
        self.assertNotIn(token[-43:], text)
        key = ApiKeys(read_keys(text)).find(token)
        assert key is not None
        self.assertEqual((key.name, key.topics, key.actions), ("camera", ("clips", "image-*"), ("write",)))
        self.assertIsNone(key.expires)

    def test_the_file_is_its_owners_alone(self) -> None:
        self.addCleanup(os.umask, os.umask(0))
        self.add()
        self.assertEqual(stat.S_IMODE(self.path.stat().st_mode), 0o600)
        self.path.chmod(0o604)
        self.add("--name", "b", "--topic", "*", "--action", "read")
        self.assertEqual(stat.S_IMODE(self.path.stat().st_mode), 0o600)

    def test_a_group_that_may_read_the_file_still_may_when_it_has_changed(self) -> None:
        self.add()
        group = max(os.getgroups() or [os.getgid()]) if os.geteuid() else 61200
        os.chown(self.path, -1, group)
        self.path.chmod(0o640)
        self.add("--name", "b", "--topic", "*", "--action", "read")
        self.run_keys("revoke", "camera")
        found = self.path.stat()
        self.assertEqual((stat.S_IMODE(found.st_mode), found.st_gid), (0o640, group))
        self.assertEqual(os.listdir(self.path.parent), ["keys.json"])

    def test_expiry(self) -> None:
        now = datetime.now(UTC)
        for number, (text, expected) in enumerate(
            (
                ("90d", now + timedelta(days=90)),
                ("12h", now + timedelta(hours=12)),
                ("2100-01-31", datetime(2100, 1, 31, tzinfo=UTC)),
                ("2100-01-31T10:00:00+02:00", datetime(2100, 1, 31, 8, tzinfo=UTC)),
            )
        ):
            token = self.add("--name", f"k{number}", "--topic", "*", "--action", "read", "--expires", text)
            key = ApiKeys(read_keys(self.path.read_text())).find(token)
            assert key is not None and key.expires is not None
            self.assertLess(abs(key.expires - expected), timedelta(minutes=1))

    def test_options_that_cannot_be_used(self) -> None:
        for options, why in (
            (("--expires", "2001-01-01"), "is in the past"),
            (("--expires", "soon"), "is not a time such as"),
            (("--topic", "a/b"), "neither a topic's name nor a glob"),
            (("--action", "delete"), "'delete' is not one of 'read', 'write'"),
            (("--name", "a\nb"), "printable"),
        ):
            self.assertRefused(self.run_keys("add", *ADD, *options), why, code=2)
        self.assertFalse(self.path.exists())

    def test_list_shows_every_key_and_no_hash(self) -> None:
        self.add()
        self.add(
            "--name", "reports", "--topic", "*", "--action", "read", "--action", "read", "--expires", "5m"
        )
        document = json.loads(self.path.read_text())
        document["keys"][1]["expires"] = "2001-01-01T00:00:00+00:00"
        self.path.write_text(json.dumps(document))
        result = self.run_keys("list", env={"COLUMNS": "200"})
        _, first, second = result.output.splitlines()
        self.assertRegex(
            first, rf"^{document['keys'][0]['id']} +camera +clips, image-\* +write +\S+ +never *$"
        )
        self.assertRegex(second, r" reports +\* +read +\S+ +2001-01-01 00:00 \(expired\) *$")
        self.assertNotIn(document["keys"][0]["sha256"][:8], result.output)

    def test_revoke_takes_a_key_away_by_id_or_name(self) -> None:
        token = self.add()
        self.add("--name", "b", "--topic", "*", "--action", "read")
        self.assertEqual(self.run_keys("revoke", token.split("_")[1]).exit_code, 0)
        self.assertEqual([key.name for key in read_keys(self.path.read_text())], ["b"])
        self.assertEqual(self.run_keys("revoke", "b").exit_code, 0)
        self.assertEqual(read_keys(self.path.read_text()), [])
        self.assertRefused(self.run_keys("revoke", "b"), "has no key 'b'")

    def test_a_name_is_given_once(self) -> None:
        self.add()
        before = self.path.read_text()
        self.assertRefused(self.run_keys("add", *ADD), "has a key 'camera' already")
        self.assertEqual(self.path.read_text(), before)

    def test_files_that_are_not_as_they_should_be_are_not_touched(self) -> None:
        self.add()
        good = self.path.read_text()
        other = self.path.with_name("other.json")

        def linked() -> None:
            self.path.rename(other)
            self.path.symlink_to(other.absolute())

        def restored() -> None:
            self.path.unlink()
            other.replace(self.path)

        for spoil, repair, why in (
            (linked, restored, "is a link: name the file itself"),
            (lambda: self.path.chmod(0o620), lambda: self.path.chmod(0o600), "can be written by others"),
            (
                lambda: self.path.write_text(good[:-5]),
                lambda: self.path.write_text(good),
                "is not a file of API keys",
            ),
        ):
            spoil()
            before = self.path.read_text()
            for command, options in (("add", ("--name", "b", *ADD[2:])), ("revoke", ("camera",))):
                self.assertRefused(self.run_keys(command, *options), why)
                self.assertEqual(self.path.read_text(), before)
            repair()
        with mock.patch("os.geteuid", lambda: os.getuid() + 1):
            self.assertRefused(self.run_keys("revoke", "camera"), "belongs to another user")

    def test_a_file_that_is_not_there(self) -> None:
        for command, options in (("revoke", ("x",)), ("list", ())):
            self.assertRefused(self.run_keys(command, *options), "keys.json: No such file or directory")
        self.path = self.path.parent / "no" / "keys.json"
        self.assertRefused(self.run_keys("add", *ADD), "no: No such file or directory")

    def test_a_disk_that_fails_leaves_the_file(self) -> None:
        self.add()
        before = self.path.read_text()
        with mock.patch("os.fsync", side_effect=OSError(28, "No space left on device")):
            self.assertRefused(self.run_keys("add", "--name", "b", *ADD[2:]), "No space left on device")
        self.assertEqual(self.path.read_text(), before)
        self.assertEqual(os.listdir(self.path.parent), ["keys.json"])

    def test_processes_that_add_at_once_lose_nothing(self) -> None:
        def add(number: int) -> str:
            options = ["--file", str(self.path), "--name", f"k{number}", *ADD[2:]]
            done = run_process(
                [sys.executable, "-c", "from lfsproxy.cli.main import main; main()", "keys", "add", *options],
                capture_output=True,
                text=True,
                check=True,
            )
            return done.stdout.strip()

        with ThreadPoolExecutor(4) as pool:
            tokens = list(pool.map(add, range(6)))
        keys = ApiKeys(read_keys(self.path.read_text()))
        self.assertEqual(
            sorted(key.name for token in tokens if (key := keys.find(token)) is not None),
            [f"k{number}" for number in range(6)],
        )
        self.assertFalse([name for name in os.listdir(self.path.parent) if re.match(r"\.", name)])
