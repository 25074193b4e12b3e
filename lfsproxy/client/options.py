"""A reader's options as types, so that a checker knows them wherever they are handed on."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import TypedDict

from lfsproxy.client.results import OnMissing, Resolution
from lfsproxy.client.sources import BlobSource, Credentials


class ReaderOptions(TypedDict, total=False):
    """The keyword arguments of ``lfsproxy.client.BlobReader``, which says what they mean."""

    endpoint: str | None
    region: str
    path_style: bool
    prefixes: Collection[str]
    buckets: Collection[str] | None
    max_size: int | None
    on_missing: OnMissing
    on_resolve: Callable[[Resolution], object] | None
    credentials: Credentials | None
    ca_bundle: str | None
    connect_timeout: float
    read_timeout: float
    tries: int
    pause: float
    retry_time: float
    source: BlobSource | None


class EnvironmentOptions(ReaderOptions, total=False):
    """What ``from_environment`` takes: the bucket too."""

    bucket: str | None
