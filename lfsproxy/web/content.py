"""What a request's body says: options and a file's bytes, from a form or from raw bytes alike."""

from __future__ import annotations

from collections import deque

import attrs
from twisted.web.http_headers import Headers

from lfsproxy.checksums import Buffer
from lfsproxy.claimcheck import ClaimCheck
from lfsproxy.envelope import DEFAULT_CONTENT_TYPE
from lfsproxy.errors import BadRequest, LfsError
from lfsproxy.web.body import RequestBody
from lfsproxy.web.digests import ContentDigests, expected_digests
from lfsproxy.web.forms import MAX_FORM_BYTES, FormReader, form_boundary
from lfsproxy.web.options import OptionReader, RecordOptions, parse_content_type

GATHER_BYTES = 64 * 1024
"""Small pieces of a file are handed on in pieces of this size; one of a quarter of it passes as it is."""


class LengthRequired(LfsError):
    """An upload whose end cannot be told: neither Content-Length nor chunked."""

    http_status = 411
    problem = "length-required"
    title = "The upload needs a length"
    result = "client_error"


@attrs.frozen
class ContentHead:
    """What is known before the file's first byte. ``length`` is the file's, in bytes, where it is known."""

    options: RecordOptions
    content_type: str
    filename: str | None
    length: int | None


class UploadContent:
    """The content of one upload request. ``head`` is called once, then ``next`` until it gives None."""

    def __init__(self, claims: ClaimCheck, query: bytes, headers: Headers, body: RequestBody) -> None:
        self._claims = claims
        self._query = query
        self._headers = headers
        self._body = body
        self._form: FormReader | None = None
        self._digests = ContentDigests({})
        self._ready: deque[Buffer] = deque()
        self._ended = False

    async def head(self) -> ContentHead:
        """Options and the file's description; reads a form up to its file, and nothing of a raw body.

        Raises BadRequest, InvalidChecksum, LengthRequired, TooLarge, or what the body fails with.
        """
        length = self._body.length
        if length == 0 and not self._headers.hasHeader(b"Content-Length"):
            raise LengthRequired("Content-Length or Transfer-Encoding: chunked is needed")
        if self._headers.hasHeader(b"Content-Range"):
            # Else each piece of a file would become a record of its own.
            raise BadRequest("Content-Range is not taken: what uploads a file in pieces is tus")
        types = self._headers.getRawHeaders(b"Content-Type", [b""])
        if len(types) > 1:
            raise BadRequest("Content-Type is given more than once")
        given_type = types[0].decode("latin-1")
        boundary = form_boundary(given_type)
        if length is not None:
            self._claims.check_size(length if boundary is None else length - MAX_FORM_BYTES)
        reader = OptionReader()
        reader.add_query(self._query)
        expected = expected_digests(self._headers)
        if boundary is None:
            options = reader.options(self._claims.default_algorithm)
            algorithm = options.checksum_algo or self._claims.default_algorithm
            if options.checksum is None and algorithm in expected:
                # The store computes this one anyhow, off the reactor thread.
                options = attrs.evolve(options, checksum=expected.pop(algorithm))
            self._digests = ContentDigests(expected)
            content_type = parse_content_type(given_type) if given_type else None
            filename = None
        else:
            self._digests = ContentDigests(expected)
            self._form = FormReader(boundary, reader)
            while not self._form.has_file:
                await self._read()
            options = reader.options(self._claims.default_algorithm)
            content_type, filename, length = self._form.content_type, self._form.filename, None
        return ContentHead(
            options, options.content_type or content_type or DEFAULT_CONTENT_TYPE, filename, length
        )

    async def next(self) -> Buffer | None:
        """The next bytes of the file, None at its end: then the form is complete and the digests are right.

        Small pieces are gathered, so that a client that sends byte by byte does not cost memory per piece.
        """
        gathered = bytearray()
        while True:
            while self._ready:
                piece = self._ready.popleft()
                if not gathered and len(piece) >= GATHER_BYTES // 4:
                    return piece
                gathered += piece
                if len(gathered) >= GATHER_BYTES:
                    return gathered
            if self._ended:
                return gathered or None
            await self._read()

    async def _read(self) -> None:
        data = await self._body.read()
        if not data:
            self._ended = True
            if self._form is not None:
                self._form.close()
            self._digests.verify()
        self._digests.update(data)
        if self._form is not None:
            self._ready.extend(self._form.feed(data))
        elif data:
            self._ready.append(data)
