"""The route of a record's payload: what a GET asks for, and the response that carries it.

A blob is untrusted content on the API's origin: the headers keep a browser from running it. Once bytes have
left, only a cut connection can tell of an error; no client then takes what it has for the whole.
"""

# twisted.web is not annotated:
# mypy: disallow-untyped-calls=False

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import quote

from twisted.internet.defer import Deferred
from twisted.web.http import NO_CONTENT, NOT_MODIFIED, OK, PARTIAL_CONTENT, TEMPORARY_REDIRECT, parse_qs

from lfsproxy.downloads import Download, Downloads, Found
from lfsproxy.envelope import DEFAULT_CONTENT_TYPE, is_media_type
from lfsproxy.errors import BadRequest, LfsError, NoSuchRecord, Stalled
from lfsproxy.interfaces import Header
from lfsproxy.logs import Logger
from lfsproxy.quoting import quoted
from lfsproxy.web import declared
from lfsproxy.web.flow import ResponseFlow
from lfsproxy.web.followed import DownloadWork, followed_download
from lfsproxy.web.operations import operation
from lfsproxy.web.options import FILENAME_HEADER, parse_number, parse_topic
from lfsproxy.web.problems import render
from lfsproxy.web.ranges import AnotherVersion, asked_range, is_another, is_unchanged
from lfsproxy.web.request import StreamingRequest
from lfsproxy.web.schemas import CONTENT_TYPE, OFFSET, PARTITION, matches

SAFE_HEADERS = {
    b"X-Content-Type-Options": b"nosniff",
    b"Content-Security-Policy": b"default-src 'none'; sandbox",
    b"Cache-Control": b"private, no-cache",
}
PRESIGNED_SECONDS = 900
"""How long a presigned URL works: 15 minutes are time for a redirect, and for beginning anew once."""
ANSWERS = {b"true": True, b"1": True, b"false": False, b"0": False}
MAX_NAME = 200
"""The most characters of a file's name: file systems take 255 bytes, and browsers may add to it."""

_log = Logger()


class DownloadApi:
    """Answers for records. ``stall_timeout`` is LFS_STALL_TIMEOUT, in seconds."""

    def __init__(self, downloads: Downloads, stall_timeout: float) -> None:
        self._downloads = downloads
        self._stall_timeout = stall_timeout

    async def _find(self, topic: str, partition: str, offset: str) -> Found:
        return await self._downloads.find(
            parse_topic(topic),
            parse_number("the partition", PARTITION, partition),
            parse_number("the offset", OFFSET, offset),
        )

    @operation(declared.GET_RECORD)
    async def payload(self, request: StreamingRequest, topic: str, partition: str, offset: str) -> bytes:
        """The blob, or an ordinary value as it is."""
        with followed_download(request, topic, partition, offset) as work:
            return await self._payload(request, topic, partition, offset, work)

    async def _payload(
        self, request: StreamingRequest, topic: str, partition: str, offset: str, work: DownloadWork
    ) -> bytes:
        presign = _presign_asked(request.query)
        found = await self._find(topic, partition, offset)
        if found.envelope is not None:
            work.trail.key = found.envelope.s3_key
        self._downloads.check(found)
        if presign:
            return await self._redirect(request, found)
        if found.size is None:
            request.setResponseCode(NO_CONTENT)
            return b""
        if is_another(request, found.checksum):
            raise AnotherVersion(f'If-Match does not name the ETag, which is "{found.checksum}"')
        if is_unchanged(request, found.checksum):
            request.setResponseCode(NOT_MODIFIED)
            request.setHeader(b"ETag", _etag(found))
            return b""
        if request.method == b"HEAD":
            # Ranges are defined for GET alone (RFC 9110, section 14.2).
            await self._downloads.check_blob(found)
            _set_headers(request, found, None, 0, found.size)
            return b""
        part = asked_range(request, found.checksum, found.size)
        first, count = part or (0, found.size)
        if part is not None:
            work.range = f"{first}-{first + count - 1}"
        await self._send(request, found, part, first, count, work)
        return b""

    @operation(declared.GET_ENVELOPE)
    async def envelope(self, request: StreamingRequest, topic: str, partition: str, offset: str) -> bytes:
        """The envelope."""
        found = await self._find(topic, partition, offset)
        if found.envelope is None:
            raise NoSuchRecord(f"{topic}, partition {partition}, offset {offset} is an ordinary record")
        return render(request, OK, "application/json", found.envelope.to_bytes() + b"\n")

    async def _redirect(self, request: StreamingRequest, found: Found) -> bytes:
        url = await self._downloads.presign(
            found, PRESIGNED_SECONDS, _disposition(found.headers), _content_type(found)
        )
        request.setResponseCode(TEMPORARY_REDIRECT)
        request.setHeader(b"Location", url.encode("ascii"))
        request.setHeader(b"Cache-Control", b"no-store")
        request.setHeader(b"Content-Length", b"0")
        return b""

    async def _send(
        self,
        request: StreamingRequest,
        found: Found,
        part: object,
        first: int,
        count: int,
        work: DownloadWork,
    ) -> None:
        flow: ResponseFlow | None = None
        slow = Stalled("the client was too slow while others waited for memory (LFS_UPLOAD_MEMORY)")
        evicted: list[Stalled] = []

        def evict() -> None:
            evicted.append(slow)
            if flow is not None:
                flow.evict(slow)

        download = await self._downloads.open(found, first, count, evict)
        try:
            data = await download.read()
            _set_headers(request, found, part, first, count)
            flow = ResponseFlow(request, self._downloads.clock, self._stall_timeout, download.lease)
            while data:
                if evicted:
                    raise slow
                work.size += len(data)
                room = flow.write(data)
                # Else it would be held besides its copy that waits for the client.
                data = b""
                if room is not None:
                    await room
                data = await download.read()
            flow.finish()
        except LfsError as error:
            download.fail(error)
            if flow is None:
                raise
            work.error = error
            await self._cut(request, found, download, error)
        finally:
            download.close()

    @staticmethod
    async def _cut(request: StreamingRequest, found: Found, download: Download, error: LfsError) -> None:
        """End a response that cannot be made whole any more, and wait until the connection is gone."""
        download.close()
        _log.warn(
            "a download of {topic}, partition {partition}, offset {offset} is cut: {error}",
            topic=found.topic,
            partition=found.partition,
            offset=found.offset,
            error=error,
            peer=request.sender.peer,
        )
        if isinstance(error, Stalled):
            request.stall_connection()
        else:
            request.end_connection()
        await Deferred[None]()


