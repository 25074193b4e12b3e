"""What a search has found, as numbers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs

from lfsproxy.upkeep.orphans.book import Book, Sum


@attrs.frozen
class Report:
    """Blobs of the namespace: ``blobs`` are the ``referenced`` ones, the ``orphans``, and those that nothing
    names either but stay: ``young``, ``held`` by a resumable upload, or ``unread``, of topics that were not
    read. ``odd`` counts objects whose keys no proxy makes: they stay. ``uploads`` are unfinished ones."""

    blobs: Sum
    referenced: int
    orphans: Sum
    young: Sum
    held: Sum
    unread: Mapping[str, Sum]
    by_topic: Mapping[str, Sum]
    odd: int
    uploads: int
    topics: int
    partitions: int

    @classmethod
    def of(cls, book: Book, topics: int, partitions: int) -> Report:
        """What the book says."""
        blobs = book.all_blobs()
        return cls(
            blobs,
            blobs.count - book.unnamed(),
            book.orphans(),
            book.young(),
            book.held(),
            book.unjudged(),
            book.orphans_by_topic(),
            book.odd,
            book.uploads(),
            topics,
            partitions,
        )

    @property
    def is_clean(self) -> bool:
        """Whether there is nothing to remove."""
        return not self.orphans.count and not self.uploads

    @property
    def names_nothing(self) -> bool:
        """Whether there are blobs, and not one of them is named: as with another cluster's topics."""
        return self.orphans.count > 0 and not self.referenced

    @property
    def unread_blobs(self) -> int:
        return sum(one.count for one in self.unread.values())

    def summary(self) -> dict[str, Any]:
        """For programs; sizes in bytes."""
        return {
            "blobs": self.blobs.count,
            "blob_bytes": self.blobs.size,
            "referenced": self.referenced,
            "orphans": self.orphans.count,
            "orphan_bytes": self.orphans.size,
            "young": self.young.count,
            "resumable": self.held.count,
            "unread": self.unread_blobs,
            "unread_topics": sorted(self.unread),
            "other_objects": self.odd,
            "uploads": self.uploads,
            "topics": self.topics,
            "partitions": self.partitions,
            "by_topic": {
                name: {"orphans": one.count, "orphan_bytes": one.size} for name, one in self.by_topic.items()
            },
        }
