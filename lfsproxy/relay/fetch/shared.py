"""What all consumers that get blobs share: the settings, the store, the memory, and what was learnt."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import attrs
from twisted.internet.interfaces import IReactorTime

from lfsproxy.budget import MemoryBudget
from lfsproxy.following import BUFFER_BYTES, Places
from lfsproxy.interfaces import IBlobSource, IMetrics
from lfsproxy.logs import Logger
from lfsproxy.names import is_chosen, is_internal
from lfsproxy.relay.fetch.ids import TopicNames
from lfsproxy.relay.fetch.lately import Lately
from lfsproxy.relay.fetch.plan import MOST_ANSWER, Rules
from lfsproxy.relay.fetch.small import SmallBlobs
from lfsproxy.relay.fetch.suspects import Suspects
from lfsproxy.relay.fetch.untaken import Untaken
from lfsproxy.relay.scanning import Scans
from lfsproxy.settings import Settings
from lfsproxy.wire.decompress import USUAL_WINDOW
from lfsproxy.wire.walk import Limits

TROUBLED_SECONDS: Final = 60.0
"""How long a blob that the store was in trouble with is not waited for as long as others are."""
MOST_TROUBLED: Final = 1024
"""Such blobs that are remembered; beyond it the first one is forgotten."""

_log = Logger()


class Matched:
    """Tells once that LFS_HYDRATE_TOPICS matches none of the topics that consumers ask for, if that is so."""

    def __init__(self, patterns: tuple[str, ...]) -> None:
        self._patterns = patterns
        self._is_settled = False

    def look(self, client: str, asked: Iterable[str | None], any_chosen: bool) -> None:
        """A consumer has asked for topics, so far as their names are known."""
        topic = next((each for each in asked if each and not is_internal(each)), None)
        if self._is_settled or (topic is None and not any_chosen):
            return
        self._is_settled = True
        if not any_chosen:
            _log.info(
                "Kafka client {client_id} gets envelopes: LFS_HYDRATE_TOPICS ({patterns}) does not match "
                "{topic}, and has matched no topic yet that consumers asked for",
                client_id=client,
                patterns=",".join(self._patterns),
                topic=topic,
            )


@attrs.frozen(eq=False)
class Shared:
    """The process-wide parts; ``scans`` are the places in which batches are searched. ``troubled`` has what
    the store's trouble was with blobs, by their keys."""

    reactor: IReactorTime
    settings: Settings
    source: IBlobSource
    budget: MemoryBudget
    metrics: IMetrics
    scans: Scans
    names: TopicNames = attrs.field(init=False, factory=TopicNames)
    suspects: Suspects = attrs.field(init=False)
    untaken: Untaken = attrs.field(init=False)
    troubled: Lately[str, str] = attrs.field(init=False)
    matched: Matched = attrs.field(init=False)
    rules: Rules = attrs.field(init=False)
    small: SmallBlobs = attrs.field(init=False)

    @suspects.default
    def _none(self) -> Suspects:
        return Suspects(self.reactor)

    @untaken.default
    def _nothing(self) -> Untaken:
        return Untaken(self.reactor)

    @troubled.default
    def _no_trouble(self) -> Lately[str, str]:
        return Lately(self.reactor, TROUBLED_SECONDS, MOST_TROUBLED)

    @matched.default
    def _not_yet(self) -> Matched:
        return Matched(self.settings.hydrate_topics)

    @small.default
    def _of_source(self) -> SmallBlobs:
        return SmallBlobs(self.reactor, self.source)

    @property
    def inflating(self) -> int:
        """Bytes that a batch may take to be decompressed while it is written: what the settings have room for
        beside everything else, up to what producers use."""
        settings = self.settings
        spare = self.budget.largest - settings.max_passthrough_size - settings.s3_part_size - BUFFER_BYTES
        return min(USUAL_WINDOW, max(spare, 0))

    @property
    def most_memory(self) -> int:
        """Bytes that an answer can need besides the broker's own."""
        return self.settings.s3_part_size + BUFFER_BYTES + self.inflating

    @rules.default
    def _of_settings(self) -> Rules:
        settings = self.settings
        places = Places(self.source.bucket, settings.namespace, settings.download_prefixes)
        return Rules(
            places.check,
            min(settings.hydrate_max_size, MOST_ANSWER),
            settings.s3_part_size,
            settings.hydrate_missing == "envelope",
            Limits(settings.max_decompressed_size, self.inflating, self.inflating),
        )

    def is_on_for(self, client_id: str) -> bool:
        """Whether a client gets blobs at all (LFS_HYDRATE_TOPICS, LFS_HYDRATE_CLIENT_IDS)."""
        settings = self.settings
        return bool(settings.hydrate_topics) and is_chosen(client_id, settings.hydrate_client_ids)

    def chooses(self, topic: str) -> bool:
        """Whether a topic's envelopes become blobs (LFS_HYDRATE_TOPICS)."""
        return not is_internal(topic) and is_chosen(topic, self.settings.hydrate_topics)
