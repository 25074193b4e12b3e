"""One line for every download that ended: who asked for it, what it was, and how it went.

download result=ok door=http method=GET status=206 peer=10.0.0.7:51234 topic=photos …
"""

from __future__ import annotations

import attrs

from lfsproxy.log.uploads import End, log_end
from lfsproxy.logs import Logger

_log = Logger()


@attrs.frozen(kw_only=True)
class DownloadEnd(End):
    """How a download ended. ``size`` is the bytes that were given out.

    ``status`` is the answer's, None where there was none; ``range`` the part that was asked for, as
    first-last, empty for the whole. ``partition`` and ``offset`` are as the client wrote them.
    """

    method: str
    topic: str
    partition: str
    offset: str
    status: int | None = None
    range: str = ""


def log_download(end: DownloadEnd) -> None:
    """Log a download's end. It is counted by lfsproxy.downloads, where bytes were given out."""
    fields = {
        "result": end.result,
        "door": "http",
        "method": end.method,
        "status": end.status,
        "key_id": end.sender.key_id,
        "peer": end.sender.peer,
        "topic": end.topic,
        "partition": _number(end.partition),
        "offset": _number(end.offset),
        "key": end.trail.key,
        "range": end.range,
    }
    log_end(_log, "download", fields, end)


def _number(text: str) -> int | str:
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 20 else text
