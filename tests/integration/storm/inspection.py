"""Compares what is in the topics and in the bucket after a storm with what the clients were told."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import attrs
from botocore.exceptions import ClientError

from lfsproxy.envelope import parse_envelope
from lfsproxy.errors import LfsError
from tests.integration.clients.python import read_topic
from tests.integration.clients.records import Record
from tests.integration.storm.bucket import Bucket, sha256_of, topic_of
from tests.integration.storm.notes import TOPICS, Door, Journal, Note, Outcome, Place

AT_ONCE = 4

Published = Mapping[bytes, list[Record]]
"""Records by their key, which only one of all topics has."""

SentAnew = Callable[[str, set[Place]], bool]
"""Whether the copies of a record, in that topic and at these places, are its client's doing."""


@attrs.define
class Row:
    """What came of the records of one door. ``orphans`` are blobs that no record names."""

    sent: int = 0
    acknowledged: int = 0
    refused: int = 0
    unknown: int = 0
    unknown_but_there: int = 0
    lost: int = 0
    twice: int = 0
    dangling: int = 0
    wrong: int = 0
    orphans: int = 0


@attrs.define
class Findings:
    """``broken`` says which promise was not kept, for which record."""

    rows: dict[Door, Row] = attrs.field(factory=lambda: defaultdict(Row))
    broken: list[str] = attrs.field(factory=list)
    envelopes: int = 0
    store_lost: list[str] = attrs.field(factory=list)
    """Keys of uploads that the store lost before they were published."""
    unexplained: list[str] = attrs.field(factory=list)
    """Blobs of resumable uploads that no record names, and whose outcome is not unknown either."""
    sent_anew: list[str] = attrs.field(factory=list)
    """Records that are there more than once, by their client's doing."""


def read_all(bootstrap: str) -> Published:
    """Every topic, whole (read_committed)."""
    published: dict[bytes, list[Record]] = defaultdict(list)
    for topic in TOPICS:
        for record in read_topic(bootstrap, topic):
            published[record.key or b""].append(record)
    return published


def _never(topic: str, places: set[Place]) -> bool:
    return False


def inspect(
    journal: Journal, published: Published, client: Any, bucket: Bucket, sent_anew: SentAnew = _never
) -> Findings:
    """Compare what is ``published`` with the notes, and read every blob that is named there."""
    findings = Findings(broken=list(journal.broken))
    for note in journal.notes:
        _compare(findings, note, published.get(note.key, []), sent_anew)
    nobody = set(published) - {note.key for note in journal.notes}
    findings.broken += [f"{key!r} is in the topic, and nobody sent it" for key in nobody]
    _in_order(findings, journal.notes)
    named = _check_blobs(findings, journal.notes, published, client, bucket.name)
    for key in set(bucket.blobs) - named:
        findings.rows[Door(topic_of(key))].orphans += 1
        if topic_of(key) == Door.TUS.value and key not in bucket.unknown:
            findings.unexplained.append(key)
    return findings


def _compare(findings: Findings, note: Note, found: list[Record], sent_anew: SentAnew) -> None:
    row = findings.rows[note.door]
    row.sent += 1
    row.acknowledged += note.outcome is Outcome.ACKNOWLEDGED
    row.refused += note.outcome in (Outcome.REFUSED, Outcome.STORE_LOST)
    if note.outcome is Outcome.STORE_LOST:
        findings.store_lost.append(note.key.decode())
    open_ = note.outcome in (Outcome.UNKNOWN, Outcome.STAYS_UNKNOWN)
    row.unknown += open_
    row.unknown_but_there += open_ and bool(found)
    places = {(record.partition, record.offset) for record in found}
    name = f"{note.door.value} {note.key.decode()}"
    if note.outcome is Outcome.ACKNOWLEDGED and not found:
        row.lost += 1
        findings.broken.append(f"{name} is lost: acknowledged at {sorted(note.places)}")
    elif not note.places <= places:
        findings.broken.append(f"{name} was acknowledged at {sorted(note.places)}, it is at {sorted(places)}")
    if len(found) > 1:
        said = f"{name} is there {len(found)} times: {sorted(places)}"
        if sent_anew(note.topic, places):
            findings.sent_anew.append(said)
        else:
            row.twice += 1
            findings.broken.append(said)
    if note.outcome in (Outcome.REFUSED, Outcome.STAYS_UNKNOWN, Outcome.STORE_LOST) and found:
        findings.broken.append(f"{name} is at {sorted(places)}, and {note.outcome.value} ({note.said})")


def _in_order(findings: Findings, notes: Iterable[Note]) -> None:
    """A producer's records are in the order in which it sent them, in each partition."""
    last: dict[tuple[str, str, int], tuple[int, bytes]] = {}
    for note in notes:
        if note.door not in (Door.PLAIN, Door.KAFKA):
            continue
        for partition, offset in note.places:
            producer = note.key.decode().rpartition("-")[0]
            before = last.get((producer, note.topic, partition), (-1, b""))
            if offset <= before[0]:
                findings.broken.append(f"{note.key!r} at {offset} is before {before[1]!r} at {before[0]}")
            last[producer, note.topic, partition] = (offset, note.key)


def _check_blobs(
    findings: Findings, notes: Iterable[Note], published: Published, client: Any, bucket: str
) -> set[str]:
    """Every envelope has its blob, with the bytes that were sent. The keys that are named."""
    named: Counter[str] = Counter()
    pairs = [(note, record) for note in notes for record in published.get(note.key, [])]
    with ThreadPoolExecutor(AT_ONCE) as threads:
        checked = list(threads.map(lambda pair: _trouble(pair[0], pair[1], client, bucket), pairs))
    for (note, record), (why, key) in zip(pairs, checked, strict=True):
        if key is not None:
            named[key] += 1
        if why is not None:
            row = findings.rows[note.door]
            row.dangling += why == DANGLING
            row.wrong += why != DANGLING
            findings.broken.append(f"{note.key!r} at {record.partition}, {record.offset}: {why} ({key})")
    findings.envelopes = named.total()
    findings.broken += [f"{count} records name {key}" for key, count in named.items() if count > 1]
    return set(named)


DANGLING = "the blob is not there"


def _trouble(note: Note, record: Record, client: Any, bucket: str) -> tuple[str | None, str | None]:
    """What is wrong with a record, None where nothing is; and the blob's key."""
    value = record.value or b""
    if note.door is Door.PLAIN:
        same = hashlib.sha256(value).hexdigest() == note.sha256
        return (None if same else "it has not the bytes that were sent"), None
    try:
        envelope = parse_envelope(value)
    except LfsError as error:
        return str(error), None
    if envelope is None:
        return "it is no envelope", None
    if (envelope.content_length, envelope.checksum) != (note.size, note.sha256):
        return "the envelope has another length or checksum", envelope.s3_key
    try:
        size, digest = sha256_of(client, bucket, envelope.s3_key)
    except ClientError as error:
        if error.response["Error"]["Code"] != "NoSuchKey":
            raise
        return DANGLING, envelope.s3_key
    if (size, digest) != (note.size, note.sha256):
        return "the blob has other bytes", envelope.s3_key
    return None, envelope.s3_key
