"""One resumable upload of a storm: in several PATCHes, through whichever replica answers, to its end."""

from __future__ import annotations

import http.client
import re
import threading
import time
from collections.abc import Callable, Sequence
from enum import Enum
from random import Random

import attrs

from tests.integration.proxy import ProxyProcess
from tests.integration.storm.notes import Journal, Note, Outcome, Publishes, payload
from tests.integration.tus import Reply, ask, encode

PAUSE_SECONDS = 0.2
SHORT, LONG = 10.0, 150.0
"""Seconds to wait for an answer while servers are killed, and afterwards: an answer may take 60 s then."""
REFUSALS = 10
"""So many 502 in a row to HEAD, and the client begins anew, as docs/resumable.md has it."""
RACE_PROBABILITY = 0.15

_RECORD = re.compile(r"/v1/topics/[^/]+/partitions/(\d+)/records/(\d+)")


class Plan(Enum):
    """What the client wants of an upload."""

    PUBLISH = "all of its bytes"
    PUBLISH_AT_ONCE = "all of its bytes with its creation"
    DELETE_MIDWAY = "terminated before it is complete"
    DELETE_AT_ONCE = "terminated while the last PATCH is under way, through the other replica"
    DELETE_AFTER = "terminated when it was published"


@attrs.define(eq=False)
class Upload:
    """``acknowledged`` is the highest offset that the client was told, ``path`` empty before its creation.

    ``done``: nothing more is asked for. ``deleting``: a DELETE was sent, answered or not.
    ``refusals``: so many 502 in a row. ``unsent``: nobody took the last request.
    """

    note: Note
    plan: Plan
    proxies: Sequence[ProxyProcess]
    journal: Journal
    random: Random
    publishes: Publishes
    path: str = ""
    offset: int | None = 0
    acknowledged: int = 0
    done: bool = False
    deleting: bool = False
    timeout: float = SHORT
    refusals: int = 0
    unsent: bool = False
    _replica: int = attrs.field(default=0, alias="replica")

    @property
    def name(self) -> str:
        return f"{self.note.key.decode()} ({self.path[-32:]})"

    def go_on(self, until: Callable[[], bool]) -> None:
        """Continue until it is ``done``, or ``until`` says so. Blocks."""
        data = payload(self.note.key.decode(), self.note.size)
        while not self.done:
            trouble = self._step(data)
            if until():
                return
            if trouble:
                # The other replica may be better off.
                self._replica += 1
                time.sleep(PAUSE_SECONDS)

    def _step(self, data: bytes) -> bool:
        """One request, or two at once. Whether there was trouble."""
        if not self.path:
            return self._create(data)
        if self.offset is None:
            return self._find_out()
        if self.plan is Plan.DELETE_MIDWAY and self.offset >= len(data) // 2:
            return self._delete()
        return self._patch(data)

    def _proxy(self) -> ProxyProcess:
        return self.proxies[self._replica % len(self.proxies)]

    def _other(self) -> ProxyProcess:
        return self.proxies[(self._replica + 1) % len(self.proxies)]

    def _ask(self, proxy: ProxyProcess, method: str, headers: dict[str, str], body: bytes) -> Reply | None:
        """The answer, None where none came; then ``unsent`` is whether nobody took the request."""
        self.unsent = False
        try:
            path = self.path or f"/v1/topics/{self.note.topic}/uploads"
            return ask(proxy, method, path, headers, body, self.timeout)
        except (OSError, http.client.HTTPException) as error:
            self.note.said = repr(error)
            self.unsent = isinstance(error, ConnectionRefusedError)
            return None

    def _create(self, data: bytes) -> bool:
        """A creation whose answer is lost leaves an upload that nobody knows: it has to expire."""
        metadata = f"key {encode(self.note.key.decode())}"
        headers = {"Upload-Length": str(len(data)), "Upload-Metadata": metadata}
        body = b""
        if self.plan is Plan.PUBLISH_AT_ONCE:
            headers["Content-Type"] = "application/offset+octet-stream"
            body = data
            self.note.outcome = Outcome.UNKNOWN
        reply = self._ask(self._proxy(), "POST", headers, body)
        if reply is None or reply.status != http.client.CREATED:
            self.note.said = f"creation: {reply or self.note.said}"
            if body and not self.unsent:
                self.done = True
            else:
                # No more than its creation was asked for.
                self.note.outcome = Outcome.REFUSED
            return True
        self.note.outcome = Outcome.UNKNOWN
        self.path = reply.headers["location"]
        self._read(reply)
        return False

    def _patch(self, data: bytes) -> bool:
        assert self.offset is not None
        ends = [self._end(len(data)), self._end(len(data))]
        proxies = [self._proxy(), self._other()]
        if ends[0] == len(data) and self.plan is Plan.DELETE_AT_ONCE:
            deleting = threading.Timer(self.random.uniform(0, 0.1), self._delete_at_once)
            deleting.start()
            replies = [self._send(proxies[0], data, self.offset, ends[0])]
            deleting.join()
        elif self.random.random() < RACE_PROBABILITY:
            replies = self._race(data, self.offset, proxies, ends)
        else:
            replies = [self._send(proxies[0], data, self.offset, ends[0])]
        self.offset = None
        for reply in replies:
            if reply is not None and reply.status == http.client.NO_CONTENT:
                self._read(reply)
            elif reply is not None and reply.status in (http.client.NOT_FOUND, http.client.GONE):
                self._vanished(reply)
        return self.offset is None

    def _end(self, size: int) -> int:
        """Where the next PATCH ends."""
        assert self.offset is not None
        left = size - self.offset
        end = self.offset + (left if self.random.random() < 0.3 else self.random.randint(min(1, left), left))
        return min(end, size - 1) if self.plan is Plan.DELETE_MIDWAY else end

    def _send(self, proxy: ProxyProcess, data: bytes, offset: int, end: int) -> Reply | None:
        if end == len(data):
            self.publishes(proxy)
        headers = {"Upload-Offset": str(offset), "Content-Type": "application/offset+octet-stream"}
        return self._ask(proxy, "PATCH", headers, data[offset:end])

    def _race(
        self, data: bytes, offset: int, proxies: Sequence[ProxyProcess], ends: Sequence[int]
    ) -> list[Reply | None]:
        """The same bytes, but not as many, through both replicas at once."""
        replies: list[Reply | None] = []
        threads = [
            threading.Thread(target=lambda p=proxy, e=end: replies.append(self._send(p, data, offset, e)))
            for proxy, end in zip(proxies, ends, strict=True)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return replies

    def _delete(self) -> bool:
        self.deleting = True
        reply = self._ask(self._proxy(), "DELETE", {}, b"")
        if reply is None:
            return True
        self.note.said = f"DELETE {reply}"
        gone = reply.status in (http.client.NOT_FOUND, http.client.GONE)
        if reply.status != http.client.NO_CONTENT and not gone:
            return True
        self.done = True
        if self.note.outcome is not Outcome.ACKNOWLEDGED and self.plan is Plan.DELETE_MIDWAY:
            self.note.outcome = Outcome.REFUSED
        return False

    def _delete_at_once(self) -> None:
        self.deleting = True
        self._ask(self._other(), "DELETE", {}, b"")

    def _find_out(self) -> bool:
        """Ask how far it is. Whether that is still to be found out."""
        reply = self._ask(self._proxy(), "HEAD", {}, b"")
        if reply is None:
            return True
        self.note.said = f"HEAD {reply}"
        self.refusals = self.refusals + 1 if reply.status == http.client.BAD_GATEWAY else 0
        if reply.status == http.client.OK:
            self._read(reply)
            return False
        if reply.status in (http.client.NOT_FOUND, http.client.GONE):
            self._vanished(reply)
        elif reply.status == http.client.CONFLICT:
            self.note.outcome = Outcome.STAYS_UNKNOWN
            self.done = True
        elif self.refusals >= REFUSALS:
            self.note.outcome = Outcome.STORE_LOST
            self.done = True
        return not self.done

    def _read(self, reply: Reply) -> None:
        """What a positive answer says: the offset, and the record."""
        offset = int(reply.headers.get("upload-offset", 0))
        if reply.status == http.client.OK and offset < self.acknowledged:
            self.journal.broken.append(
                f"{self.name}: {self.acknowledged} bytes were acknowledged, now it has {offset}"
            )
        self.acknowledged = max(self.acknowledged, offset)
        self.offset = max(self.offset or 0, offset)
        found = _RECORD.fullmatch(reply.headers.get("lfs-record", ""))
        if found is not None:
            self.note.told(int(found[1]), int(found[2]))
            self.done = self.plan is not Plan.DELETE_AFTER or self._delete_after()
        elif offset == self.note.size:
            # It is complete, and so it has to be published, or the answer has to be another one.
            self.journal.broken.append(f"{self.name}: complete without a record: {reply}")
            self.done = True

    def _delete_after(self) -> bool:
        """The record stays, whatever becomes of this."""
        self.deleting = True
        self._ask(self._other(), "DELETE", {}, b"")
        return True

    def _vanished(self, reply: Reply) -> None:
        self.done = True
        if not self.deleting:
            self.journal.broken.append(
                f"{self.name}: gone with {self.acknowledged} bytes acknowledged: {reply}"
            )
        elif self.plan is Plan.DELETE_MIDWAY:
            self.note.outcome = Outcome.REFUSED
