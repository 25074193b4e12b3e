"""kafka-python's log (stdlib logging) as events of twisted.logger: its errors only.

Its warnings tell of what it retries by itself; what does not succeed in the end is logged or answered here.
"""

from __future__ import annotations

import logging

from kafka.errors import SaslAuthenticationFailedError

from lfsproxy.logs import Logger

_log = Logger(namespace="kafka")

REPEAT_SECONDS = 60.0


class TwistedHandler(logging.Handler):
    """Passes records on, the same text once in REPEAT_SECONDS: it repeats while Kafka is away.

    A refused sign-in is told by readiness and in answers, once; here it would be told again for each socket.
    kafka-python puts its arguments, secrets among them, into debug messages only.
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
        _log.warn("{logger}: {text}", logger=record.name, text=record.getMessage())


def forward_kafka_logs() -> None:
    """Send kafka-python's errors to twisted.logger; may be called more than once."""
    logger = logging.getLogger("kafka")
    if not any(isinstance(handler, TwistedHandler) for handler in logger.handlers):
        logger.addHandler(TwistedHandler())
        logger.propagate = False
