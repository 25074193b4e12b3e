"""What the objects beside an upload say about the request that may publish it."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from lfsproxy.resumable.fence import Stand, is_fence, judge

PUBLISH: dict[str, Any] = {"nonce": "a", "value": "{}", "first": 0}
GIVE_UP: dict[str, Any] = {"nonce": "b", "given_up": "it has expired"}
REST = ["info", "mark-00000003", "tail-x"]


class FenceTests(SynchronousTestCase):
    def test_where_an_upload_stands(self) -> None:
        for names, intent, stand, following in (
            ([], None, Stand.FREE, "intent-00000001"),
            (["void-a"], None, Stand.FREE, "intent-00000001"),
            (["intent-00000001"], PUBLISH, Stand.TAKEN, "intent-00000002"),
            (["intent-00000001", "void-x"], PUBLISH, Stand.TAKEN, "intent-00000002"),
            (["intent-00000001", "void-a"], PUBLISH, Stand.FREE, "intent-00000002"),
            (["intent-00000009", "intent-00000010", "void-x"], PUBLISH, Stand.TAKEN, "intent-00000011"),
            (["intent-00000001", "intent-00000002", "void-x"], GIVE_UP, Stand.GIVEN_UP, "intent-00000003"),
            (["intent-00000001", "result"], PUBLISH, Stand.PUBLISHED, "intent-00000002"),
            (["intent-00000001", "result", "unknown"], PUBLISH, Stand.PUBLISHED, "intent-00000002"),
            (["intent-00000001", "unknown"], PUBLISH, Stand.UNKNOWN, "intent-00000002"),
            # Nobody removes the blob of a record, whatever else is said.
            (["intent-00000002", "result"], GIVE_UP, Stand.PUBLISHED, "intent-00000003"),
            (["intent-00000002", "unknown"], GIVE_UP, Stand.UNKNOWN, "intent-00000003"),
        ):
            fence = judge([*REST, *names], intent)
            self.assertEqual((fence.stand, fence.next_intent), (stand, following), names)

    def test_the_fence_is_what_keeps_others_out(self) -> None:
        names = ["intent-00000001", "void-a", "result", "unknown", *REST]
        self.assertEqual([name for name in names if is_fence(name)], names[:4])
