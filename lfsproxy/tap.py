"""What ``twistd lfsproxy`` needs: options made from the table of settings, and the service they ask for."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version
from typing import TYPE_CHECKING, Any, ClassVar, cast

from twisted.application.service import IService, MultiService
from twisted.internet.defer import maybeDeferred
from twisted.logger import ILogObserver
from twisted.python import usage

from lfsproxy.cycles import collect_seldom
from lfsproxy.errors import SettingError
from lfsproxy.logs import Logger
from lfsproxy.settings import (
    Address,
    LoadedSettings,
    SettingInfo,
    Settings,
    check_no_loop,
    flag,
    load_settings,
    setting_table,
    variable,
)
from lfsproxy.slim import slim_imports

if TYPE_CHECKING:
    from lfsproxy.log.file import Log
    from lfsproxy.net.activation import ActivatedPorts
    from lfsproxy.service import LfsProxy
    from lfsproxy.systemd import Notifications
    from lfsproxy.workers.parent import Parent

    Proxy = LfsProxy | Parent


def _parameter(name: str, info: SettingInfo) -> list[str | None]:
    default = f"default {info.default}" if info.default else "default empty"
    allowed = f"Allowed: {info.parse.allowed}."
    return [flag(name), None, None, f"{info.help} {allowed} [{variable(name)}, {default}]"]


class Options(usage.Options):
    """Every setting as a flag; what no flag gives comes from the environment."""

    synopsis = "[options]"
    longdesc = (
        "Every option can be given as the environment variable that is named beside it; the option wins. "
        "Sizes are in bytes and times in seconds, where no unit is given (64k, 128MiB, 10GB; 30s, 5m, 1h). "
        "An address is host:port, [v6]:port, or :port, which listens on every IPv4 and IPv6 address. S3 "
        "credentials come from the usual AWS places (environment, profile, web identity, instance metadata)."
    )
    optParameters: ClassVar = [_parameter(name, info) for name, info in setting_table().items()]
    environment: ClassVar[Mapping[str, str]] = os.environ
    loaded: LoadedSettings

    def opt_version(self) -> None:
        """Display the version and exit."""
        print(f"lfsproxy {version('lfsproxy')}")
        raise SystemExit(0)

    def postOptions(self) -> None:
        """Read the settings. A bad value ends the process with one line.

        Not by UsageError: twistd would print all options before the line.
        """
        flags = {name: cast("str | None", self[flag(name)]) for name in setting_table()}
        try:
            self.loaded = load_settings(self.environment, flags)
            check_no_loop(self.loaded.settings)
        except SettingError as error:
            raise SystemExit(f"lfsproxy: {error}") from None


class Process(MultiService):
    """The proxy as the one service of a process: it ends cleanly on signals, with one line on a bad start."""

    _log = Logger()

    def __init__(
        self,
        reactor: Any,
        proxy: Proxy,
        log: Log | None = None,
        notifications: Notifications | None = None,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # of Twisted
        self._observer = log
        self._reactor = reactor
        self._proxy = proxy
        self._notifications = notifications
        self._stopping = False
        # Services stop in reverse: the proxy's state is known when its stop is told.
        for service in (notifications, proxy):
            if service is not None:
                self.addService(service)  # type: ignore[no-untyped-call]  # of Twisted

    def setServiceParent(self, parent: Any) -> None:
        super().setServiceParent(parent)  # type: ignore[no-untyped-call]  # of Twisted
        if self._observer is not None:
            # twistd asks the application how to log before it begins to.
            parent.setComponent(ILogObserver, self._observer)

    def privilegedStartService(self) -> None:
        with self._one_line():
            super().privilegedStartService()  # type: ignore[no-untyped-call]  # of Twisted

    def startService(self) -> None:
        collect_seldom()
        with self._one_line():
            super().startService()  # type: ignore[no-untyped-call]  # of Twisted
        self._reactor.callWhenRunning(self._handle_signals)
        if self._observer is not None:
            self._observer.start(self._reactor)

    @contextmanager
    def _one_line(self) -> Iterator[None]:
        """End the process with one line where a setting does not let it start."""
        try:
            yield
        except SettingError as error:
            # Into the log, as nobody reads a daemon's standard error.
            self._log.critical("{error}", error=error)
            raise SystemExit(1) from None

    async def stopService(self) -> None:
        """Stop everything; last of all the log tells what it has left out."""
        try:
            await maybeDeferred(super().stopService)
        finally:
            if self._notifications is not None:
                self._notifications.close()
        if self._observer is not None:
            self._observer.stop()

    def _handle_signals(self) -> None:
        """Twisted's own handlers end the process by the signal again, so that no stop has exit code 0."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._signalled)
        # The terminal is closed; nohup has it ignored.
        if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
            signal.signal(signal.SIGHUP, self._hung_up)

    def _signalled(self, number: int, frame: object) -> None:
        self._reactor.callFromThread(self.stop, signal.Signals(number).name)

    def _hung_up(self, number: int, frame: object) -> None:
        # The kernel and a shell may both send it, so that a second one is no hurry.
        if not self._stopping:
            self._signalled(number, frame)

    def stop(self, why: str) -> None:
        """End the process; asked a second time, without waiting for work in flight."""
        self._log.info("{why} received", why=why)
        if self._stopping:
            self._proxy.hurry()
        else:
            self._stopping = True
            self._reactor.stop()


def makeService(options: Options) -> IService:
    """The service of the process, for twistd's reactor."""
    settings = options.loaded.settings
    # A parent of workers speaks to nobody but them.
    with slim_imports(tls=settings.needs_tls and settings.workers == 1):
        return _make_service(options)


def _make_service(options: Options) -> IService:
    from twisted.internet import reactor

    from lfsproxy.log.file import log_observer
    from lfsproxy.systemd import Notifications, Supervisor

    settings = options.loaded.settings
    supervisor = Supervisor.take_from(os.environ)
    try:
        ports = _activated_ports(reactor, settings)
        proxy = _make_proxy(reactor, options, ports)
    except SettingError as error:
        raise SystemExit(f"lfsproxy: {error}") from None
    notifications = None
    if supervisor is not None:
        notifications = Notifications(
            cast(Any, reactor),
            supervisor,
            proxy.ready,
            proxy.status,
            proxy.stop_seconds,
        )
    process = Process(reactor, proxy, log_observer(settings, options.parent or {}), notifications)
    if ports is not None:
        process.addService(ports)  # type: ignore[no-untyped-call]  # of Twisted
    return process


def _activated_ports(reactor: Any, settings: Settings) -> ActivatedPorts | None:
    """Where ports come from if systemd has bound any; None: they are all bound by the proxy itself."""
    from lfsproxy.net.activation import ActivatedPorts, environment_at_exec, take_descriptors
    from lfsproxy.net.listening import BoundPorts

    descriptors = take_descriptors(os.environ, environment_at_exec())
    if not descriptors:
        return None
    first_broker = Address(settings.kafka_addr.host, settings.broker_port_base)
    return ActivatedPorts(reactor, descriptors, BoundPorts(reactor), first_broker)


def _make_proxy(reactor: Any, options: Options, ports: ActivatedPorts | None) -> Proxy:
    """The proxy in this process, or the parent of several. A parent loads nothing of the proxy itself."""
    if options.loaded.settings.workers == 1:
        from lfsproxy.service import make_service

        return make_service(reactor, options.loaded, options.environment, ports)
    from lfsproxy.net.listening import BoundPorts
    from lfsproxy.workers.parent import make_parent

    listener = ports or BoundPorts(reactor)
    return make_parent(reactor, options.loaded, options.environment, listener, options.parent or {})
