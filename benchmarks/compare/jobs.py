"""What the client of a run is told to do."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import attrs


@attrs.frozen
class Job:
    """What to do, and where.

    ``file`` has ``size`` bytes, for uploads. ``path`` is what the HTTP API calls an upload, or what is
    downloaded; ``straight`` takes the store's and Kafka's own clients in place of the HTTP API and of LFS.
    """

    load: str
    size: int
    count: int
    at_once: int
    topic: str
    bootstrap: str
    straight: bool = False
    file: str = ""
    http_port: int = 0
    path: str = ""
    headers: Mapping[str, str] = attrs.Factory(dict)
    s3: Mapping[str, str] = attrs.Factory(dict)
    """``endpoint``, ``access_key``, ``secret_key``, ``bucket`` and, for a download, ``key``."""


Work = Callable[[], Sequence[float]]
"""Does the job; the seconds that each request took, or none."""
