"""What lies in the store for one resumable upload, and how it is read and written.

    lfs-uploads/{id}/info           what the upload is; written once, first
    lfs-uploads/{id}/mark-00000007  how far it is: parts, length, and which tail goes behind the parts
    lfs-uploads/{id}/tail-{nonce}   bytes behind the last part that do not fill one
    and what lfsproxy.resumable.fence names: which request may publish, and the outcome

Every object is created (If-None-Match: *) and never changed. The mark with the highest number holds; the
next one is created by a request that worked from it, and only one of several can. So what a client was told
is stored is never undone by another replica. The parts themselves are those of an S3 multipart upload to
the blob's own key.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Collection, Iterable
from typing import Any

import attrs

from lfsproxy.envelope import DEFAULT_CONTENT_TYPE
from lfsproxy.errors import StoreUnavailable
from lfsproxy.interfaces import Header, IResumableStore, ListedObject, StoredPart
from lfsproxy.resumable.errors import UploadGone, UploadNotFound
from lfsproxy.resumable.fence import RESULT, Fence, Stand, intent_name, is_attempt, judge, last_intent
from lfsproxy.settings import DEFAULTS

ROOT = "lfs-uploads/"
_MARK = re.compile(r"mark-\d{8}")
FIND_TRIES = 5
"""How often an upload is looked at anew while other replicas change it."""
KEPT_MARKS = 16
"""Old marks that stay: a request that works from one, for however long, finds its next number taken."""


@attrs.frozen
class UploadOptions:
    """What becomes of the upload: the record's options, as RecordOptions has them."""

    key: bytes | None = None
    partition: int | None = None
    headers: tuple[Header, ...] = ()
    content_type: str = DEFAULT_CONTENT_TYPE
    timestamp: int | None = None
    checksum: str | None = None
    algorithm: str = DEFAULTS.checksum_algo


@attrs.frozen
class Info:
    """What an upload is, from its creation on. Sizes in bytes; ``metadata`` is the client's own text,
    ``created`` in seconds since the epoch."""

    id: str
    topic: str
    partition: int
    blob_key: str
    part_size: int
    metadata: str
    options: UploadOptions
    created: float

    def to_bytes(self) -> bytes:
        options = self.options
        document = attrs.asdict(self, recurse=False)
        document["options"] = {
            **attrs.asdict(options, recurse=False),
            "key": _encode(options.key),
            "headers": [[_encode(name), _encode(value)] for name, value in options.headers],
        }
        return _dump(document)

    @classmethod
    def from_bytes(cls, data: bytes) -> Info:
        document = json.loads(data)
        options = document["options"]
        headers = tuple((_decode(name) or b"", _decode(value)) for name, value in options["headers"])
        options = UploadOptions(**{**options, "key": _decode(options["key"]), "headers": headers})
        return cls(**{**document, "options": options})


@attrs.frozen
class Mark:
    """How far an upload is. ``nonce`` tells its writer's from another's; ``checksum`` is that of all bytes,
    in hex, where its writer has seen them all; ``length`` is None until the client tells it."""

    number: int
    nonce: str
    length: int | None
    offset: int = 0
    multipart: str | None = None
    parts: tuple[StoredPart, ...] = ()
    tail: str | None = None
    checksum: str | None = None

    @property
    def complete(self) -> bool:
        """Whether every byte is stored."""
        return self.offset == self.length

    def to_bytes(self) -> bytes:
        parts = [[part.number, part.etag, part.crc] for part in self.parts]
        return _dump({**attrs.asdict(self, recurse=False), "parts": parts})

    @classmethod
    def from_bytes(cls, data: bytes) -> Mark:
        document = json.loads(data)
        return cls(**{**document, "parts": tuple(StoredPart(*part) for part in document["parts"])})


@attrs.frozen
class Found:
    """An upload as it is in the store. ``idle`` is how many seconds ago it was last written to, without
    the attempts to publish it."""

    info: Info
    mark: Mark
    objects: frozenset[str]
    idle: float


