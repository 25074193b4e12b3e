"""What the HTTP API's operations are: one declaration each, by which it is routed and described.

    @operation(app, Operation("getHealth", "GET", "/healthz", "Whether the process is alive", answers=(...)))
    def healthz(self, request): ...

Schemas are JSON Schema 2020-12, as OpenAPI 3.1 takes them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any, TypeVar

import attrs
from klein import Klein

from lfsproxy.errors import LfsError

Schema = Mapping[str, Any]
Handler = TypeVar("Handler", bound=Callable[..., Any])


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

    ``body`` maps media types to schemas, None where a request has no body. ``errors`` are the problems that
    it may answer with. ``action`` is what an API key must allow on the topic, read or write; None: public.
    ``group`` is one of GROUPS.
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
    group: str = "Records"

    @property
    def rule(self) -> str:
        """The path as Klein routes it."""
        return self.path.replace("{", "<").replace("}", ">")


GROUPS: Mapping[str, str] = {
    "Records": "A file becomes a record in one request, and comes back from where the record is",
    "Resumable uploads": "A file in pieces, by tus 1.0.0: after a lost connection it goes on",
    "Health": "Whether the proxy is alive, and ready",
    "Pages": "For browsers, and this description",
}
"""How the operations are grouped, in that order: a name to what it is."""

OPERATIONS: list[Operation] = []
"""All that are declared, in their order."""


def operation(app: Klein, declared: Operation) -> Callable[[Handler], Handler]:
    """Route what is declared to the decorated method, for requests that the object's ``gate`` admits."""

    def decorate(handler: Handler) -> Handler:
        OPERATIONS.append(declared)

        @wraps(handler)
        def admitted(self: Any, request: Any, **values: str) -> Any:
            self.gate.admit(request, declared, values.get("topic"))
            return handler(self, request, **values)

        app.route(declared.rule, methods=[declared.method])(admitted)
        return handler

    return decorate
