"""What stands where the proxy has no identity of its own."""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from lfsproxy.broker.no_publisher import NoPublisher
from lfsproxy.errors import BrokerUnavailable
from lfsproxy.interfaces import IEnvelopePublisher


class NoPublisherTests(SynchronousTestCase):
    def test_it_says_which_setting_is_missing(self) -> None:
        publisher = NoPublisher()
        verifyObject(IEnvelopePublisher, publisher)
        for asking in (
            publisher.choose_partition("demo", None, None),
            publisher.publish("demo", 0, None, b"", [], None),
            publisher.check(),
        ):
            failure = self.failureResultOf(Deferred.fromCoroutine(asking), BrokerUnavailable)
            self.assertIn("LFS_KAFKA_SASL_MECHANISM is not set", failure.getErrorMessage())
        self.assertEqual(self.successResultOf(Deferred.fromCoroutine(publisher.next_offset("demo", 0))), 0)
