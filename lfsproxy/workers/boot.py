"""What a worker is told before it begins: by a pipe, since a command line and an environment can be read."""

from __future__ import annotations

import pickle
from typing import BinaryIO, cast

import attrs

from lfsproxy.settings import LoadedSettings, Settings, setting_table

CONTROL, PORTS = 3, 4
"""File descriptors that a worker inherits: of the connection to its parent, and of that for ports."""


@attrs.frozen
class Boot:
    """``index`` counts from 0. ``folder`` is the one of the counters. ``reactor`` is a name, empty: the usual
    one. ``events``: the log goes to the parent, as JSON; else to standard output, as the settings say."""

    index: int
    workers: int
    settings: Settings
    folder: str
    reactor: str = ""
    events: bool = False

    def dump(self) -> bytes:
        """What ``load`` reads."""
        return pickle.dumps(self)

    @staticmethod
    def load(file: BinaryIO) -> Boot:
        """Read what the parent wrote."""
        return cast(Boot, pickle.load(file))

    @property
    def loaded(self) -> LoadedSettings:
        """The worker's settings. The parent has said which were given, and where."""
        return LoadedSettings(self.settings, {}, setting_table().keys())


def share_of(settings: Settings) -> Settings:
    """One worker's part: what a process has once is divided by the number of workers, and never nothing."""
    count = settings.workers

    def part(limit: int) -> int:
        return max(1, limit // count) if limit else 0

    return attrs.evolve(
        settings,
        workers=1,
        upload_memory=settings.upload_memory // count,
        http_max_uploads=part(settings.http_max_uploads),
        http_max_downloads=part(settings.http_max_downloads),
        http_max_connections=part(settings.http_max_connections),
        kafka_max_connections=part(settings.kafka_max_connections),
    )
