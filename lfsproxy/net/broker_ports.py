"""At which port a broker is served, and at which clients are told that it is."""

from __future__ import annotations

from lfsproxy.errors import SettingError
from lfsproxy.settings import Settings

MAX_PORT = 65535


def advertised_base(settings: Settings) -> int:
    """The port that clients are told for broker 0; broker N is N above it."""
    base = settings.kafka_advertised_port_base
    return settings.broker_port_base if base is None else base


def port_trouble(settings: Settings, node: int) -> SettingError | None:
    """Why a broker with that node id fits no port; None where it does."""
    for setting, base in (
        ("LFS_KAFKA_BROKER_PORT_BASE", settings.broker_port_base),
        ("LFS_KAFKA_ADVERTISED_PORT_BASE", advertised_base(settings)),
    ):
        if node < 0 or base + node > MAX_PORT:
            way_out = f"set {setting} so that base + {node} is at most {MAX_PORT}"
            return SettingError(
                f"broker {node} cannot be reached through the proxy: its port would be {base + node}; "
                f"{way_out}",
                way_out=way_out,
            )
    return None
