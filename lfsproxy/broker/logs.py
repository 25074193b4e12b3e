"""What becomes of kafka-python's log (stdlib logging): it speaks to programmers.

The proxy has it as events of twisted.logger, at debug; a command that only uses Kafka keeps it silent.

What does not succeed is answered, or logged, by the code that asked for it, in this product's words. Only
what kafka-python itself did not foresee is nobody else's to tell: that is a warning.
"""

from __future__ import annotations

import logging

from kafka.errors import SaslAuthenticationFailedError

from lfsproxy.logs import Logger
from lfsproxy.words import error_text

_log = Logger(namespace="kafka")

REPEAT_SECONDS = 60.0
"""How long the same text is not logged again."""
_UNFORESEEN = (
    "IO loop crashed",
    "Unhandled exception",
    "Error processing",
    "%s: Uncaught error",
    "StopIteration raised",
)


class TwistedHandler(logging.Handler):
    """Passes errors on, the same text once in REPEAT_SECONDS: it repeats while Kafka is away.

    A refused sign-in is told by readiness and in answers, once; here it would be told again for each socket.
    kafka-python puts its arguments, secrets among them, into debug messages, which are not passed on.
    """

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self._last: dict[tuple[str, str], float] = {}

    def emit(self, record: logging.LogRecord) -> None:
        arguments = record.args if isinstance(record.args, tuple) else ()
        if any(isinstance(each, SaslAuthenticationFailedError) for each in arguments):
            return
        message = (record.name, str(record.msg))
        if record.created - self._last.get(message, 0.0) < REPEAT_SECONDS:
            return
        self._last[message] = record.created
        _log.debug("{logger}: {text}", logger=record.name, text=record.getMessage())
        if message[1].startswith(_UNFORESEEN):
            error = record.exc_info[1] if record.exc_info else None
            _log.warn(
                "the Kafka client library failed in an unforeseen way ({logger}): {why}",
                logger=record.name,
                why=error_text(error) if error else "it gives no reason",
            )


def forward_kafka_logs() -> None:
    """Send kafka-python's errors to twisted.logger; may be called more than once."""
    logger = _own_logger()
    if not any(isinstance(handler, TwistedHandler) for handler in logger.handlers):
        logger.addHandler(TwistedHandler())


def silence_kafka_logs() -> None:
    """Show nothing of kafka-python's log; what is forwarded already stays so."""
    logger = _own_logger()
    if not logger.handlers:
        logger.addHandler(logging.NullHandler())


def _own_logger() -> logging.Logger:
    """kafka-python's, apart from Python's own, which would write to standard error."""
    logger = logging.getLogger("kafka")
    logger.propagate = False
    return logger
