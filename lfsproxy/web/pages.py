"""The pages, what they are made of, and the description of the API."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

from twisted.web.iweb import IRequest

from lfsproxy.quoting import quoted
from lfsproxy.web import declared
from lfsproxy.web.assets import Document, asset, docs_page, page
from lfsproxy.web.openapi import openapi_json
from lfsproxy.web.operations import Operation, operation
from lfsproxy.web.problems import NotFound


class PageApi:
    """Pages for browsers. ``operations`` are described; ``keys``: whether the proxy asks for API keys."""

    def __init__(self, operations: Sequence[Operation], keys: bool) -> None:
        self._operations = operations
        self._keys = keys

    @operation(declared.PAGE)
    def page(self, request: IRequest) -> bytes:
        return page().answer(request)

    @operation(declared.DOCS)
    def docs(self, request: IRequest) -> bytes:
        return docs_page().answer(request)

    @operation(declared.ASSET)
    def asset(self, request: IRequest, name: str) -> bytes:
        found = asset(name)
        if found is None:
            raise NotFound(f"there is no asset {quoted(name)}")
        return found.answer(request)

    @operation(declared.OPENAPI)
    def openapi(self, request: IRequest) -> bytes:
        return self._description.answer(request)

    @cached_property
    def _description(self) -> Document:
        # On the first request: by then every operation is routed.
        return Document(openapi_json(self._operations, self._keys), "application/json")
