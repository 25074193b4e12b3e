"""A multipart/form-data body (RFC 7578) with options first and then the file, as it arrives.

Sans-I/O: bytes in, options and the file's bytes out. What is not the file's bytes is small and bounded here;
the file's bytes are handed on without a copy of the whole.
"""

from __future__ import annotations

from collections.abc import Iterator

from multipart import (  # type: ignore[import-untyped]
    MultipartError,
    MultipartSegment,
    ParserLimitReached,
    PushMultipartParser,
    parse_content_disposition,
    parse_options_header,
)

from lfsproxy.errors import BadRequest
from lfsproxy.quoting import quoted
from lfsproxy.web.options import OptionReader, parse_content_type
from lfsproxy.web.schemas import MAX_FIELDS

FILE_FIELD = "file"
_PLAIN = frozenset({"7bit", "8bit", "binary"})
"""Encodings of a part that change nothing (RFC 2045, section 6); RFC 7578 has no others in use."""
MAX_FORM_BYTES = 64 * 1024
"""The most bytes that a form may have besides the file's own."""


def form_boundary(content_type: str) -> str | None:
    """The boundary of a multipart/form-data content type; None where the body is not a form.

    Raises BadRequest for a form without a usable boundary, and for any other multipart body: its boundaries
    would become part of the blob, which is hardly ever meant.
    """
    media_type, parameters = parse_options_header(content_type)
    if not media_type.startswith("multipart/"):
        return None
    if media_type != "multipart/form-data":
        raise BadRequest(
            f"Content-Type is {quoted(content_type)}: a form is multipart/form-data; boundary=..., "
            "and what is no form is sent as application/octet-stream, with its type as option content_type"
        )
    boundary = parameters.get("boundary", "")
    if not 1 <= len(boundary) <= 200 or not boundary.isascii() or not boundary.isprintable():
        raise BadRequest("multipart/form-data needs a boundary of up to 200 printable ASCII characters")
    return str(boundary)


class FormReader:
    """One form. ``feed`` its bytes, then ``close``. Once ``has_file``, options and file's head are known."""

    def __init__(self, boundary: str, options: OptionReader) -> None:
        self.has_file = False
        self.filename: str | None = None
        self.content_type: str | None = None
        self._options = options
        self._parser = PushMultipartParser(
            boundary, max_header_size=8192, max_header_count=16, max_segment_count=MAX_FIELDS
        )
        self._field: str | None = None
        self._value = b""
        self._unchosen = False
        self._in_file = False
        self._file_bytes = 0
        self._form_bytes = 0

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Take bytes of the body; yields those of the file among them. Raises BadRequest."""
        before = self._file_bytes
        try:
            for event in self._parser.parse(data):
                if isinstance(event, MultipartSegment):
                    self._begin(event)
                elif event is None:
                    self._end()
                elif self._in_file:
                    self._file_bytes += len(event)
                    yield event
                else:
                    self._value += event
        except MultipartError as error:
            raise _broken(error) from None
        self._form_bytes += len(data) - (self._file_bytes - before)
        if self._form_bytes > MAX_FORM_BYTES:
            raise BadRequest(f"the form has more than {MAX_FORM_BYTES} bytes besides its file")

    def close(self) -> None:
        """The body is whole. Raises BadRequest where the form is not, or had no file."""
        try:
            self._parser.close()
        except MultipartError as error:
            raise _broken(error) from None
        if not self.has_file:
            raise BadRequest(f"the form has no '{FILE_FIELD}' part")

    def _begin(self, segment: MultipartSegment) -> None:
        name = segment.name
        if self.has_file:
            if name == FILE_FIELD:
                raise BadRequest(f"the form has more than one '{FILE_FIELD}' part")
            raise BadRequest(f"the field {quoted(name)} comes after the file; options have to come before it")
        encoding = segment.header("Content-Transfer-Encoding", "binary")
        if encoding.strip().lower() not in _PLAIN:
            raise BadRequest(
                f"the field {quoted(name)} is in {quoted(encoding)}: forms carry bytes as they are"
            )
        if name == FILE_FIELD:
            self.has_file = self._in_file = True
            self.filename = segment.filename or None
            # What a browser sends for a field in which no file was chosen.
            self._unchosen = segment.filename == ""
            given = segment.header("Content-Type")
            self.content_type = parse_content_type(given.strip()) if given else None
        else:
            self._field, self._value = name, b""

    def _end(self) -> None:
        if self._field is not None:
            self._options.add(self._field, self._value)
        if self._in_file and self._unchosen and not self._file_bytes:
            raise BadRequest(f"no file was chosen: the form's '{FILE_FIELD}' part has no name and no bytes")
        self._field, self._value = None, b""
        self._in_file = False


def _broken(error: MultipartError) -> BadRequest:
    if isinstance(error, ParserLimitReached):
        return BadRequest(f"the form is larger than is read: {error.args[0]}")
    what, *details = error.args
    if details and isinstance(details[0], UnicodeDecodeError):
        return BadRequest(_not_utf8(details[0].object))
    return BadRequest(f"the form is broken: {what}")


def _not_utf8(line: bytes) -> str:
    """Which part of a header of a form's part is not UTF-8."""
    header, _, value = line.decode("utf-8", "replace").partition(":")
    if header.strip().lower() == "content-disposition":
        _, name, filename = parse_content_disposition(value.strip())
        for text, what in ((name, "the name of a form's field"), (filename, "the file's name")):
            if text and "\N{REPLACEMENT CHARACTER}" in text:
                return f"{what} is not UTF-8: {quoted(text)}"
    return f"a header of a form's part is not UTF-8: {quoted(line)}"
