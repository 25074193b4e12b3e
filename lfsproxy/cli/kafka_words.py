"""What kafka-python's errors say, for people: without the names of its classes."""

from __future__ import annotations

from kafka import errors as kafka_errors

from lfsproxy.words import error_text, is_notation

# kafka-python says only that something unexpected has happened.
_BAD_RECORD = (
    "a record is damaged, or it is to be read as its blob (LFS_HYDRATE_TOPICS), and that is gone or damaged: "
    "the proxy's log says which"
)


def describe(error: BaseException) -> str:
    """One line about an error: its text, behind the broker's own name for it."""
    if not isinstance(error, kafka_errors.BrokerResponseError):
        return error_text(error)
    text = _BAD_RECORD if isinstance(error, kafka_errors.CorruptRecordError) else _text_of(error)
    return f"{_name_of(error)}: {text}" if text else _name_of(error)


def reason(error: BaseException) -> str:
    """The text alone; the broker's own name for it where there is none."""
    text = _text_of(error)
    if not text and isinstance(error, kafka_errors.BrokerResponseError):
        return str(error.message)
    return text or error_text(error)


def _name_of(error: kafka_errors.BrokerResponseError) -> str:
    return f"{error.message} ({error.errno})"


def _text_of(error: BaseException) -> str:
    text = "; ".join(str(part) for part in error.args if part).removeprefix(f"{type(error).__name__}: ")
    if not text and isinstance(error, kafka_errors.BrokerResponseError):
        text = str(error.description or "")
    return "" if is_notation(text) else text
