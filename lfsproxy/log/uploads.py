"""One line for every upload that ended, of both doors and resumable: its sender, what, where, how it went.

    upload result=ok door=kafka client=app-1 peer=10.0.0.7:51234 topic=photos partition=3 offset=42 key=…

What every line of this kind needs is here too: the sender, and how fields become text.

The code that ends an upload calls ``upload_ended``, which counts it and writes the line. Its sender is told
by ``sent_by`` or ``SENDER.set`` before the coroutine starts that does the work: a coroutine keeps the
context that it began in.
"""

from __future__ import annotations

import json
import re
from contextlib import AbstractContextManager
from contextvars import ContextVar
from typing import Any

import attrs

from lfsproxy.interfaces import IMetrics
from lfsproxy.log.trail import TRAIL, Trail, meanwhile
from lfsproxy.logs import Logger

MOST_SHOWN = 1000
"""Characters of one value in a line of the log."""

_log = Logger()


@attrs.frozen
class Sender:
    """The sender: the Kafka client's id, the peer's address, the HTTP request's id and its API key's."""

    client: str = ""
    peer: str = ""
    request_id: str = ""
    key_id: str = ""


NOBODY = Sender()
SENDER: ContextVar[Sender] = ContextVar("lfsproxy_sender", default=NOBODY)
"""The sender of what is worked on."""


def sent_by(sender: Sender) -> AbstractContextManager[None]:
    """What is started meanwhile is this sender's."""
    return meanwhile(SENDER, sender)


@attrs.frozen(kw_only=True)
class End:
    """How an upload or a download ended. ``size`` is in bytes, ``seconds`` since it began.

    ``result`` is as in lfsproxy.interfaces.IMetrics, with ``reason`` where it is not ok.
    """

    size: int = 0
    seconds: float = 0.0
    result: str = "ok"
    reason: str = ""
    sender: Sender = attrs.field(factory=SENDER.get)
    trail: Trail = attrs.field(factory=TRAIL.get)


@attrs.frozen(kw_only=True)
class UploadEnd(End):
    """How an upload ended. ``size`` is the bytes received.

    ``door`` is kafka, http or tus. ``partition`` and ``key`` are not known of an upload that ended before it
    had them, ``offset`` only where the broker told it.
    """

    door: str
    topic: str
    partition: int | None = None
    offset: int | None = None
    key: str = ""


def log_end(log: Logger, event: str, fields: dict[str, Any], end: End) -> None:
    """The line of an end: its own ``fields``, and then those that every end has."""
    fields |= {
        "bytes": end.size,
        "seconds": round(end.seconds, 3),
        "request_id": end.sender.request_id,
        "s3_request_id": end.trail.s3_request_id,
        "trace_id": end.trail.span.trace_id,
        "reason": end.reason,
    }
    log.info(f"{event} {{line}}", line=as_line(fields), fields={"event": event, **fields})


def upload_ended(metrics: IMetrics, end: UploadEnd) -> None:
    """Count an upload and log it."""
    metrics.upload(end.door, end.topic, end.result, end.size, end.seconds)
    log_upload(end)


def log_upload(end: UploadEnd) -> None:
    """Log an upload that is not counted, as it had not begun to store anything."""
    fields = {
        "result": end.result,
        "door": end.door,
        "client": end.sender.client,
        "key_id": end.sender.key_id,
        "peer": end.sender.peer,
        "topic": end.topic,
        "partition": end.partition,
        "offset": end.offset,
        "key": end.key,
    }
    log_end(_log, "upload", fields, end)


def as_line(fields: dict[str, Any]) -> str:
    """Fields that have a value, as ``name=value`` with spaces between them."""
    return " ".join(f"{name}={as_value(value)}" for name, value in fields.items() if value not in {None, ""})


def as_value(value: object) -> str:
    """A value on one line, in JSON's quotes where it has blanks, quotes or anything that is not printable."""
    text = str(value)[:MOST_SHOWN]
    return text if re.fullmatch(r"[!#-~]+", text) else json.dumps(text)
