"""Why a connection could not be made, in the words that are said of S3 and of brokers alike."""

from __future__ import annotations

from twisted.internet.error import ConnectionRefusedError, TCPTimedOutError, TimeoutError

from lfsproxy.words import error_text


def why_unreached(error: BaseException) -> str:
    """What follows "cannot be reached: "."""
    if isinstance(error, ConnectionRefusedError):
        return "connection refused, nothing listens at that port"
    if isinstance(error, TimeoutError | TCPTimedOutError):
        return "nobody answers there (a wrong address, or a firewall)"
    return error_text(error)
