"""What one upload or download leaves behind for its line in the log: its span, and S3's id of its request.

A context variable carries the trail, as ``uploads.SENDER`` does the sender: a coroutine keeps the one in
which it began. What sends requests later, from callbacks, keeps the trail itself (lfsproxy.s3.upload).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from typing import TypeVar

import attrs

from lfsproxy.tracing.spans import NO_SPAN, Span

T = TypeVar("T")

_WEIGHTS = {"put_object": 2, "complete_multipart_upload": 2, "get_object": 1, "head_object": 1}
"""Which request of a blob matters most: an error, or what makes it visible, before what reads it."""
_ERROR = 2


@attrs.define(eq=False)
class Trail:
    """``key`` is the blob's in the store; ``ends``: the span ends with the upload, not with a request."""

    span: Span = NO_SPAN
    key: str = ""
    ends: bool = False
    s3_request_id: str = ""
    _weight: int = 0

    def answered(self, operation: str, key: str, request_id: str, is_error: bool) -> None:
        """The store has answered a request, and names it by ``request_id``. The one that matters is kept."""
        if not key or key != self.key or not request_id:
            return
        weight = _ERROR if is_error else _WEIGHTS.get(operation, 0)
        if weight and weight >= self._weight:
            self.s3_request_id, self._weight = request_id, weight


NOBODYS = Trail()
"""Of what is done for no client. It has no key, so that nothing is noted in it."""
TRAIL: ContextVar[Trail] = ContextVar("lfsproxy_trail", default=NOBODYS)
"""The trail of what is worked on."""


@contextmanager
def meanwhile(variable: ContextVar[T], value: T) -> Iterator[None]:
    """What is started meanwhile has this value of a context variable."""
    token = variable.set(value)
    try:
        yield
    finally:
        variable.reset(token)


def follow(trail: Trail) -> AbstractContextManager[None]:
    """What is started meanwhile leaves this trail."""
    return meanwhile(TRAIL, trail)