class UploadState:
    """Reads and writes the state of the upload with that id."""

    def __init__(self, store: IResumableStore, id: str) -> None:
        self.id = id
        self.store = store

    def key(self, name: str) -> str:
        """Where the object ``name`` is."""
        return f"{ROOT}{self.id}/{name}"

    async def create(self, info: Info, mark: Mark) -> None:
        """The mark comes first, so that there is none without one once there is an ``info``."""
        await self.write_mark(mark)
        if not await self.store.create_object(self.key("info"), [info.to_bytes()]):
            raise UploadNotFound(f"the id {self.id} is taken")

    async def find(self, topic: str | None = None) -> Found:
        """The upload as it is now. Raises UploadNotFound, also where it belongs to another topic."""
        for _ in range(FIND_TRIES):
            listed = await self.store.list_objects(self.key(""))
            names = {one.key.rpartition("/")[2]: one for one in listed}
            marks = marks_of(names)
            data = await self.store.read_object(self.key("info")) if "info" in names and marks else None
            if data is None:
                raise UploadNotFound(f"there is no upload {self.id}")
            info = Info.from_bytes(data)
            if topic is not None and topic != info.topic:
                raise UploadNotFound(f"there is no upload {self.id} to {topic}")
            mark = await self.store.read_object(self.key(marks[-1]))
            if mark is not None:
                written = [one for name, one in names.items() if not is_attempt(name)]
                return Found(info, Mark.from_bytes(mark), frozenset(names), idle_seconds(written))
            # Another request has gone on since the list, and has tidied up.
        raise StoreUnavailable(f"the upload {self.id} is being changed: ask again")

    async def write_mark(self, mark: Mark) -> bool:
        """Write the next mark; False where another has written one of that number."""
        return await self.store.create_object(self.key(mark_name(mark.number)), [mark.to_bytes()])

    async def read(self, name: str) -> dict[str, Any] | None:
        """A JSON object of the upload, None where there is none."""
        data = await self.store.read_object(self.key(name))
        return None if data is None else json.loads(data)

    async def create_json(self, name: str, document: dict[str, Any]) -> bool:
        """Write a JSON object that is not there yet; False where there is one, with other content. A nonce in
        it tells ours from another's, also where an answer was lost."""
        return await self.store.create_object(self.key(name), [_dump(document)])

    async def delete(self, name: str) -> None:
        """Delete an object of the upload."""
        await self.store.delete_object(self.key(name))

    async def fence(self, names: Collection[str]) -> Fence:
        """Which request may publish, by the objects of these names. Raises UploadNotFound."""
        number = last_intent(names)
        if not number or RESULT in names:
            # What is published is so whatever the intent says.
            return judge(names, None)
        intent = await self.read(intent_name(number))
        if intent is None:
            raise UploadNotFound(f"there is no upload {self.id}")
        return judge(names, intent)

    async def must_be_alive(self, found: Found) -> Fence:
        """Which request may publish. Raises UploadGone where none may any more."""
        fence = await self.fence(found.objects)
        if fence.stand is Stand.GIVEN_UP:
            raise UploadGone(f"the upload {self.id} is gone: {fence.given_up}")
        return fence

    async def is_given_up(self) -> bool:
        """Whether nobody has published it or ever will, also behind its removal: then its blob may go."""
        return (await self.fence(await self.names())).stand is Stand.GIVEN_UP

    async def names(self) -> list[str]:
        """The names of all objects of the upload."""
        return [one.key.rpartition("/")[2] for one in await self.store.list_objects(self.key(""))]


def mark_name(number: int) -> str:
    """The name of the mark with that number."""
    return f"mark-{number:08d}"


def marks_of(names: Iterable[str]) -> list[str]:
    """The names of marks, the one that holds last."""
    return sorted(name for name in names if _MARK.fullmatch(name))


def idle_seconds(objects: Iterable[ListedObject]) -> float:
    """Seconds since the newest of the objects was written; 0 where there is none."""
    return max(0.0, min((one.age for one in objects), default=0.0))


def _dump(document: dict[str, Any]) -> bytes:
    return json.dumps(document, separators=(",", ":")).encode("utf-8")


def _encode(data: bytes | None) -> str | None:
    return None if data is None else base64.b64encode(data).decode("ascii")


def _decode(text: str | None) -> bytes | None:
    return None if text is None else base64.b64decode(text)
