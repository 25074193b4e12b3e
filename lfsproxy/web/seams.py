"""What the site and its connections need of each other: two protocols, so that neither imports the other.

A request belongs to a connection and to a site. It knows both by these protocols alone.
"""

from __future__ import annotations

from typing import Any, Protocol

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.web.iweb import IRequest

from lfsproxy.errors import LfsError
from lfsproxy.log.uploads import Sender
from lfsproxy.tracing.spans import Tracer


@attrs.frozen
class AnswerHead:
    """A response whose head is about to be written. ``problem`` says what went wrong, empty: nothing."""

    route: str
    method: bytes
    path: bytes
    status: int
    host: str
    sender: Sender
    key_id: str | None
    problem: str


class Connection(Protocol):
    """A client's connection, as its requests and the site see it."""

    site: Site
    closing: bool
    """No further request is read, and what comes is dropped."""
    persistent: Any
    """Whether another request may follow the one that is answered."""

    @property
    def idle(self) -> bool:
        """No request is being received or answered."""

    @property
    def is_spare(self) -> bool:
        """It may go to make room for another client."""

    @property
    def is_old(self) -> bool:
        """It is kept for no further request."""

    @property
    def is_full(self) -> bool:
        """What was written has not left yet: the writer has to wait."""

    def read_size(self, size: int) -> None:
        """Read up to ``size`` bytes at once from the socket."""

    def pause_reading(self) -> None:
        """Read nothing from the socket, but notice a client that goes away."""

    def resume_reading(self) -> None:
        """Read on."""

    def send_head(self) -> None:
        """Send the head of a response, where it has not left with the first bytes of its body."""

    def send_continue(self) -> None:
        """Let a client send its body that waits to be told so."""

    def limit_rest(self) -> None:
        """The rest of an answered request's body has little time to come."""

    def linger(self) -> None:
        """Close soon: the response is written, and what still comes is dropped."""

    def leave(self) -> None:
        """Close an idle connection, but not on a request that has come or is about to."""

    def end(self) -> None:
        """Close when what was written has left."""

    def stall(self) -> None:
        """Cut the connection: its client does not take its answer."""

    def abort(self) -> None:
        """Cut the connection, whatever happens on it."""


class Site(Protocol):
    """The site, as its connections and their requests see it. ``stall_timeout`` is in seconds.

    So is ``keep_alive``, for which an idle connection is kept. ``max_header_size`` is in bytes.
    """

    reactor: IReactorTime
    tracer: Tracer
    stall_timeout: float
    keep_alive: float
    max_header_size: int
    base_path: str
    cut: LfsError | None
    """Why connections are cut by the proxy itself, once they are."""
    uploads: int
    """Requests with an upload that runs, whether its client is still there or not."""

    downloads: set[IRequest]
    """Requests for a record that are not answered yet."""

    @property
    def draining(self) -> bool:
        """No connection is kept for another request."""

    def old_at(self) -> float:
        """When a connection that is made now is old, by the reactor's clock."""

    def connected(self, connection: Connection, host: str) -> None:
        """A client at this address has connected."""

    def disconnected(self, connection: Connection) -> None:
        """A connection is gone, and what was written to it has left or is lost."""

    def prepare(self, request: IRequest) -> None:
        """A request is about to be handled."""

    def answering(self, head: AnswerHead) -> None:
        """A response's head is about to be written."""

    def request_ended(self, request: IRequest) -> None:
        """A request was answered, or its connection was lost."""

    def count_closed(self, reason: str) -> None:
        """A connection is given up: its client is late with a handshake, head or body, or with taking its
        answer."""

    def count_refused(self, status: int) -> None:
        """Bytes that never became a request were answered."""

    def track(self, request: IRequest, running: Deferred[Any], is_upload: bool) -> None:
        """Count a request as in flight until its work is done, whether its client stays or not."""
