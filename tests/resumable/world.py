"""A store, a log and replicas of the proxy, stepped by hand: what may happen next is asked for, and chosen.

The replicas run the product's own lfsproxy.resumable; only what they ask of S3 and of Kafka is made up here.
Every request that a replica sends waits until a choice says what becomes of it:

    ok       carried out and answered
    late     the replica is told that the store is in trouble; the request lands at any later time, or never
    again    carried out and answered; an earlier try of it lands a second time, at any later time, or never
    refused  (publish) the broker says no
    lost     (publish) the outcome is unknown to the replica; the record lands at any later time, or never

How the upload begins is said by signs in front of a script: with all bytes stored, else (~) with none; with a
multipart upload that is to be completed (+); with parts so small (%) that there are two; with a checksum (!)
that is not that of its bytes; and (*) the requests that created it may land once more.

A replica may crash between any two steps: what it asked last then lands late or never. Time passes by choice:
seconds, the time after which nobody who publishes is still at work, or the time after which nothing is late.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import partial
from hashlib import sha256
from typing import Any

import attrs

from lfsproxy.errors import (
    BrokerRefused,
    OutcomeUnknown,
    StoreUnavailable,
)
from lfsproxy.interfaces import (
    Published,
    StoredPart,
)
from lfsproxy.resumable.state import Info, Mark, UploadOptions
from tests.resumable.replica import Replica
from tests.resumable.scene import (
    BLOB,
    BYTES,
    ID,
    JUMP,
    LONG,
    STATE,
    TICK,
    Asked,
    BrokenPromise,
    Choice,
)


class World:
    """``scripts`` has what each replica is asked for, one after the other: finish, end or expire; patch or
    patch2 to send what is missing, or other bytes; half or cut to send half of it, and end or be cut off.

    ``signs`` say how the upload begins. ``spans`` are the times that may pass at once, in seconds.
    """

    def __init__(
        self,
        scripts: Sequence[Sequence[str]],
        signs: str = "",
        spans: Sequence[float] = (TICK, JUMP, LONG),
    ) -> None:
        self._spans = spans
        self.seconds = 0.0
        self.objects: dict[str, tuple[bytes, float]] = {}
        self.blob: bytes | None = None
        self.uploads: dict[str, dict[int, bytes]] = {}
        self.begun = 0
        self.log: list[bytes] = []
        self.asked: list[Asked] = []
        self.late: list[tuple[str, Callable[[], Any]]] = []
        self.steps: list[Choice] = []
        self._begin_state(signs)
        self.replicas = [Replica(self, number, script) for number, script in enumerate(scripts)]
        for replica in self.replicas:
            replica.go_on()

    def _begin_state(self, signs: str) -> None:
        options = UploadOptions(checksum="0" * 64 if "!" in signs else None)
        info = Info(ID, "t", 0, BLOB, 2 if "%" in signs else 1000, "", options, 0.0)
        mark = Mark(1, "m", len(BYTES))
        if "~" not in signs:
            mark = attrs.evolve(mark, offset=len(BYTES), checksum=sha256(BYTES).hexdigest())
            if "+" in signs:
                part = self.put_part(self.begin_parts(), 1, BYTES)
                assert part is not None
                mark = attrs.evolve(mark, multipart="u1", parts=(part,))
            else:
                self.blob = BYTES
        for name, data in (("info", info.to_bytes()), ("mark-00000001", mark.to_bytes())):
            key = f"{STATE}{name}"
            self.create(key, data)
            if "*" in signs:
                self.late.append((f"create {key}", partial(self.create, key, data)))

    def create(self, key: str, data: bytes) -> bool:
        """PutObject with If-None-Match: *; whether the object now has these bytes."""
        return self.objects.setdefault(key, (data, self.seconds))[0] == data

    def put_blob(self, data: bytes) -> bool:
        """PutObject of the blob; whether it has these bytes now."""
        self.blob = data if self.blob is None else self.blob
        return self.blob == data

    def begin_parts(self) -> str:
        """CreateMultipartUpload."""
        self.begun += 1
        self.uploads[f"u{self.begun}"] = {}
        return f"u{self.begun}"

    def put_part(self, upload_id: str, number: int, data: bytes) -> StoredPart | None:
        """UploadPart; None where there is no such upload."""
        if upload_id not in self.uploads:
            return None
        self.uploads[upload_id][number] = data
        return StoredPart(number, sha256(data).hexdigest(), None)

    def complete(self, upload_id: str, parts: Sequence[StoredPart]) -> bool | None:
        """CompleteMultipartUpload; None where there is no such upload, False where a part is another."""
        stored = self.uploads.get(upload_id)
        if stored is None or self.blob is not None:
            return None
        pieces = [stored.get(part.number, b"") for part in parts]
        if [sha256(piece).hexdigest() for piece in pieces] != [part.etag for part in parts]:
            return False
        self.blob = b"".join(pieces)
        del self.uploads[upload_id]
        return True

    def abort_parts(self) -> None:
        """AbortMultipartUpload, of all."""
        self.uploads.clear()

    def remove_blob(self) -> None:
        """DeleteObject of the blob."""
        self.blob = None

    def append(self, value: bytes) -> Published:
        """Produce."""
        if f"{STATE}unknown" in self.objects:
            raise BrokenPromise(f"published what nobody was to publish any more: {self.steps}")
        self.log.append(value)
        return Published("t", 0, len(self.log) - 1, 0)

    # What may happen

    def choices(self, faults: int, jumps: int) -> list[Choice]:
        """What may happen next, with so many faults and so much time left."""
        found: list[Choice] = []
        for at, asked in enumerate(self.asked):
            found.append((at, "ok"))
            if asked.what.startswith("publish"):
                found.append((at, "refused"))
            if faults:
                found.append((at, "lost" if asked.what.startswith("publish") else "late"))
                if asked.changes and not asked.what.startswith("publish"):
                    found.append((at, "again"))
        if faults:
            found += [
                (replica.number, "crash")
                for replica in self.replicas
                if any(asked.changes and asked.replica == replica.number for asked in self.asked)
            ]
        found += [(at, "land") for at in range(len(self.late))]
        if jumps:
            waiting = any(replica.clock.getDelayedCalls() for replica in self.replicas)
            publishing = any(asked.what.startswith("publish") for asked in self.asked)
            found += [(span, "time") for span in self._spans if (waiting if span < JUMP else not publishing)]
        return found

    def choose(self, choice: Choice) -> tuple[int, int]:
        """Let it happen; the faults and the time that it took."""
        self.steps.append(choice)
        which, fate = choice
        faults, jumps = 0, 0
        if fate == "land":
            _, land = self.late.pop(which)
            land()
        elif fate == "time":
            jumps = 1
            self._pass(which)
        elif fate == "crash":
            faults = 1
            self.replicas[which].crash()
        else:
            faults = fate not in ("ok", "refused")
            self._decide(self.asked.pop(which), fate)
        self._check()
        return faults, jumps

    def _pass(self, seconds: float) -> None:
        """What is late lands within its time or never."""
        if seconds >= JUMP:
            self.late = [(what, land) for what, land in self.late if not what.startswith("publish")]
        if seconds >= LONG:
            self.late = []
        self.seconds += seconds
        for replica in self.replicas:
            replica.clock.advance(seconds)
            replica.go_on()

    def _decide(self, asked: Asked, fate: str) -> None:
        if fate in ("ok", "again"):
            result = asked.land()
            if fate == "again":
                self.late.append((asked.what, asked.land))
            self._answer(asked, result)
        elif fate == "refused":
            self._answer(asked, BrokerRefused(10, "refused"))
        else:
            if asked.changes:
                self.late.append((asked.what, asked.land))
            quiet = asked.what.startswith("remove")
            error = OutcomeUnknown("lost") if fate == "lost" else StoreUnavailable("trouble")
            self._answer(asked, None if quiet else error)

    def _answer(self, asked: Asked, result: Any) -> None:
        replica = self.replicas[asked.replica]
        replica.see(asked.what, repr(result))
        if isinstance(result, Exception):
            asked.answer.errback(result)
        else:
            asked.answer.callback(result)
        replica.go_on()

    def _check(self) -> None:
        if len(self.log) > 1:
            raise BrokenPromise(f"published {len(self.log)} times: {self.steps}")
        if self.log and self.blob is None:
            raise BrokenPromise(f"the blob of a record is gone: {self.steps}")
        if self.log and json.loads(self.log[0])["checksum"] != sha256(self.blob or b"").hexdigest():
            raise BrokenPromise(f"the blob of a record has other bytes: {self.steps}")
        for replica in self.replicas:
            if replica.acknowledged and not self.log:
                raise BrokenPromise(f"acknowledged what is not in the log: {self.steps}")

    def fingerprint(self) -> int:
        """Two worlds of one fingerprint go on alike."""
        return hash(
            (
                tuple(sorted(self.objects.items())),
                self.blob,
                repr(self.uploads),
                tuple(self.log),
                tuple(sorted((asked.replica, asked.what) for asked in self.asked)),
                tuple(sorted(what for what, _ in self.late)),
                tuple(replica.seen for replica in self.replicas),
                self.seconds,
                tuple(
                    tuple(call.getTime() for call in replica.clock.getDelayedCalls())
                    for replica in self.replicas
                ),
            )
        )
