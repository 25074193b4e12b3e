"""The steps of a check that are about Kafka: each bootstrap address, each broker by the name that it tells
clients, and one topic."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any

from twisted.internet.interfaces import IReactorTime

from lfsproxy.errors import BrokerUnavailable
from lfsproxy.names import LONGEST_TOPIC, is_topic_name
from lfsproxy.net.broker_ports import advertised_base
from lfsproxy.probing import IKafkaProbe
from lfsproxy.settings import Address, Settings
from lfsproxy.upkeep.steps.certificates import shown
from lfsproxy.upkeep.steps.chain import Chain, Found, Step, done
from lfsproxy.upkeep.steps.sidebyside import side_by_side

PUBLISH_SECONDS = 40.0
"""How long a record may take to be written: longer than a publisher tries, so that it says why."""
LEAST_BATCH = 8192
"""Bytes of a batch with one envelope, its headers and a key, and some to spare."""

_PASSWORD = "LFS_KAFKA_SASL_USERNAME and LFS_KAFKA_SASL_PASSWORD"
_SIGN_IN_NEEDS = {
    "AWS_MSK_IAM": "the AWS credentials and region, and what their policy allows (kafka-cluster:Connect)",
    "GSSAPI": "and have the Python package gssapi, and a ticket (kinit)",
}
"""What mechanisms sign in with that have no password."""
_NO_IDENTITY = (
    "the proxy has no sign-in of its own (LFS_KAFKA_SASL_MECHANISM is empty): only what a broker tells "
    "anybody is tried, and HTTP uploads are off"
)


class KafkaSteps:
    """``make`` makes the probe, or raises SettingError. ``tell`` is given each step when it is over.
    ``chains`` are all of them, in the order to be shown.

    ``nodes`` are the brokers' node ids, once they are known.
    """

    def __init__(
        self,
        clock: IReactorTime,
        settings: Settings,
        make: Callable[[], IKafkaProbe],
        tell: Callable[[Step], None],
    ) -> None:
        self.chains: list[Chain] = []
        self.nodes: Sequence[int] = ()
        self._clock = clock
        self._settings = settings
        self._make = make
        self._tell = tell
        self._probe: IKafkaProbe
        self._proxies: set[Address] = set()

    async def run(self, topic: str | None) -> None:
        """All of them."""

        async def make() -> Found[IKafkaProbe]:
            return Found(self._make(), self._settings.kafka_security_protocol)

        chain = self._chain("Kafka")
        probe = await chain.step(
            "settings", make, "name files that this user may read, as PEM (LFS_KAFKA_TLS_*)"
        )
        if probe is None:
            for address in self._settings.kafka_brokers:
                self._chain(f"Kafka {address}").skip("connection", "Kafka's settings cannot be used")
            if topic is not None:
                await self._topic(topic, None)
            return
        self._probe = probe
        try:
            await self._run(topic)
        finally:
            await chain.behind("end of the connections", probe.close)

    async def _run(self, topic: str | None) -> None:
        told: dict[Address, Mapping[int, Address]] = {}
        firsts = {address: self._chain(f"Kafka {address}") for address in self._settings.kafka_brokers}

        def first(address: Address) -> Coroutine[Any, Any, None]:
            return self._first(firsts[address], address, told)

        await side_by_side([first(address) for address in firsts])
        brokers = {node: address for each in told.values() for node, address in each.items()}
        self.nodes = sorted(brokers)
        others = {node: brokers[node] for node in self.nodes if brokers[node] not in firsts}
        advertised = {node: self._chain(f"Kafka broker {node}, {others[node]}") for node in others}
        await side_by_side([self._other(advertised[node], others[node]) for node in others])
        if topic is not None:
            await self._topic(topic, next(iter(told), None))

    def _chain(self, about: str) -> Chain:
        chain = Chain(self._clock, about, self._tell)
        self.chains.append(chain)
        return chain

    async def _first(
        self, chain: Chain, address: Address, told: dict[Address, Mapping[int, Address]]
    ) -> None:
        await self._reach(chain, address, is_named=False)
        if not self._probe.has_identity:
            if not chain.is_broken:
                await chain.step("metadata", self._without_identity, "")
            return

        async def ask() -> Found[Mapping[int, Address]]:
            named = await self._probe.brokers(address)
            base = advertised_base(self._settings)
            if address in self._proxies and all(each.port == base + node for node, each in named.items()):
                raise BrokerUnavailable(
                    f"{address} (LFS_KAFKA_BROKERS) is this proxy itself, by the ports that it tells of its "
                    "brokers: it would connect to itself, again and again"
                )
            listed = ", ".join(f"{node} at {named[node]}" for node in sorted(named))
            return Found(named, f"brokers: {listed}")

        found = await chain.step("metadata", ask, "name only brokers in LFS_KAFKA_BROKERS")
        if found is not None:
            told[address] = found
            if address in found.values():
                await self._largest(chain, address, None)

    async def _other(self, chain: Chain, address: Address) -> None:
        await self._reach(chain, address, is_named=True)
        await self._largest(chain, address, None)

    async def _without_identity(self) -> Found[None]:
        return Found(None, _NO_IDENTITY, warning=True)

    async def _reach(self, chain: Chain, address: Address, is_named: bool) -> None:
        """``is_named``: the address is not from the settings, but as a broker tells it to clients."""
        probe = self._probe
        where = (
            "correct the broker's advertised.listeners, or have that name and port reachable from here"
            if is_named
            else "correct LFS_KAFKA_BROKERS, or have that address reachable from here"
        )

        async def resolve() -> Found[None]:
            return Found(None, ", ".join(await probe.resolve(address)))

        async def handshake() -> Found[None]:
            return shown(await probe.handshake(address))

        async def sign_in() -> Found[None]:
            seconds = await probe.sign_in(address)
            name = self._settings.kafka_oauth_client_id or self._settings.kafka_sasl_username
            user = f" as {name}" if name else ""
            again = "" if seconds is None else f", for {seconds:.0f} s"
            return Found(None, f"{self._settings.kafka_sasl_mechanism}{user}{again}")

        async def versions() -> Found[None]:
            return await self._versions(address)

        await chain.step("host name", resolve, where)
        await chain.step("connection", done(lambda: probe.connect(address)), where)
        if probe.uses_tls:
            ca = self._settings.kafka_tls_ca or "the system's authorities"
            await chain.step(
                "TLS",
                handshake,
                f"check LFS_KAFKA_SECURITY_PROTOCOL and LFS_KAFKA_TLS_CA ({ca}), or have the broker's "
                "certificate issued anew",
            )
        if probe.signs_in:
            await chain.step(
                "sign-in",
                sign_in,
                self._sign_in_settings,
            )
        await chain.step(
            "API versions",
            versions,
            "check the port in LFS_KAFKA_BROKERS, and LFS_KAFKA_SECURITY_PROTOCOL",
        )

    @property
    def _sign_in_settings(self) -> str:
        mechanism = self._settings.kafka_sasl_mechanism
        if self._settings.kafka_oauth_token_url:
            return (
                "check LFS_KAFKA_OAUTH_TOKEN_URL, LFS_KAFKA_OAUTH_CLIENT_ID, "
                "LFS_KAFKA_OAUTH_CLIENT_SECRET and LFS_KAFKA_OAUTH_SCOPE, and what the broker expects "
                "(sasl.oauthbearer.*)"
            )
        return f"check LFS_KAFKA_SASL_MECHANISM, {_SIGN_IN_NEEDS.get(mechanism, _PASSWORD)}"

    async def _versions(self, address: Address) -> Found[None]:
        needed, optional = await self._probe.lacks(address)
        if needed:
            raise BrokerUnavailable(
                f"{address} does not speak {', '.join(needed)} as the proxy does: the broker is too old"
            )
        if await self._probe.is_lfs_proxy(address):
            self._proxies.add(address)
            what = "it answers as an LFS Proxy does: name the brokers themselves in LFS_KAFKA_BROKERS"
            return Found(None, what, warning=True)
        if optional:
            what = f"without {', '.join(optional)} a record can be written twice when an answer is lost"
            return Found(None, what, warning=True)
        return Found(None)

    async def _topic(self, topic: str, address: Address | None) -> None:
        chain = self._chain(f"Kafka topic {topic}")
        if address is None:
            chain.skip("metadata", "no broker could be asked")
            return
        probe = self._probe

        async def known() -> Found[None]:
            count = await probe.partitions(topic)
            return Found(None, f"{count} partition{'' if count == 1 else 's'}")

        async def write() -> Found[Any]:
            written = await probe.write(topic)
            return Found(written, f"partition {written.partition}, offset {written.offset}")

        await chain.step("metadata", known, _to_have(topic))
        await self._largest(chain, address, topic)
        written = await chain.step(
            "produce",
            write,
            f"allow the proxy's user Write on the topic {topic} (docs/operate/rights.md)",
            seconds=PUBLISH_SECONDS,
        )

        async def read() -> Found[None]:
            assert written is not None  # else it is skipped
            if not await probe.read(topic, written):
                raise BrokerUnavailable(f"the record in {topic} is not read back as it was written")
            return Found(None)

        await chain.step(
            "read back",
            read,
            f"allow the proxy's user Read on the topic {topic}, which HTTP downloads need",
        )

    async def _largest(self, chain: Chain, address: Address, topic: str | None) -> None:
        name = "message.max.bytes" if topic is None else "max.message.bytes"
        passing = self._settings.max_passthrough_size

        async def ask() -> Found[None]:
            largest = await self._probe.largest_batch(address, topic)
            if largest is None:
                return Found(None, "not known: the proxy may not ask (DescribeConfigs), and need not")
            if largest < LEAST_BATCH:
                raise BrokerUnavailable(
                    f"{name} is {largest} bytes, below the {LEAST_BATCH} that a record with an envelope may "
                    "take"
                )
            if largest < passing:
                return Found(
                    None,
                    f"{largest} bytes; LFS_MAX_PASSTHROUGH_SIZE lets {passing} pass, and the broker refuses "
                    "what is between",
                )
            return Found(None, f"{largest} bytes")

        await chain.step(name, ask, f"set {name} to the 1 MiB of Kafka's default, or more", vital=False)


def _to_have(topic: str) -> str:
    """What to do about a topic that cannot be asked about."""
    if not is_topic_name(topic):
        return (
            f"a topic's name has 1 to {LONGEST_TOPIC} letters, digits, dots, hyphens and underscores (ASCII)"
        )
    return f"create the topic {topic}, and allow the proxy Describe on it"
