"""Which of S3's ids of requests a trail keeps."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from lfsproxy.log.trail import NOBODYS, Trail


class TrailTests(SynchronousTestCase):
    def test_what_makes_a_blob_visible_matters_more_than_what_reads_it(self) -> None:
        trail = Trail(key="k")
        for operation, id, is_error, kept in (
            ("head_object", "1", False, "1"),
            ("upload_part", "2", False, "1"),
            ("put_object", "3", False, "3"),
            ("get_object", "4", False, "3"),
            ("upload_part", "5", True, "5"),
            ("complete_multipart_upload", "6", False, "6"),
            ("complete_multipart_upload", "", False, "6"),
        ):
            trail.answered(operation, "k", id, is_error)
            self.assertEqual(trail.s3_request_id, kept)

    def test_requests_for_other_keys_are_not_its_own(self) -> None:
        trail = Trail(key="k")
        trail.answered("put_object", "state/k", "1", False)
        NOBODYS.answered("list_objects", "", "1", True)
        self.assertEqual((trail.s3_request_id, NOBODYS.s3_request_id), ("", ""))
