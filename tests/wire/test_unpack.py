"""What is to be read of a Fetch answer, however it ends."""

from __future__ import annotations

import struct

from twisted.trial.unittest import SynchronousTestCase

from lfsproxy.wire.unpack import readable
from tests.wire.helpers import batch_of, raw_records


class ReadableTests(SynchronousTestCase):
    def test_an_answer_that_ends_within_a_batch_is_read_up_to_that(self) -> None:
        data = batch_of(raw_records([(None, b"a", [])]), 1)
        first, second = (struct.pack(">q", offset) + data[8:] for offset in (5, 6))
        for cut in range(len(second)):
            found = readable(first + second[:cut], ())
            self.assertEqual((len(found.batches), found.next_offset), (1, 6), cut)
            self.assertEqual(readable(second[:cut], ()).next_offset, None)
        self.assertEqual(readable(first + second, ()).next_offset, 7)
