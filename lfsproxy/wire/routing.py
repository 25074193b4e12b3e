"""What becomes of a client's request and of its answer, told by the request's first bytes.

Nothing here reads or writes: ``route`` gives two decisions, how the request is read (``Way``), and what has
to be looked into in its answer (``Look``).
"""

from __future__ import annotations

from collections.abc import Collection
from enum import Enum, auto
from typing import Final

import attrs

from lfsproxy.errors import FramingError, NotSignedIn
from lfsproxy.wire import versions
from lfsproxy.wire.apis import KafkaApi
from lfsproxy.wire.frames import RequestStart

MOST_COLLECTED: Final = 64 * 1024
"""Bytes of a request whose body has to be known: those of real clients have less than 100."""


class Way(Enum):
    """How a request is read."""

    RELAYED = auto()
    """It goes to the broker as its bytes arrive."""
    COLLECTED = auto()
    """It goes to the broker too, but its body matters: which client asks for versions, by which mechanism
    it signs in."""
    PRODUCED = auto()
    """It is searched for LFS records, and may be rewritten."""
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


def name_of(api_key: int) -> str:
    """An API's name for the metrics, which must not have as many as a client likes."""
    api = versions.find(api_key)
    return api.name if api else "unknown"


def route(start: RequestStart, signed_in: bool | None, hidden: Collection[int] = ()) -> Route:
    """Decide about a request.

    ``signed_in``: whether the client has signed in with the broker through the relay, None where it need not.
    ``hidden`` are APIs that clients are not offered. Raises what the connection is closed for: NotSignedIn,
    or FramingError for what was not offered, and for a body that is too large to be collected.
    """
    api = versions.find(start.api_key)
    if api is not None and api.how is versions.How.VERSIONS and start.api_version > api.max_version:
        return Route(Way.SKIPPED)
    if api is None or not api.min_version <= start.api_version <= api.max_version:
        name = api.name if api else f"API {start.api_key}"
        raise FramingError(f"{name} version {start.api_version} was not offered")
    if api.key in hidden:
        raise FramingError(f"{api.name} was not offered: the proxy signs in by itself")
    if api.how is versions.How.PRODUCE:
        if signed_in is False:
            raise NotSignedIn("it produces before the broker has taken its sign-in")
        return Route(Way.PRODUCED, Look.VERDICTS)
    if api.how is versions.How.VERSIONS or api.key is KafkaApi.SASL_HANDSHAKE:
        if start.size > MOST_COLLECTED:
            raise FramingError(f"a request of {start.size} bytes for {api.name}")
        return Route(Way.COLLECTED, Look.VERSIONS if api.how is versions.How.VERSIONS else Look.NOTHING)
    return Route(Way.RELAYED, _look(api, signed_in))


def _look(api: versions.Api, signed_in: bool | None) -> Look:
    """What to look into in the answer of a relayed request."""
    if api.how is versions.How.ADDRESSES:
        return Look.FRONT if api.key is KafkaApi.METADATA else Look.ADDRESSES
    if api.key is KafkaApi.SASL_AUTHENTICATE and signed_in is not None:
        return Look.SIGN_IN
    return Look.NOTHING
