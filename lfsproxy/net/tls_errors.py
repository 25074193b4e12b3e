"""What went wrong with TLS, told without loading it: of a library that is not loaded there is no error."""

from __future__ import annotations

import sys

from twisted.python.failure import Failure

from lfsproxy.words import error_text


class UntrustedServer(Exception):
    """A server's certificate is refused. ``str(error)`` says why, and what to set where that can be told."""


def is_tls_error(error: BaseException | None) -> bool:
    """Whether it is an error of pyOpenSSL's connections."""
    loaded = sys.modules.get("OpenSSL.SSL")
    return loaded is not None and isinstance(error, loaded.Error)


def tls_trouble(reason: Failure | None) -> str:
    """What a lost connection's reason says of TLS, for people; "" where it says nothing of TLS."""
    error = None if reason is None else reason.value
    if isinstance(error, UntrustedServer):
        return str(error)
    return f"TLS: {error_text(error)}" if is_tls_error(error) else ""