def _set_headers(request: StreamingRequest, found: Found, part: object, first: int, count: int) -> None:
    request.setResponseCode(OK if part is None else PARTIAL_CONTENT)
    for name, value in SAFE_HEADERS.items():
        request.setHeader(name, value)
    request.setHeader(b"Content-Type", _content_type(found).encode("ascii"))
    request.setHeader(b"Content-Disposition", _disposition(found.headers).encode("ascii"))
    request.setHeader(b"Accept-Ranges", b"bytes")
    request.setHeader(b"ETag", _etag(found))
    request.setHeader(b"Content-Length", b"%d" % count)
    if part is not None:
        request.setHeader(b"Content-Range", b"bytes %d-%d/%d" % (first, first + count - 1, found.size or 0))


def _etag(found: Found) -> bytes:
    return f'"{found.checksum}"'.encode("ascii")


def _content_type(found: Found) -> str:
    """The envelope's, where it is a media type that fits a header: a producer may have written anything."""
    given = found.content_type.strip()
    return given if matches(CONTENT_TYPE, given) and is_media_type(given) else DEFAULT_CONTENT_TYPE


def _disposition(headers: Sequence[Header]) -> str:
    """``attachment``, with the name that the file was uploaded by (RFC 6266, and RFC 8187 beyond ASCII)."""
    given = next((value for name, value in reversed(headers) if name == FILENAME_HEADER), None)
    text = (given or b"").decode("utf-8", "replace").replace("\\", "/").rpartition("/")[2]
    name = "".join(character for character in text if character.isprintable()).strip()[:MAX_NAME]
    if not name.strip("."):
        return "attachment"
    plain = name.encode("ascii", "replace").decode("ascii").replace("?", "_").replace('"', "_")
    extended = f"; filename*=UTF-8''{quote(name, safe='')}" if plain != name else ""
    return f'attachment; filename="{plain}"{extended}'


def _presign_asked(query: bytes) -> bool:
    """Whether ``presign=true`` is in the query. Raises BadRequest for anything else that is in it."""
    given = parse_qs(query, True)
    values = given.pop(b"presign", [b"false"])
    if given:
        raise BadRequest(f"unknown option {quoted(next(iter(given)))}; there is presign")
    answer = ANSWERS.get(values[0].lower()) if len(values) == 1 else None
    if answer is None:
        raise BadRequest(f"presign is {quoted(values[-1])}: true or false, once, is needed")
    return answer
