"""What new objects are made with: which of its settings go together, and S3's limits of tags."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from lfsproxy.errors import SettingError
from lfsproxy.names import LONGEST_TOPIC
from lfsproxy.settings import load_settings
from lfsproxy.settings.tags import MAX_TAGS, MAX_VALUE
from tests.docs.shell import blocks_run_by


class NewObjectTests(SynchronousTestCase):
    def refused(self, wanted: str, **given: str) -> None:
        with self.assertRaisesRegex(SettingError, wanted):
            load_settings({}, given)

    def test_a_key_is_for_the_kms_only(self) -> None:
        for sse in ("", "AES256"):
            self.refused("LFS_S3_SSE_KMS_KEY_ID is 'k': it needs", s3_sse=sse, s3_sse_kms_key_id="k")

    def test_a_bucket_key_is_for_one_layer_of_the_kms_only(self) -> None:
        for sse in ("", "AES256", "aws:kms:dsse"):
            self.refused("LFS_S3_SSE_BUCKET_KEY is true: it needs", s3_sse=sse, s3_sse_bucket_key="true")

    def test_a_tag_has_room_for_the_longest_topic(self) -> None:
        room = MAX_VALUE - LONGEST_TOPIC
        load_settings({}, {"s3_tags": f"a={'x' * room}{{topic}}"})
        self.refused(
            f"the value of a has {MAX_VALUE + 1} characters", s3_tags=f"a={'x' * (room + 1)}{{topic}}"
        )

    def test_the_namespace_counts_as_it_is(self) -> None:
        tags = {"s3_tags": "a={namespace}/{topic}"}
        load_settings({}, {**tags, "namespace": "small"})
        self.refused("the value of a has 258 characters", **tags, namespace="too-much")

    def test_the_settings_of_the_page_are_taken(self) -> None:
        blocks = blocks_run_by(__name__, "docs/operate/stores.md")
        self.assertEqual(len(blocks), 2)
        for block in blocks:
            lines = [line.partition(" #")[0].strip() for line in block.code.splitlines()]
            given = dict(line.split("=", 1) for line in lines)
            self.assertEqual(set(load_settings(given, {}).origins), {name[4:].lower() for name in given})

    def test_each_mistake_is_told_by_what_is_wrong(self) -> None:
        for text, wanted in (
            ("a=1,a=2", "once only"),
            ("a={offset}", "{topic} and {namespace}, nothing else"),
            (",".join(f"t{n}=x" for n in range(MAX_TAGS + 1)), "10 tags at most: here are 11"),
            ("aws:a=b", "AWS's own"),
            ("a=b;c", "letters, digits, spaces"),
            ("a", "tags such as"),
        ):
            self.refused(wanted, s3_tags=text)
