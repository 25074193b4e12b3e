"""Files of profiles are looked at, whoever the process runs as."""

from __future__ import annotations

import os
import pwd
from pathlib import Path
from typing import NoReturn

from twisted.trial.unittest import SynchronousTestCase

from lfsproxy.s3.chain import files_stamp


class StampTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.file = Path(self.mktemp())
        self.patch(os, "environ", {"AWS_SHARED_CREDENTIALS_FILE": str(self.file)})

    def test_a_file_that_comes_or_changes_is_seen(self) -> None:
        stamps = [files_stamp()]
        for text in ("one", "another"):
            self.file.write_text(text)
            stamps.append(files_stamp())
        self.assertEqual(len({tuple(stamp) for stamp in stamps}), 3)

    def test_a_user_without_a_home_has_no_files(self) -> None:
        def nobody(uid: int) -> NoReturn:
            raise KeyError(uid)

        self.patch(pwd, "getpwuid", nobody)
        self.assertEqual(list(files_stamp()), [None, None])
