"""Two replicas, every order of what they ask, lost, late or repeated, and a crash at every step.

``python -m tests.resumable.explore`` explores more of it; these are what fits into a test run.
"""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from lfsproxy.resumable import publication
from lfsproxy.resumable.errors import UploadGone
from lfsproxy.resumable.session import UploadSession
from lfsproxy.resumable.state import Mark
from lfsproxy.resumable.voids import Voids
from tests.resumable.explore import explore
from tests.resumable.scene import BrokenPromise


class ModelTests(SynchronousTestCase):
    def test_published_at_most_once_and_the_blob_of_a_record_stays(self) -> None:
        for script, faults, jumps in (
            ("finish/finish", 1, 0),
            ("finish/end", 1, 0),
            ("finish,finish,end", 1, 0),
            ("finish/finish,end", 0, 0),
            ("+finish/end", 0, 0),
            ("+!finish/finish", 0, 0),
            ("~patch/patch2", 0, 0),
            ("~patch/end", 0, 0),
        ):
            self.assertGreater(explore(script, faults, jumps), 100, script)

    def test_the_model_finds_an_intent_that_is_deleted_and_created_again(self) -> None:
        self.patch(Voids, "_create", lambda voids, state, nonce: state.delete("intent-00000001"))
        with self.assertRaises(BrokenPromise):
            explore("finish,finish/finish", 1, 0)

    def test_the_model_finds_a_publisher_that_begins_too_late(self) -> None:
        self.patch(publication, "START_SECONDS", 1e9)
        with self.assertRaises(BrokenPromise):
            explore("finish/finish", 0, 1)

    def test_the_model_finds_a_session_that_removes_the_blob_of_a_record(self) -> None:
        async def leave(session: UploadSession, mark: Mark) -> None:
            await session._store.remove_parts(session._info.blob_key, blob=True)
            raise UploadGone("it is gone")

        self.patch(UploadSession, "_leave", leave)
        with self.assertRaises(BrokenPromise):
            explore("~patch,end/patch", 0, 0)
