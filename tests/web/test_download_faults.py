"""Downloads that fail, are cut, or are too slow for those who wait."""

# mypy: disallow-untyped-calls=False

from __future__ import annotations

import hashlib

from lfsproxy.errors import BrokerUnavailable, StoreUnavailable
from lfsproxy.testing import MemoryBlob
from tests.web.doubles import MIB, Client, request
from tests.web.downloads import BLOB, PATH, DownloadCase


class FaultTests(DownloadCase):
    def cut(self, key: str, data: bytes) -> bytes:
        """What comes of a blob that is not what it was, on a connection that is cut."""
        self.door.store.blobs[key] = MemoryBlob(data, "", {})
        client = self.door.client()
        client.send(request("GET", PATH, body=None))
        # Not aborted: what was sent stays readable, and the client sees that it ends too early.
        self.assertTrue(client.transport.disconnecting)
        self.assertFalse(client.transport.aborted)
        client.leave()
        return client.received.partition(b"\r\n\r\n")[2]

    def test_a_blob_that_is_not_the_envelope_s_is_cut_before_its_last_bytes(self) -> None:
        damaged = bytearray(BLOB)
        damaged[-1] ^= 1
        received = self.cut(self.upload(), bytes(damaged))
        self.assertLess(len(received), len(BLOB))
        self.assertEnded("store_error")

    def test_a_small_one_is_an_error_that_can_be_read(self) -> None:
        key = self.upload(b"good")
        self.door.store.blobs[key] = MemoryBlob(b"evil", "", {})
        problem = self.assertProblem(self.get(), 502, "checksum-mismatch")
        self.assertEqual(problem["actual"], hashlib.sha256(b"evil").hexdigest())

    def test_a_store_that_breaks_off_cuts_the_connection(self) -> None:
        self.upload()
        client = self.full_after_each_write()
        self.door.source.fail_next("read", StoreUnavailable("gone"))
        client.transport.make_room()
        self.assertTrue(client.transport.disconnecting)
        # A client that does not take what is left is not waited for any longer than that.
        self.door.clock.advance(client.channel.abortTimeout)
        self.assertTrue(client.transport.aborted)
        client.leave()
        self.assertEnded("store_error")

    def test_errors_before_the_first_byte_are_problems(self) -> None:
        self.upload()
        self.door.source.fail_next("open", StoreUnavailable("away"))
        answer = self.get()
        self.assertProblem(answer, 503, "store-unavailable")
        self.assertIn("retry-after", answer.headers)
        self.assertNotIn("etag", answer.headers)
        self.door.log.fail_next("read", BrokerUnavailable("away"))
        self.assertProblem(self.get(), 503, "broker-unavailable")

    def test_a_missing_blob_and_one_of_another_length(self) -> None:
        key = self.upload()
        self.door.store.blobs[key] = MemoryBlob(BLOB[1:], "", {})
        self.assertProblem(self.get(), 502, "blob-truncated")
        del self.door.store.blobs[key]
        self.assertProblem(self.get(), 404, "blob-missing")
        self.assertEnded("store_error", "store_error")

    def test_a_client_that_goes_away_lets_go_of_store_and_memory(self) -> None:
        self.upload()
        self.door.source.hold("read")
        client = self.door.client()
        client.send(request("GET", PATH, body=None))
        self.assertEqual(self.door.source.open_downloads, 1)
        client.leave()
        self.assertEnded("cancelled")

    def full_after_each_write(self) -> Client:
        """A client whose connection takes one piece and then is full, until there is room."""
        client = self.door.client()
        client.transport.fills = True
        client.send(request("GET", PATH, body=None))
        return client

    def test_a_client_that_takes_nothing_is_cut_after_the_stall_timeout(self) -> None:
        self.upload()
        client = self.full_after_each_write()
        received = len(client.received)
        self.assertLess(received, len(BLOB))
        self.door.clock.pump([1] * 29)
        self.assertFalse(client.transport.aborted)
        self.door.clock.advance(1)
        self.assertTrue(client.transport.aborted)
        self.assertEqual(len(client.received), received)
        client.leave()
        self.assertEnded("cancelled")

    def test_a_client_that_takes_it_slowly_gets_it_all(self) -> None:
        self.upload()
        client = self.full_after_each_write()
        while not client.received.endswith(BLOB):
            self.assertLess(self.door.source.open_downloads, 2)
            self.door.clock.pump([1] * 20)
            client.transport.make_room()
        client.transport.make_room()
        self.assertFalse(client.transport.aborted)
        self.assertEnded("ok")

    def test_a_connection_that_is_full_already_takes_one_piece_at_a_time(self) -> None:
        self.upload()
        client = self.door.client()
        client.transport.fill()
        client.send(request("GET", PATH, body=None))
        self.assertLess(len(client.received), len(BLOB) // 2)
        client.transport.make_room()
        self.assertEqual(client.answer().body, BLOB)

    def test_a_slow_client_makes_way_for_others_who_need_the_memory(self) -> None:
        self.upload()
        client = self.full_after_each_write()
        waiting = self.door.budget.acquire(self.door.budget.limit // 4 * 3)
        small = [self.door.budget.acquire(MIB) for _ in range(6)]
        self.door.clock.pump([1] * 5)
        self.assertTrue(client.transport.aborted)
        client.leave()
        for one in (waiting, *small):
            self.successResultOf(one).release()
        self.assertEnded("cancelled")

    def test_no_new_download_while_the_proxy_drains(self) -> None:
        self.upload()
        client = self.door.client()
        self.door.readiness.drain()
        client.send(request("GET", PATH, body=None))
        self.assertProblem(client.answer(), 503, "draining")
