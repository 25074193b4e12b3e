"""Kills servers with SIGKILL at random moments, and starts each again at once."""

from __future__ import annotations

import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from random import Random

import attrs

from tests.integration.proxy import ProxyProcess

SOONEST, LATEST = 1.0, 7.0
"""Seconds between a start and the next kill."""
START_SECONDS = 60.0
AIMED = 0.5
"""How many of the kills wait for the moment at which an upload is about to be published."""
AIM_SECONDS, SPAN_SECONDS = 2.0, 0.2
"""How long they wait for it, and how long behind it the kill comes at the latest."""


@attrs.define(eq=False)
class Victim:
    """A server that is killed again and again in a thread of its own. ``error`` is why it is not there."""

    name: str
    kill: Callable[[], None]
    start: Callable[[], None]
    random: Random
    kills: int = 0
    error: BaseException | None = None
    _over: threading.Event = attrs.field(factory=threading.Event)
    _sighted: threading.Event = attrs.field(factory=threading.Event)
    _thread: threading.Thread | None = None

    def begin(self) -> None:
        """Kill from now on."""
        self._thread = threading.Thread(target=self._run, name=f"killer of {self.name}", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while not self._over.wait(self.random.uniform(SOONEST, LATEST)):
            if self.random.random() < AIMED:
                self._aim()
            try:
                self.kill()
                self.kills += 1
                self.start()
            except Exception as error:
                self.error = error
                return

    def _aim(self) -> None:
        self._sighted.clear()
        if self._sighted.wait(AIM_SECONDS):
            time.sleep(self.random.uniform(0, SPAN_SECONDS))

    def publishes(self) -> None:
        """A client has sent, or is about to send, the last bytes of an upload to it."""
        self._sighted.set()

    def end(self) -> None:
        """Kill no more; returns when it runs. Raises why it does not."""
        self._over.set()
        if self._thread is not None:
            self._thread.join()
        if self.error is not None:
            raise self.error


def start_proxy(proxy: ProxyProcess) -> None:
    """Start it, and return when it answers: whether it is ready depends on servers that are killed too."""
    proxy.start(START_SECONDS, until=lambda: answers(proxy))


def answers(proxy: ProxyProcess) -> bool:
    """Whether /healthz does."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(f"{proxy.http}/healthz", timeout=2) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False
