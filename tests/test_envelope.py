"""Keys of blobs and envelopes: made, recognised and read in one place."""

from __future__ import annotations

from uuid import UUID

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from lfsproxy.envelope import KEY_ROOT, ObjectKey, object_key, parse_key, topic_prefix
from tests.source import constants

NAMES = st.from_regex(r"[A-Za-z0-9._-]{1,60}", fullmatch=True).filter(lambda name: name not in {".", ".."})
UUID_TEXT = "6f1c2a04-9f1e-4c1b-8a53-0d7c5c1f9b7e"
KEY = f"lfs/default/demo-topic/0/42-{UUID_TEXT}.bin"


class KeyTests(SynchronousTestCase):
    def test_a_key_says_what_it_was_made_of(self) -> None:
        read = parse_key(KEY)
        self.assertEqual(read, ObjectKey("default", "demo-topic", 0, 42, UUID(UUID_TEXT)))

    @given(NAMES, NAMES, st.integers(0, 2**31 - 1), st.integers(0, 2**63 - 1), st.uuids())
    def test_every_key_that_is_made_is_recognised(
        self, namespace: str, topic: str, partition: int, offset: int, uuid: UUID
    ) -> None:
        key = object_key(namespace, topic, partition, offset, uuid)
        self.assertEqual(parse_key(key), ObjectKey(namespace, topic, partition, offset, uuid))
        self.assertTrue(key.startswith(topic_prefix(namespace, topic)))

    def test_what_no_proxy_has_made_is_no_key(self) -> None:
        for key in (
            "",
            KEY[1:],
            f"{KEY}x",
            f"{KEY}\n",
            KEY.replace("demo-topic", "demo/topic"),
            KEY.replace("/0/", "/00/"),
            KEY.replace("/0/", "/-1/"),
            KEY.replace("42-", "042-"),
            KEY.replace("42-", "\u0664\u0662-"),
            KEY.replace(UUID_TEXT, UUID_TEXT.upper()),
            KEY.replace(UUID_TEXT, UUID_TEXT.replace("-", "")),
            "default/demo-topic/lfs/2026/01/31/obj-" + UUID_TEXT,
            f"lfs-uploads/{UUID_TEXT}/info",
        ):
            self.assertIsNone(parse_key(key), key)

    def test_a_topic_whose_name_another_begins_with_has_keys_of_its_own(self) -> None:
        key = object_key("default", "demo", 0, 0, UUID(UUID_TEXT))
        self.assertFalse(key.startswith(topic_prefix("default", "dem")))


class OnePlaceTests(SynchronousTestCase):
    def test_no_other_module_spells_a_key(self) -> None:
        spelled = {
            module for module, value in constants() if isinstance(value, str) and value.startswith(KEY_ROOT)
        }
        self.assertEqual(spelled, {"envelope.py"})
