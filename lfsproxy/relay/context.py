"""What every session of the relay shares."""

from __future__ import annotations

from collections.abc import Callable, Collection

import attrs
from twisted.internet.interfaces import IReactorTime

from lfsproxy.interfaces import IMetrics
from lfsproxy.kafka.upstream import Upstream
from lfsproxy.relay.brokers import BrokerDirectory
from lfsproxy.relay.fetch.shared import Shared as FetchShared
from lfsproxy.relay.produce.shared import Shared
from lfsproxy.settings import Settings
from lfsproxy.wire.apis import KafkaApi


@attrs.define
class SaidOnce:
    """So that what is true of many connections is logged once, until it changes."""

    _said: str = ""

    def is_new(self, text: str) -> bool:
        """Whether ``text`` differs from what was last told."""
        said, self._said = self._said, text
        return said != text


@attrs.frozen(eq=False)
class RelayContext:
    """The settings and the process-wide parts; ``produce`` and ``fetch`` have those of such requests.

    ``random`` gives numbers from 0 to 1.
    """

    reactor: IReactorTime
    settings: Settings
    metrics: IMetrics
    directory: BrokerDirectory
    upstream: Upstream
    produce: Shared
    fetch: FetchShared
    random: Callable[[], float]
    outage: SaidOnce = attrs.field(factory=lambda: SaidOnce())

    @property
    def clients_sign_in(self) -> bool:
        """Whether clients have to sign in with the brokers themselves, through the relay."""
        return self.settings.uses_sasl and self.settings.kafka_client_identity == "relay"

    @property
    def hidden_apis(self) -> Collection[int]:
        """APIs that clients are not offered: signing in, where the proxy does that."""
        if self.settings.uses_sasl and self.settings.kafka_client_identity == "proxy":
            return (KafkaApi.SASL_HANDSHAKE, KafkaApi.SASL_AUTHENTICATE)
        return ()
