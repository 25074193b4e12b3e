"""How long things may take at the brokers, in seconds."""

from __future__ import annotations

from typing import Final

METADATA_SECONDS: Final = 10.0
"""How long a question to the cluster (topics, offsets) may take before Kafka counts as unavailable; also how
long a record may wait to be sent."""
PUBLISH_SECONDS: Final = 30.0
"""How long a record may take from ``publish`` to its answer, all tries in all. After that nothing leaves."""
REPLICAS_SECONDS: Final = 8.0
"""How long a broker may wait for its replicas (acks=all) before it answers that it did."""
PRODUCE_SILENCE_SECONDS: Final = REPLICAS_SECONDS + 2.0
"""How long a broker may take to answer a batch. Three times that fits into PUBLISH_SECONDS, so that a batch
is sent again when another broker leads: one that hangs is missed after nine seconds by default."""
ALIVE_SECONDS: Final = 1.0
"""How long a broker that was heard counts as one that answers. After that it is asked something before a new
batch leaves: a broker that hangs, or has silently gone, must not get what can then be anywhere."""
RETRY_SECONDS: Final = 0.2
"""Between two tries of the same thing."""
