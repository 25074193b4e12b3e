"""kafka-python's log (stdlib logging) speaks to programmers: a command shows nothing of it.

What does not succeed is told by the code that asked for it, in this product's words.
"""

from __future__ import annotations

import logging


def silence_kafka_log() -> None:
    """Show nothing of kafka-python's log, apart from where somebody has asked for it."""
    logger = logging.getLogger("kafka")
    logger.propagate = False
    if not logger.handlers:
        logger.addHandler(logging.NullHandler())
