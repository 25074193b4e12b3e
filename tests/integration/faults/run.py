"""Has faults happen one after the other under load, and looks each time what came of it."""

from __future__ import annotations

import contextlib
import re
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random

import attrs

from examples.operate.sizing import inputs, terms
from lfsproxy.envelope import parse_envelope
from tests.integration.faults.cases import Case, Moment
from tests.integration.faults.load import Hydrated, Load, load
from tests.integration.faults.scene import SETTINGS, Scene, scene
from tests.integration.faults.serving import until_served
from tests.integration.faults.upkeep import Left, Upkeep, clean, left
from tests.integration.renumbered import is_renumbered, producers_of
from tests.integration.storm.bucket import Bucket, look
from tests.integration.storm.inspection import Findings, Published, inspect, read_all
from tests.integration.storm.notes import Door, Journal, Outcome, Place
from tests.integration.storm.resuming import settle
from tests.integration.storm.uploads import Upload

SERVED_SECONDS = 10.0
"""Within which both doors serve again, on a machine that has nothing else to do."""
BEGUN_SECONDS = 60.0
SETTLE_SECONDS = 20.0
HYDRATED_SECONDS = 60.0
LAST_SETTLE_SECONDS = 120.0
"""What may be published, or not, is known 60 s after its intent."""
CONNECTIONS = 10
"""More than the clients have, of either kind."""
BOUND = sum(
    terms(
        **{
            **inputs,
            "s3_part_size": int(SETTINGS["LFS_S3_PART_SIZE"]),
            "max_passthrough_size": int(SETTINGS["LFS_MAX_PASSTHROUGH_SIZE"]),
            "kafka_connections": CONNECTIONS,
            "http_uploads": CONNECTIONS,
        }
    ).values()
)
"""Bytes that docs/operate/sizing.md allows."""


@attrs.define
class Result:
    """What came of one fault. Memory is in bytes, ``served`` in seconds; ``new`` is what lies in the bucket
    without a record, since the fault began, and ``removed`` how much of that gc has removed."""

    name: str
    findings: Findings
    rss: tuple[int, int]
    peak: int
    served: float
    new: Left
    broken: list[str]
    orphans: int = 0
    removed: int = 0

    def total(self, field: str) -> int:
        """A count over all doors."""
        return sum(int(getattr(row, field)) for row in self.findings.rows.values())


@attrs.define
class Run:
    """All of them, and the upkeep behind them."""

    results: list[Result]
    upkeep: Upkeep
    late: list[str]

    @property
    def broken(self) -> list[str]:
        """Every promise that was not kept."""
        told = [f"{result.name}: {each}" for result in self.results for each in result.broken]
        return told + self.late + self.upkeep.broken


@attrs.define
class Faults:
    """Has faults happen in ``where``. ``scale`` is how much longer than usual each is, ``within`` how many
    seconds later both doors have to serve. ``later`` are resumable uploads without an end."""

    where: Scene
    seed: int
    scale: float
    within: float
    hydrated: Hydrated
    results: list[Result] = attrs.field(factory=list)
    later: list[Upload] = attrs.field(factory=list)

    def observe(self, case: Case) -> Result:
        """One fault, under load. Blocks."""
        where, proxy, name = self.where, self.where.proxy, str(len(self.results))
        before = left(where, frozenset())
        logged = len(proxy.log)
        # From here on the peak is that of this fault (proc(5), clear_refs).
        Path(f"/proc/{proxy.pid}/clear_refs").write_text("5")
        memory = proxy.memory
        with load(where, name, self.seed) as clients:
            _begun(clients)
            journal = clients.journal
            moment = Moment(where, name, journal, Random(f"{self.seed} {name} fault"), self.scale)
            with case.strike(moment):
                time.sleep(case.seconds * self.scale)
            served = until_served(proxy, journal, name)
        self.later += settle(clients.later, SETTLE_SECONDS)
        broken = self.hydrated.wrong(journal, HYDRATED_SECONDS)
        findings, new = _inspect(where, journal, before)
        broken += findings.broken
        if served > self.within:
            broken.append(f"served again after {served:.0f} s")
        if proxy.peak_memory > BOUND:
            broken.append(f"{proxy.peak_memory} bytes of memory, {BOUND} are allowed")
        log = proxy.log[logged:]
        broken += [f"in the log: {each}" for each in re.findall(r".*(?:Traceback|Unhandled).*", log)]
        peak = proxy.peak_memory
        result = Result(case.name, findings, (memory, proxy.memory), peak, served, new, broken)
        self.results.append(result)
        return result

    def end(self) -> Run:
        """Settle and clean up. Blocks."""
        late = _settle_late(self.where, self.later)
        upkeep = clean(self.where, _named(read_all(self.where.servers.kafka.bootstrap)))
        for result in self.results:
            result.orphans = _common(result.new, upkeep.before)
            result.removed = result.orphans - _common(result.new, upkeep.after)
        return Run(self.results, upkeep, late)


@contextlib.contextmanager
def faults(seed: int, scale: float = 1.0, within: float = SERVED_SECONDS) -> Iterator[Faults]:
    """The servers, and a consumer that reads all the time."""
    with scene(seed) as where:
        hydrated = Hydrated(where.proxy.bootstrap)
        reading = threading.Thread(target=hydrated.run, daemon=True)
        reading.start()
        try:
            yield Faults(where, seed, scale, within, hydrated)
        finally:
            hydrated.over.set()
            reading.join()


def _begun(clients: Load) -> None:
    """Return when the proxy has acknowledged something through each door."""
    deadline = time.monotonic() + BEGUN_SECONDS
    wanted = set(Door)
    while not wanted <= {
        note.door for note in list(clients.journal.notes) if note.outcome is Outcome.ACKNOWLEDGED
    }:
        if time.monotonic() > deadline:
            raise TimeoutError("nothing is acknowledged before the fault")
        time.sleep(0.05)


def _inspect(where: Scene, journal: Journal, before: Left) -> tuple[Findings, Left]:
    published = read_all(where.servers.kafka.bootstrap)
    client = where.servers.s3_client()
    seen = look(where.servers.s3, client, where.servers.bucket)
    ours = {note.key: published[note.key] for note in journal.notes if note.key in published}

    def sent_anew(topic: str, places: set[Place]) -> bool:
        return is_renumbered(producers_of(where.nodes.values(), topic, places))

    findings = inspect(journal, ours, client, Bucket(where.servers.bucket), sent_anew)
    blobs = frozenset(seen.blobs) - _named(published) - before.blobs
    return findings, Left(blobs, frozenset(seen.unfinished) - before.unfinished)


def _settle_late(where: Scene, later: list[Upload]) -> list[str]:
    """End the resumable uploads that the faults have left; what is wrong with them."""
    unsettled = settle(later, LAST_SETTLE_SECONDS)
    notes = [upload.note for upload in later]
    journal = Journal(notes, [f"{each.name} has come to no end: {each.note.said}" for each in unsettled])
    return _inspect(where, journal, left(where, frozenset()))[0].broken


def _named(published: Published) -> frozenset[str]:
    """The keys of the blobs in all records."""
    envelopes = [parse_envelope(record.value or b"") for records in published.values() for record in records]
    return frozenset(envelope.s3_key for envelope in envelopes if envelope is not None)


def _common(one: Left, other: Left) -> int:
    return len(one.blobs & other.blobs) + len(one.unfinished & other.unfinished)
