"""A peer that is gone is noticed although nothing is read from it."""

from __future__ import annotations

import socket
import struct
import sys

from twisted.internet.testing import StringTransport
from twisted.protocols.policies import ProtocolWrapper
from twisted.trial.unittest import SynchronousTestCase

from lfsproxy.net.peers import has_unread, host_of, peer_is_gone


class Transport:
    """As much of a transport as is asked for its socket."""

    def __init__(self, handle: socket.socket) -> None:
        self.handle = handle

    def getHandle(self) -> socket.socket:
        return self.handle


class HostTests(SynchronousTestCase):
    def test_the_host_of_an_address_as_the_log_shows_it(self) -> None:
        for peer, host in (
            ("10.0.0.7:51234", "10.0.0.7"),
            ("[2001:db8::1]:51234", "2001:db8::1"),
            ("2001:db8::1", "2001:db8::1"),
            ("10.0.0.7", "10.0.0.7"),
            ("", ""),
        ):
            self.assertEqual(host_of(peer), host)


class PeerTests(SynchronousTestCase):
    if sys.platform != "linux":
        skip = "TCP_INFO is Linux's"

    def setUp(self) -> None:
        server = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(server.close)
        self.client = socket.create_connection(server.getsockname())
        self.addCleanup(self.client.close)
        ours, _ = server.accept()
        self.addCleanup(ours.close)
        self.transport = Transport(ours)

    def test_a_peer_that_is_there(self) -> None:
        self.client.send(b"unread")
        self.assertFalse(peer_is_gone(self.transport))

    def test_a_peer_that_closed_with_bytes_unread(self) -> None:
        self.client.send(b"unread")
        self.client.close()
        self.assertTrue(peer_is_gone(self.transport))

    def test_bytes_that_nobody_has_read(self) -> None:
        self.assertFalse(has_unread(self.transport))
        self.client.send(b"unread")
        self.assertTrue(has_unread(self.transport))
        self.assertEqual(self.transport.handle.recv(100), b"unread")
        self.assertFalse(has_unread(self.transport))
        self.client.close()
        self.assertFalse(has_unread(self.transport))

    def test_a_peer_that_reset(self) -> None:
        self.client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.client.close()
        self.assertTrue(peer_is_gone(self.transport))

    def test_a_wrapped_transport(self) -> None:
        wrapper = ProtocolWrapper(None, None)  # type: ignore[arg-type]
        wrapper.transport = self.transport  # type: ignore[assignment]
        self.assertFalse(peer_is_gone(wrapper))
        self.client.close()
        self.assertTrue(peer_is_gone(wrapper))

    def test_who_cannot_be_asked_counts_as_there(self) -> None:
        self.assertFalse(peer_is_gone(StringTransport()))
