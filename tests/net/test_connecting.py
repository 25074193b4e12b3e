"""Which hosts can be connected to, all that a setting takes; and what is said where one is not reached."""

from __future__ import annotations

from typing import Any, cast

from twisted.internet import error
from twisted.internet.address import IPv4Address
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from lfsproxy.net.connecting import host_endpoint, why_unreached


class _Resolver:
    """Knows every host, at one address."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def resolveHostName(self, receiver: Any, host: str, portNumber: int, **named: Any) -> Any:
        self.asked.append(host)
        receiver.resolutionBegan(self)
        receiver.addressResolved(IPv4Address("TCP", "10.1.2.3", portNumber))
        receiver.resolutionComplete()
        return self


class HostTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.net = MemoryReactorClock()
        self.resolver = _Resolver()
        self.net.nameResolver = cast(Any, self.resolver)

    def connect(self, host: str) -> Any:
        return host_endpoint(self.net, host, 9092, 10).connect(Factory.forProtocol(Protocol))

    def test_a_name_that_settings_take_is_looked_up(self) -> None:
        # Docker Compose's services may have an underscore; other names that IDNA refuses are in DNS too.
        names = ["kafka", "my_kafka", "_kafka.example", "ab--kafka.example", "KAFKA_1.example"]
        for name in names:
            self.assertNoResult(self.connect(name))
        self.assertEqual([name.lower() for name in names], [name.lower() for name in self.resolver.asked])
        self.assertEqual([call[:2] for call in self.net.tcpClients], [("10.1.2.3", 9092)] * len(names))

    def test_what_is_no_name_is_refused(self) -> None:
        for name in ("a..b", "x" * 64, "a b", "é" * 80):
            self.failureResultOf(self.connect(name), ValueError)
        self.assertEqual(self.resolver.asked, [])


class UnreachedTests(SynchronousTestCase):
    def test_a_port_at_which_nothing_listens(self) -> None:
        said = why_unreached(error.ConnectionRefusedError(111))
        self.assertEqual(said, "connection refused, nothing listens at that port")

    def test_silence_is_told_alike_whoever_gives_up_the_kernel_or_the_endpoint(self) -> None:
        for each in (error.TimeoutError(), error.TCPTimedOutError(110)):
            self.assertEqual(why_unreached(each), "nobody answers there (a wrong address, or a firewall)")

    def test_anything_else_in_its_own_words(self) -> None:
        self.assertIn("No route to host", why_unreached(error.NoRouteError(113, "no way")))
