"""The state of an upload that an earlier release wrote is read, and written in the same form.

Replicas of two releases may run side by side (docs/operate/upgrade.md). A change here breaks uploads that are
on their way during a roll-out: it has to be read in both forms, and be on docs/upgrading.md.
"""

from __future__ import annotations

import json

from twisted.trial.unittest import SynchronousTestCase

from lfsproxy.interfaces import StoredPart
from lfsproxy.resumable.state import Info, Mark, UploadOptions
from tests.docs.blocks import ROOT


class RecordedTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.recorded = json.loads((ROOT / "tests" / "vectors" / "upload_state.json").read_text())

    def test_what_an_upload_is(self) -> None:
        data = self.recorded["info"].encode()
        options = UploadOptions(
            key=b"\x00k",
            partition=2,
            headers=((b"source", b"camera"), (b"none", None)),
            content_type="video/mp4",
            timestamp=1_700_000_000_000,
            checksum="ab" * 32,
            algorithm="sha256",
        )
        info = Info(
            id="0f3c6a1b",
            topic="clips",
            partition=2,
            blob_key="lfs/default/clips/2/7-6f1c2a04-9f1e-4c1b-8a53-0d7c5c1f9b7e.bin",
            part_size=8_388_608,
            metadata="filename Y2xpcC5tcDQ=",
            options=options,
            created=1_700_000_000.5,
        )
        self.assertEqual((Info.from_bytes(data), info.to_bytes()), (info, data))

    def test_how_far_it_is(self) -> None:
        data = self.recorded["mark"].encode()
        mark = Mark(
            number=7,
            nonce="n0nce",
            length=20_000_000,
            offset=8_388_608,
            multipart="upload-id",
            parts=(StoredPart(1, '"etag"', 123_456_789),),
            tail="tail-n0nce",
            checksum="cd" * 32,
        )
        self.assertEqual((Mark.from_bytes(data), mark.to_bytes()), (mark, data))
