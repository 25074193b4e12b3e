"""What becomes of a client's request and of its answer, told by the request's first bytes.

Nothing here reads or writes: ``route`` gives two decisions, how the request is read (``Way``), and what has
to be looked into in its answer (``Look``).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from enum import Enum, auto
from typing import Final

import attrs

from lfsproxy.errors import FramingError, NotSignedIn
from lfsproxy.wire import fetch, versions
from lfsproxy.wire.apis import KafkaApi
from lfsproxy.wire.frames import RequestStart

MOST_COLLECTED: Final = 64 * 1024
"""Bytes of a request whose body has to be known: those of real clients have less than 100."""

MOST_FETCHED: Final = 512 * 1024
"""The same of a Fetch request whose body has to be known: fifteen thousand partitions. It is kept while the
broker waits for records."""


class Way(Enum):
    """How a request is read."""

    RELAYED = auto()
    """It goes to the broker as its bytes arrive."""
    COLLECTED = auto()
    """It goes to the broker too, but its body matters: which client asks for versions, by which mechanism
    it signs in."""
    PRODUCED = auto()
    """It is searched for LFS records, and may be rewritten."""
    FETCHED = auto()
    """It asks for records, and whoever asks gets blobs: its body tells whether its topics have any."""
    SKIPPED = auto()
    """It is read to its end. The broker does not get it: the proxy answers that it does not have the version
    (of ApiVersions)."""


class Look(Enum):
    """What has to be looked into in an answer."""

    NOTHING = auto()
    """It is relayed as its bytes arrive."""
    FRONT = auto()
    """Brokers are named at its front; the rest, of any size, is relayed as its bytes arrive."""
    ADDRESSES = auto()
    """Brokers are named anywhere in it."""
    END = auto()
    """Brokers are named at its end, behind records of any size: they are blotted out."""
    VERSIONS = auto()
    """It lists versions, which are capped."""
    SIGN_IN = auto()
    """It may be the one that ends a client's sign-in."""
    VERDICTS = auto()
    """It decides about blobs."""


@attrs.frozen
class Route:
    """How a request is read, and what is looked into in its answer."""

    way: Way
    look: Look = Look.NOTHING


_SKIPPED: Final = Route(Way.SKIPPED)
_FETCHED: Final = Route(Way.FETCHED)
_PRODUCED: Final = Route(Way.PRODUCED, Look.VERDICTS)


@attrs.frozen
class _Offered:
    """An API that clients are offered: how its requests go, also where clients sign in through the relay."""

    api: versions.Api
    route: Route
    signing_in: Route


def _offered(api: versions.Api) -> _Offered:
    way, look = Way.RELAYED, Look.NOTHING
    match api.how:
        case versions.How.PRODUCE:
            return _Offered(api, _PRODUCED, _PRODUCED)
        case versions.How.VERSIONS:
            way, look = Way.COLLECTED, Look.VERSIONS
        case versions.How.ADDRESSES:
            look = Look.FRONT if api.key is KafkaApi.METADATA else Look.ADDRESSES
        case versions.How.BLOTTED:
            look = Look.END
    if api.key is KafkaApi.SASL_HANDSHAKE:
        way = Way.COLLECTED
    found = Route(way, look)
    return _Offered(api, found, Route(way, Look.SIGN_IN) if api.key is KafkaApi.SASL_AUTHENTICATE else found)


_OFFERED: Final[Mapping[int, _Offered]] = {
    key: _offered(api) for key, api in versions.APIS.items() if versions.find(key) is not None
}
"""Made once: this is asked for each request, and members of enums take their time in Python 3.11."""


def name_of(api_key: int) -> str:
    """An API's name for the metrics, which must not have as many as a client likes."""
    offered = _OFFERED.get(api_key)
    return offered.api.name if offered else "unknown"


def route(
    start: RequestStart, signed_in: bool | None, hidden: Collection[int] = (), gets_blobs: bool = False
) -> Route:
    """Decide about a request.

    ``signed_in``: whether the client has signed in with the broker through the relay, None where it need not.
    ``hidden`` are APIs that clients are not offered. ``gets_blobs``: whether the client does that, of a Fetch
    request. Raises what the connection is closed for: NotSignedIn,
    or FramingError for what was not offered, and for a body that is too large to be collected.
    """
    offered = _OFFERED.get(start.api_key)
    if offered is None:
        raise FramingError(f"API {start.api_key} version {start.api_version} was not offered")
    api = offered.api
    if not api.min_version <= start.api_version <= api.max_version:
        if api.how is versions.How.VERSIONS and start.api_version > api.max_version:
            return _SKIPPED
        raise FramingError(f"{api.name} version {start.api_version} was not offered")
    if start.api_key in hidden:
        raise FramingError(f"{api.name} was not offered: the proxy signs in by itself")
    found = offered.route if signed_in is None else offered.signing_in
    if gets_blobs and start.api_key == KafkaApi.FETCH and start.api_version >= fetch.MIN_VERSION:
        found = _FETCHED
        if start.size > MOST_FETCHED:
            raise FramingError(f"a request of {start.size} bytes for {api.name}")
    if found is _PRODUCED and signed_in is False:
        raise NotSignedIn("it produces before the broker has taken its sign-in")
    if start.size > MOST_COLLECTED and found.way is Way.COLLECTED:
        raise FramingError(f"a request of {start.size} bytes for {api.name}")
    return found
