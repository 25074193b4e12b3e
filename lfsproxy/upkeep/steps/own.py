"""The steps of a check that are about the proxy itself: its files, certificates, ports and memory."""

from __future__ import annotations

import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from functools import partial
from typing import Any, TypeVar

from twisted.internet.defer import Deferred, gatherResults, maybeDeferred
from twisted.internet.error import DNSLookupError
from twisted.internet.interfaces import IListeningPort
from twisted.internet.protocol import ServerFactory

from lfsproxy.errors import SettingError
from lfsproxy.net import reach
from lfsproxy.net.broker_ports import port_trouble
from lfsproxy.net.listening import BoundPorts
from lfsproxy.settings import Address, LoadedSettings, check_files, variable
from lfsproxy.upkeep.steps.certificates import days_left
from lfsproxy.upkeep.steps.chain import AlreadyTold, Chain, Found, Step, Tried
from lfsproxy.upkeep.steps.memory import CONNECTIONS, MIB, memory_limit, memory_needed

T = TypeVar("T")

_FILES = "values and files"
_CERTIFICATES = ("kafka_tls", "kafka_listener_tls", "http_tls")


class OwnSteps:
    """``files`` are checks of files by the setting that names them, which raise SettingError. ``is_running``
    tells whether a proxy with these settings runs on this machine already: then its ports are in use."""

    def __init__(
        self,
        reactor: Any,
        loaded: LoadedSettings,
        files: Mapping[str, Callable[[], object]],
        is_running: Callable[[], Coroutine[Any, Any, bool]],
        tell: Callable[[Step], None],
    ) -> None:
        self._reactor = reactor
        self._loaded = loaded
        self._settings = loaded.settings
        self._files = files
        self._is_running = is_running
        self._unreadable: frozenset[str] = frozenset()
        self._held: list[tuple[str, int, IListeningPort]] = []
        self._own = Chain(reactor, "settings", tell)
        self._ports = Chain(reactor, "listener", tell)
        self.chains: Sequence[Chain] = [self._own, self._ports]

    async def files(self) -> None:
        """What can be tried without asking anybody."""

        async def read() -> Found[None]:
            try:
                check_files(self._loaded)
            except SettingError as error:
                self._unreadable = error.settings
                raise
            given = len(self._loaded.given)
            return Found(
                None, f"{given} setting{'' if given == 1 else 's'} given, the others have their defaults"
            )

        await self._own.step(_FILES, read, "name another file, or let this user read it", vital=False)
        for setting, check in self._files.items():
            await self._own.step(setting, partial(self._check, check), "mend the file", vital=False)
        for prefix in _CERTIFICATES:
            if getattr(self._settings, f"{prefix}_cert"):
                await self._own.step(
                    variable(f"{prefix}_cert"),
                    partial(self._certificate, prefix),
                    f"give {variable(prefix)}_CERT and _KEY a certificate that is valid and its key, as PEM",
                    vital=False,
                )
        if self._settings.kafka_advertised_host:
            await self._own.step("LFS_KAFKA_ADVERTISED_HOST", self._advertised, "", vital=False)
        await self._own.step("memory", self._memory, "", vital=False)

    def once(self, call: Callable[[], T]) -> T:
        """What ``call`` gives. Raises AlreadyTold where it fails by a file that ``files`` has told of."""
        try:
            return call()
        except SettingError as error:
            if error.settings & self._unreadable:
                raise AlreadyTold(f"settings: {_FILES}") from None
            raise

    async def ports(self, nodes: Sequence[int]) -> None:
        """The ports, those of the brokers ``nodes`` among them.

        All are held until the last one was tried, as a proxy holds them: two settings may name one port.
        """
        try:
            await self._try_ports(nodes)
        finally:
            await self._let_go()

    async def _let_go(self) -> None:
        """Close what is held. All are closed also where the wait for it is cancelled."""
        closed: Deferred[Any] = Deferred()
        gatherResults([maybeDeferred(port.stopListening) for _, _, port in self._held]).chainDeferred(closed)
        self._held.clear()
        await closed

    async def _try_ports(self, nodes: Sequence[int]) -> None:
        settings = self._settings
        running = False

        async def look() -> None:
            nonlocal running
            running = await self._is_running()

        await self._ports.behind("LFS_HTTP_ADDR, whether a proxy answers there", look)
        for setting, address in (
            ("LFS_KAFKA_ADDR", settings.kafka_addr),
            ("LFS_HTTP_ADDR", settings.http_addr),
            ("LFS_METRICS_ADDR", settings.metrics_addr),
        ):
            await self._port(setting, str(address), partial(self._bind, setting, address, running))
        setting = "LFS_KAFKA_BROKER_PORT_BASE"
        for node in nodes:
            if (trouble := port_trouble(settings, node)) is not None:
                await self._port(setting, f"broker {node}", partial(self._fits_none, trouble))
                continue
            address = Address(settings.kafka_addr.host, settings.broker_port_base + node)
            await self._port(setting, str(address), partial(self._bind, setting, address, running))

    async def _port(self, setting: str, of: str, tried: Tried[None]) -> None:
        await self._ports.step(f"{setting}, {of}", tried, f"set {setting}", vital=False)

    async def _check(self, check: Callable[[], object]) -> Found[None]:
        self.once(check)
        return Found(None)

    async def _certificate(self, prefix: str) -> Found[None]:
        # Twisted has TLS only where a setting asks for it (lfsproxy.slim).
        from lfsproxy.net.tls import ClientTls, ServerTls, certificate_expiry

        name, settings = variable(prefix), self._settings
        cert, key = getattr(settings, f"{prefix}_cert"), getattr(settings, f"{prefix}_key")
        if prefix == "kafka_tls":
            self.once(ClientTls(name, settings.kafka_tls_ca, cert, key).check)
        else:
            self.once(ServerTls(name, cert, key, getattr(settings, f"{prefix}_client_ca")).check)
        expires = certificate_expiry(cert)
        if expires < time.time():
            raise SettingError(f"the certificate of {name}_CERT has expired")
        return Found(None, *days_left(expires))

    async def _advertised(self) -> Found[None]:
        host = self._settings.kafka_advertised_host
        try:
            return Found(None, ", ".join(await reach.resolve(self._reactor, host)))
        except DNSLookupError:
            why = f"this machine does not know the host {host}; clients, which are told it, have to"
            return Found(None, why, warning=True)

    async def _memory(self) -> Found[None]:
        needed, limit = memory_needed(self._settings), memory_limit()
        most = f"up to {needed // MIB} MiB with {CONNECTIONS} Kafka connections"
        if limit is None:
            return Found(None, f"{most}; no limit is known")
        size, whose = limit
        if size >= needed:
            return Found(None, f"{most}; {whose} {size // MIB} MiB")
        return Found(
            None,
            f"{whose} {size // MIB} MiB, and the settings may need {most}: see docs/operate/sizing.md, or "
            "lower LFS_UPLOAD_MEMORY, LFS_MAX_PASSTHROUGH_SIZE or LFS_WORKERS",
            warning=True,
        )

    @staticmethod
    async def _fits_none(trouble: SettingError) -> Found[None]:
        raise trouble

    async def _bind(self, setting: str, address: Address, running: bool) -> Found[None]:
        try:
            port = BoundPorts(self._reactor).listen(address, ServerFactory(), setting)
        except SettingError as error:
            holder = next((name for name, number, _ in self._held if number == address.port), None)
            if holder is not None:
                raise SettingError(
                    f"cannot listen at {address}: {holder} names that port, too", way_out=error.way_out
                ) from None
            if running:
                return Found(None, "in use by what answers as LFS Proxy at LFS_HTTP_ADDR", warning=True)
            raise
        self._held.append((setting, address.port, port))
        return Found(None, "free")
