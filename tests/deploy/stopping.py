"""How long the proxy says that a stop takes: what kills it has to wait that long."""

from __future__ import annotations

from twisted.internet.testing import MemoryReactorClock

from lfsproxy.service import make_service
from lfsproxy.settings import load_settings


def clean_up_seconds() -> int:
    """The most that a stop takes after LFS_DRAIN_DELAY and LFS_DRAIN_TIMEOUT."""
    loaded = load_settings({}, {})
    proxy = make_service(MemoryReactorClock(), loaded, {}, None)
    return round(proxy.stop_seconds - loaded.settings.drain_delay - loaded.settings.drain_timeout)
