"""What the HTTP API's operations are: one declaration each, which everything else comes from.

    class HealthApi:
        @operation(Operation("getHealth", "GET", "/healthz", "Whether the process is alive", answers=(...)))
        def healthz(self, request): ...

A declaration gives the route, what the gate asks for, the description in /openapi.json, what pages of other
origins may send and see, and the route's label in the metrics. Schemas are JSON Schema 2020-12, as OpenAPI
3.1 takes them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar, cast

import attrs

from lfsproxy.errors import LfsError

READ, WRITE = "read", "write"
"""What an API key may allow."""
Schema = Mapping[str, Any]
Handler = Callable[..., Any]
AnyHandler = TypeVar("AnyHandler", bound=Handler)


@attrs.frozen
class Parameter:
    """A value that a request carries in its ``where``: path, query or header."""

    name: str
    where: str
    description: str
    schema: Schema
    required: bool = False
    repeatable: bool = False


@attrs.frozen
class Answer:
    """A success. ``content`` maps media types to schemas, ``headers`` names to what they say."""

    status: int
    description: str
    content: Mapping[str, Schema] = {}
    headers: Mapping[str, str] = {}


@attrs.frozen
class Operation:
    """One method of one path. ``path`` has its parameters in braces: ``/v1/topics/{topic}/records``.

    ``body`` maps media types to schemas, None where a request has no body. A request with a body counts as
    an upload. ``errors`` are the problems that it may answer with. ``action`` is what an API key must allow
    on the topic, read or write; None: public. ``elsewhere`` says what another replica does while this one
    shuts down (``takes uploads``), and requests are sent there; None: they are answered to the end.
    ``headers`` are the header fields of all that its handler answers, errors too. ``group`` is one of GROUPS.
    """

    id: str
    method: str
    path: str
    summary: str
    answers: tuple[Answer, ...]
    description: str = ""
    parameters: tuple[Parameter, ...] = ()
    body: Mapping[str, Schema] | None = None
    body_required: bool = True
    errors: tuple[type[LfsError], ...] = ()
    action: str | None = None
    elsewhere: str | None = None
    headers: Mapping[str, str] = {}
    group: str = "Records"

    @property
    def is_download(self) -> bool:
        """Whether it reads a record, of which LFS_HTTP_MAX_DOWNLOADS are read at once."""
        return self.action == READ

    @property
    def rule(self) -> str:
        """The path as Klein routes it."""
        return self.path.replace("{", "<").replace("}", ">")

    def at(self, **values: object) -> str:
        """The path with values in place of its parameters."""
        return self.path.format_map(values)


GROUPS: Mapping[str, str] = {
    "Records": "A file becomes a record in one request, and comes back from where the record is",
    "Resumable uploads": "A file in pieces, by tus 1.0.0: after a lost connection it goes on",
    "Health": "Whether the proxy is alive, and ready",
    "Pages": "For browsers, and this description",
}
"""How the operations are grouped, in that order: a name to what it is."""


def operation(declared: Operation) -> Callable[[AnyHandler], AnyHandler]:
    """The decorated method handles what is declared, once its object is among the routes.

    The method takes the request, and the path's values by name. It gives the answer's body: as bytes, by a
    Deferred or as a coroutine. The one of an OPTIONS only adds header fields, and gives nothing.
    """

    def mark(handler: AnyHandler) -> AnyHandler:
        cast(Any, handler).declared = declared
        return handler

    return mark


def handlers_of(api: object) -> Iterator[tuple[Operation, Handler]]:
    """An object's operations in their order, each with the method that handles it."""
    for name, method in vars(type(api)).items():
        declared = getattr(method, "declared", None)
        if isinstance(declared, Operation):
            yield declared, getattr(api, name)
