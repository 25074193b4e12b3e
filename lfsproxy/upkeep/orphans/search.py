"""Finds what no envelope names, in the order that makes it safe. docs/operate/upkeep.md has the proof.

1. The bucket is listed. Only blobs that are older than the grace period can be orphans: whoever uploaded one
   has published it by now, or never will.
2. The state of resumable uploads is read: they may publish a blob that is older.
3. All topics are read, each partition to the end that it has when its turn comes.
4. What was appended meanwhile is read, in the topics that are there now. An envelope that is copied from one
   partition to another, and expires in the first, is seen in one of both.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import attrs
from twisted.internet.defer import Deferred

from lfsproxy.errors import UnreadableLog
from lfsproxy.interfaces import FoundTopic
from lfsproxy.names import is_chosen, is_topic_name
from lfsproxy.upkeep.orphans.book import Book
from lfsproxy.upkeep.orphans.listing import Listing
from lfsproxy.upkeep.orphans.report import Report
from lfsproxy.upkeep.orphans.topics import Chosen, TopicReading
from lfsproxy.words import counted

InThread = Callable[..., Deferred[None]]
"""Calls a function in a thread."""


@attrs.frozen
class Asked:
    """What is looked for: ``topics`` are globs, ``gone`` those of topics that do not exist any more."""

    topics: Sequence[str]
    gone: Sequence[str] = ()


class Search:
    """One search, which fills ``book``. A book that has something already is gone on with.

    ``note`` is called with sentences for people; ``in_thread`` runs what sorts.
    """

    def __init__(
        self,
        book: Book,
        listing: Listing,
        topics: TopicReading,
        in_thread: InThread,
        note: Callable[[str], None] = lambda line: None,
    ) -> None:
        self._book = book
        self._listing = listing
        self._topics = topics
        self._in_thread = in_thread
        self._note = note

    async def run(self, asked: Asked) -> Report:
        """Raises UnreadableLog where not all could be read, and what the store and Kafka raise."""
        if not self._book.is_listed:
            await self._listing.run()
        self._book.reopen()
        before = await self._topics.choose(asked.topics)
        if before.left_out:
            self._note(
                f"envelopes in {counted(len(before.left_out), 'topic')} that --topics leaves out are not "
                "seen: a blob that is named only there counts as an orphan"
            )
        await self._topics.read(before.topics, again=False)
        now = await self._still(before, await self._topics.choose(asked.topics))
        await self._topics.read(now, again=True)
        gone = await self._gone(asked.gone, {*(one.name for one in now), *before.left_out})
        read = [one.name for one in now]
        await self._in_thread(self._book.judge, [*read, *gone])
        return Report.of(self._book, len(now), sum(len(one.partitions) for one in now))

    async def _still(self, before: Chosen, after: Chosen) -> list[FoundTopic]:
        """The topics of the second reading. One that is not listed any more is asked for: a broker may not
        have heard of it yet."""
        names = {one.name for one in after.topics}
        missing = [one.name for one in before.topics if one.name not in names]
        found = await self._topics.about(missing)
        if found.refused:
            raise UnreadableLog("; ".join(found.refused.values()))
        return [*after.topics, *found.topics]

    async def _gone(self, globs: Sequence[str], there: set[str]) -> list[str]:
        """The topics of blobs that are said to be gone, and are."""
        if not globs:
            return []
        chosen = [
            name
            for name in self._book.blob_topics()
            if name not in there and is_topic_name(name) and is_chosen(name, globs)
        ]
        found = await self._topics.about(chosen)
        wrong = [*found.refused.values(), *(f"the topic {one.name} exists" for one in found.topics)]
        if wrong:
            raise UnreadableLog(f"--deleted-topics: {'; '.join(wrong)}")
        return list(found.unknown)
