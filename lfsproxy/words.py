"""The text of an exception, for people: never empty, and never Python's own notation.

Libraries put into their exceptions what suits a traceback: lists of tuples, other exceptions' reprs, objects
with their addresses, or nothing at all. What is logged or answered goes through ``error_text``.
"""

from __future__ import annotations

import re
import ssl
from collections.abc import Iterator

from lfsproxy.errors import LfsError
from lfsproxy.quoting import quoted

_NOTATION = re.compile(
    r"\('[^']*',|\[\(|\['|\bb['\"]|<class|Traceback|Error\(|object at 0x|_ssl\.c:|\w\(\w+=|<\w+[ .\[]"
)
_OWNER = re.compile(r"^[A-Za-z]+\([^()]*\): ")
_BROKEN_OFF = re.compile(r"\bIncompleteRead\(([^()]*)\)")
_ERRNO = re.compile(r"\[Errno -?\d+\] ")


def error_text(error: BaseException | None) -> str:
    """What went wrong, in words. ``str(error)`` where that is a sentence; else what is behind it."""
    if error is None:
        return "no reason is known"
    if isinstance(error, LfsError) and str(error):
        return str(error)
    wrapped = getattr(error, "reasons", None)
    if isinstance(wrapped, list) and wrapped:
        return "; ".join(dict.fromkeys(error_text(each.value) for each in wrapped))
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"certificate verify failed: {getattr(error, 'verify_message', 'no reason is known')}"
    reason = getattr(error, "reason", None) if isinstance(error, ssl.SSLError) else None
    if isinstance(reason, str):
        return f"TLS: {reason.replace('_', ' ').lower()}"
    if isinstance(error, OSError) and error.strerror and not is_notation(error.strerror):
        return error.strerror
    if isinstance(error, UnicodeDecodeError | UnicodeEncodeError):
        return "it is not UTF-8"
    if isinstance(error, KeyError) and error.args and isinstance(error.args[0], str):
        return f"there is no {quoted(error.args[0])}"
    entries = _openssl_entries(error)
    if entries:
        return "; ".join(entries)
    text = str(error).strip().removeprefix(f"{type(error).__name__}:").strip()
    text = _ERRNO.sub("", _OWNER.sub("", _BROKEN_OFF.sub(r"the answer broke off (\1)", text)))
    if text and not is_notation(text):
        return text
    inner = next(_behind(error), None)
    return _class_words(error) if inner is None else error_text(inner)


def counted(count: int, noun: str) -> str:
    """A number of things, whose plural ends in s."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def bug_text(error: BaseException) -> str:
    """What is said of an exception that nobody foresaw. A library's has a text that may say little: its class
    tells more to those who mend it."""
    return f"this is a bug in lfsproxy: {error_text(error)} ({type(error).__name__})"


BUG_SHOWN = "LFS_LOG_LEVEL=debug, or --debug before the command, shows where"
"""What to do about one: the traceback is for those who mend it."""


def _openssl_entries(error: BaseException) -> list[str]:
    """OpenSSL's own words in an error of pyOpenSSL's, without the places in its source."""
    entries = error.args[0] if error.args and isinstance(error.args[0], list) else []
    return [str(entry[-1]) for entry in entries if isinstance(entry, tuple) and entry and entry[-1]]


def is_notation(text: str) -> bool:
    """Whether a text has Python's notation in it."""
    return _NOTATION.search(text) is not None


def _behind(error: BaseException) -> Iterator[BaseException]:
    for inner in (error.__cause__, getattr(error, "reason", None), *error.args):
        if isinstance(inner, BaseException) and inner is not error:
            yield inner


def _class_words(error: BaseException) -> str:
    """``KafkaTimeoutError`` as "kafka timeout"."""
    name = type(error).__name__.lstrip("_")
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", name).lower()
    return words.removesuffix(" error").removesuffix(" exception")
