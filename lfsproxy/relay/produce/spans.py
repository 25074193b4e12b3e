"""The trail of a record that is offloaded: its span belongs to the trace that the record's headers name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from lfsproxy.log.trail import Trail
from lfsproxy.log.uploads import SENDER
from lfsproxy.net.peers import host_of
from lfsproxy.relay.produce.batches import Batch
from lfsproxy.tracing.spans import Tracer, Value
from lfsproxy.wire.fields import Header


def begin_trail(tracer: Tracer, batch: Batch, headers: Sequence[Header]) -> Trail:
    """``headers`` are the record's, none where they are not known yet."""
    if not tracer.on:
        return Trail(ends=True)
    sender = SENDER.get()
    attributes: dict[str, Value] = {
        "messaging.system": "kafka",
        "messaging.destination.name": batch.topic,
        "messaging.destination.partition.id": str(batch.partition),
        "client.address": host_of(sender.peer),
    }
    if sender.client:
        attributes["messaging.client.id"] = sender.client
    return Trail(tracer.server(f"upload {batch.topic}", trace_headers(headers), attributes), ends=True)


def trace_headers(headers: Sequence[Header]) -> Mapping[str, str]:
    """A record's headers as text, as what reads a trace from them takes them. The last of a name counts."""
    return {
        name.decode("utf-8", "replace").lower(): (value or b"").decode("utf-8", "replace")
        for name, value in headers
    }
