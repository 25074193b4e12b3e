"""What the clients' tests run against: a broker with their settings, and the proxy in front of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Final

import attrs

from lfsproxy.devstack import KafkaServer, S3Server
from lfsproxy.devstack.ports import HOST, free_port
from tests.integration.proxy import ProxyProcess
from tests.integration.stack import BUCKET, Stack

USER: Final = "testuser"
PASSWORD: Final = "testpass"
_LISTENER: Final = "SASL"
_MODULES: Final = "org.apache.kafka.common.security"
_CONFIG: Final = {
    # franz-go's share tests give a record back more often than the default allows.
    "group.share.delivery.count.limit": "10",
    # kafka-python's write to partition 1 of topics that they have not created; short sessions; ACLs.
    "num.partitions": "4",
    "group.min.session.timeout.ms": "1000",
    "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
    "super.users": "User:ANONYMOUS",
    "allow.everyone.if.no.acl.found": "true",
    # Without a validator OAUTHBEARER takes tokens that nobody signed.
    "sasl.enabled.mechanisms": "SCRAM-SHA-256,OAUTHBEARER",
    "listener.name.sasl.scram-sha-256.sasl.jaas.config": f"{_MODULES}.scram.ScramLoginModule required;",
    "listener.name.sasl.oauthbearer.sasl.jaas.config": f"{_MODULES}.oauthbearer.OAuthBearerLoginModule"
    ' required unsecuredLoginStringClaim_sub="admin";',
}
_HEAP: Final = "1g"
_REQUESTS: Final = "lfsproxy_kafka_requests_total{"
_NODE: Final = 0
"""kafka-python's tests have it as the only replica of partitions."""


@attrs.frozen
class Addresses:
    """Where clients begin, ``host:port``; ``signed_in`` is a listener that demands a sign-in."""

    plain: str
    signed_in: str


@attrs.frozen
class Servers:
    """The same broker, without and with the proxy."""

    straight: Addresses
    through: Addresses
    proxies: Sequence[ProxyProcess]

    def relayed(self) -> int:
        """How many requests of Kafka's protocol the proxies have taken so far. Blocks."""
        counts = [count for proxy in self.proxies for count in proxy.metrics().items()]
        return int(sum(count for name, count in counts if name.startswith(_REQUESTS)))


@contextmanager
def servers(release: str) -> Iterator[Servers]:
    """A broker of a release of Kafka, an S3 server and the proxies; they end with the block. Blocks."""
    with ExitStack() as stack:
        s3 = S3Server()
        stack.callback(s3.close)
        s3.start()
        s3.create_bucket(BUCKET)
        kafka = KafkaServer(
            node_id=_NODE,
            release=release,
            heap=_HEAP,
            config=_CONFIG,
            listeners={_LISTENER: "SASL_PLAINTEXT"},
            scram_users={USER: PASSWORD},
        )
        stack.callback(kafka.close)
        kafka.start()
        environment = Stack(kafka, s3, BUCKET).environment
        signed_in = f"{HOST}:{kafka.listener_ports[_LISTENER]}"
        plain_proxy = ProxyProcess({**environment, **_ports()})
        stack.callback(plain_proxy.close)
        plain_proxy.start()
        # It has no sign-in of its own, so it serves clients and is not ready.
        sasl = {"LFS_KAFKA_BROKERS": signed_in, "LFS_KAFKA_SECURITY_PROTOCOL": "SASL_PLAINTEXT"}
        sasl_proxy = ProxyProcess({**environment, **_ports(), **sasl})
        stack.callback(sasl_proxy.close)
        sasl_proxy.start(until=lambda: bool(sasl_proxy.readiness()))
        yield Servers(
            straight=Addresses(kafka.bootstrap, signed_in),
            through=Addresses(plain_proxy.bootstrap, sasl_proxy.bootstrap),
            proxies=[plain_proxy, sasl_proxy],
        )


def _ports() -> dict[str, str]:
    return {"LFS_KAFKA_BROKER_PORT_BASE": str(free_port() - _NODE)}
