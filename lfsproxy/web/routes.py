"""The operations as a resource: a request is routed once, admitted by the gate, and handled.

Whatever else a path has comes from its operations: the answer to OPTIONS, the refusal of other methods, and
the route's label in the metrics.
"""

# twisted.web is not annotated:
# mypy: disallow-untyped-calls=False

from __future__ import annotations

from typing import Any

from klein import Klein
from klein.resource import KleinResource
from twisted.python.failure import Failure
from twisted.web.http import NO_CONTENT
from twisted.web.iweb import IRequest
from twisted.web.resource import Resource
from werkzeug.exceptions import HTTPException

from lfsproxy.web.cors import Cors
from lfsproxy.web.gate import Gate
from lfsproxy.web.operations import Handler, Operation, handlers_of
from lfsproxy.web.problems import MethodUnsupported, NotFound, problem_of, render_problem
from lfsproxy.web.request import StreamingRequest


class Routes(Resource):
    """Operations with their handlers. ``operations`` are all of them, in their order."""

    isLeaf = True

    def __init__(self, gate: Gate, cors: Cors) -> None:
        super().__init__()
        self.operations: list[Operation] = []
        self._handlers: list[Handler] = []
        self._gate = gate
        self._cors = cors
        self._routed: KleinResource | None = None

    def add(self, api: object) -> None:
        """Route the operations of an object's methods to them."""
        for declared, handler in handlers_of(api):
            self.operations.append(declared)
            self._handlers.append(handler)
        self._cors.allow(self.operations)
        self._routed = None

    def render(self, request: IRequest) -> Any:
        if self._routed is None:
            self._routed = self._route()
        return self._routed.render(request)

    def methods_of(self, path: str) -> str:
        """The methods of a path as Allow has them."""
        methods = {declared.method for declared in self.operations if declared.path == path}
        return ", ".join(sorted(methods | {"OPTIONS"} | ({"HEAD"} if "GET" in methods else set())))

    def _route(self) -> KleinResource:
        app = Klein()
        # An empty segment is somebody's mistake, not a second way to write a path.
        app.url_map.merge_slashes = False
        # A rule for each path, whatever the method: for a method that no rule has, Klein tells no path.
        for path, rule in {declared.path: declared.rule for declared in self.operations}.items():
            app.route(rule, endpoint=path)(self._at(path))
        app.handle_errors(Exception)(self._failed)
        return app.resource()

    def _at(self, path: str) -> Handler:
        """What is called for a request of a path."""
        handlers = {
            declared.method.encode("ascii"): (declared, handler)
            for declared, handler in zip(self.operations, self._handlers, strict=True)
            if declared.path == path
        }
        if b"GET" in handlers:
            handlers.setdefault(b"HEAD", handlers[b"GET"])

        def handle(request: StreamingRequest, **values: str) -> Any:
            if request.method in handlers:
                declared, handler = handlers[request.method]
                request.is_routed(path, is_upload=declared.body is not None)
                self._gate.admit(request, declared, values.get("topic"))
                if declared.method == "OPTIONS":
                    return self._offer(request, path, lambda: handler(request, **values))
                return handler(request, **values)
            request.is_routed(path)
            if request.method == b"OPTIONS":
                return self._offer(request, path)
            raise MethodUnsupported(request.method[:20].decode("ascii"), self.methods_of(path))

        return handle

    def _offer(self, request: StreamingRequest, path: str, more: Handler = lambda: None) -> bytes:
        """Answer OPTIONS, a page's preflight too. ``more`` sets the header fields of the operation's own."""
        allowed = self.methods_of(path)
        request.setResponseCode(NO_CONTENT)
        request.setHeader(b"Allow", allowed.encode("ascii"))
        more()
        self._cors.add_preflight_headers(request, allowed)
        return b""

    def _failed(self, request: IRequest, failure: Failure) -> bytes:
        error: Any = failure.value
        if isinstance(error, HTTPException):
            error = NotFound(f"nothing is at {request.path[:200].decode('latin-1')}")
        return render_problem(request, problem_of(error))
