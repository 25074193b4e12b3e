"""The S3 operations that uploads and downloads need.

They and their headers are those of the Amazon S3 API reference, by their names there.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import attrs

from lfsproxy.checksums import Buffer
from lfsproxy.errors import StoreRefused
from lfsproxy.logs import Logger
from lfsproxy.s3 import explain
from lfsproxy.s3.answers import Answer, UnreadableAnswer, parse_xml, text_of
from lfsproxy.s3.crc import CHECKSUM, CHECKSUM_TYPE, COMPOSITE, FULL_OBJECT, encode_crc
from lfsproxy.s3.multipart import Begun, Part, complete_xml
from lfsproxy.s3.requests import S3Refused, S3Requests

COMPLETE_SECONDS = 600.0
"""How long CompleteMultipartUpload may stay silent: stores assemble the object meanwhile."""

NOT_WHOLE = "the store keeps no CRC-32C of a whole blob of several parts, only those of its parts"
_ANY = range(300, 600)
"""Every status of an answer that is no success."""


@attrs.define(eq=False, repr=False)
class S3Client(S3Requests):
    """Asks for what is in one bucket. ``sse`` is how S3 has to encrypt; the rest as S3Requests."""

    _log = Logger()
    checksums: bool = True
    sse: str = ""
    _conditional: bool = attrs.field(default=True, init=False)
    _keeps_whole: bool | None = attrs.field(default=None, init=False)
    _is_s3: bool = attrs.field(default=False, init=False)

    async def put_object(
        self, key: str, headers: Mapping[str, str], body: Sequence[Buffer], crc: int | None
    ) -> Answer:
        """PutObject, never over an existing object. 409 and 412 come back as answers."""
        if crc is not None:
            headers = {**headers, CHECKSUM: encode_crc(crc)}
        answer = await self._conditionally(
            "put_object", "PUT", key, headers=headers, body=body, accept={409, 412}
        )
        if not answer.is_error:
            self.must_be_kept(answer)
        return answer

    def must_be_kept(self, answer: Answer) -> None:
        """Raise S3Refused where the success of a PUT, or of a HEAD after it, does not say that the object is
        kept, and encrypted as it has to be."""
        if why := explain.not_kept(self.location, answer, self.sse):
            raise S3Refused(str(why), doubtful=True, way_out=why.way_out)

    async def create_multipart_upload(self, key: str, headers: Mapping[str, str]) -> Begun:
        """CreateMultipartUpload, with a CRC-32C of the whole unless the store has refused to keep one."""
        doubtful = False
        if self.checksums and self._keeps_whole is not False:
            answer = await self._create(key, headers, FULL_OBJECT, accept={400, 501})
            doubtful = answer.doubtful
            if not answer.is_error:
                whole = answer.headers.get(CHECKSUM_TYPE) == FULL_OBJECT
                self._note_whole(whole, "it does not say that it does")
                return Begun(self._required(answer, "UploadId"), doubtful, whole)
            refused = str(answer)
        answer = await self._create(key, headers, COMPOSITE if self.checksums else "")
        if self.checksums and self._keeps_whole is not False:
            self._note_whole(False, refused)
        return Begun(self._required(answer, "UploadId"), doubtful or answer.doubtful, False)

    async def _create(
        self, key: str, headers: Mapping[str, str], checksum_type: str, accept: Collection[int] = ()
    ) -> Answer:
        if checksum_type:
            headers = {**headers, "x-amz-checksum-algorithm": "CRC32C", CHECKSUM_TYPE: checksum_type}
        return await self.request(
            "create_multipart_upload", "POST", key, query={"uploads": ""}, headers=headers, accept=accept
        )

    async def upload_part(
        self, key: str, upload_id: str, number: int, body: Sequence[Buffer], crc: int | None
    ) -> Part:
        """UploadPart."""
        size = sum(map(len, body))
        answer = await self.request(
            "upload_part",
            "PUT",
            key,
            query={"partNumber": str(number), "uploadId": upload_id},
            headers={} if crc is None else {CHECKSUM: encode_crc(crc)},
            body=body,
        )
        if why := explain.not_kept(self.location, answer, self.sse):
            raise S3Refused(str(why), way_out=why.way_out)
        return Part(number, answer.headers["etag"], crc, size)

    async def complete_multipart_upload(
        self, key: str, upload_id: str, parts: Sequence[Part], whole: str | None = None
    ) -> Answer:
        """CompleteMultipartUpload, never over an existing object. 404, 409 and 412 come back as answers.

        ``whole`` is the checksum of the whole, which S3 compares: only for an upload that was begun so.
        """
        headers = {"content-type": "application/xml"}
        if whole is not None:
            headers |= {CHECKSUM: whole, CHECKSUM_TYPE: FULL_OBJECT}
        return await self._conditionally(
            "complete_multipart_upload",
            "POST",
            key,
            query={"uploadId": upload_id},
            headers=headers,
            body=[complete_xml(parts)],
            accept={404, 409, 412},
            silence=COMPLETE_SECONDS,
        )

    async def abort_multipart_upload(self, key: str, upload_id: str, patience: float | None = None) -> bool:
        """AbortMultipartUpload. False when there is no such upload (any more)."""
        answer = await self.request(
            "abort_multipart_upload",
            "DELETE",
            key,
            query={"uploadId": upload_id},
            accept={404},
            patience=patience,
        )
        return answer.status != 404

    async def head_object(self, key: str) -> Answer | None:
        """HeadObject with its checksum; None where there is no such object."""
        headers = {"x-amz-checksum-mode": "ENABLED"} if self.checksums else {}
        answer = await self.request("head_object", "HEAD", key, headers=headers, accept={404})
        return None if answer.status == 404 else answer

    async def head_part(self, key: str, number: int) -> Answer:
        """HeadObject of one part of an object, with its checksum; any refusal comes back as an answer."""
        return await self.request(
            "head_object",
            "HEAD",
            key,
            query={"partNumber": str(number)},
            headers={"x-amz-checksum-mode": "ENABLED"},
            accept=_ANY,
        )

    async def get_object(self, key: str, first: int, last: int | None, etag: str | None) -> Answer:
        """GetObject of the bytes from ``first`` to ``last`` (None: to the end), its body as a stream.

        With all of them comes the object's checksum. ``etag``: only of that very object. 404, 412 and 416
        come back as answers.
        """
        headers = {}
        if first or last is not None:
            headers["range"] = f"bytes={first}-{'' if last is None else last}"
        elif self.checksums:
            headers["x-amz-checksum-mode"] = "ENABLED"
        if etag:
            headers["if-match"] = etag
        return await self.request(
            "get_object", "GET", key, headers=headers, accept={404, 412, 416}, streamed=True
        )

    async def delete_object(self, key: str, patience: float | None = None) -> None:
        """DeleteObject. A key that is not there counts as deleted."""
        answer = await self.request("delete_object", "DELETE", key, accept={404}, patience=patience)
        if answer.code == "NoSuchBucket":
            raise self._refusal("delete_object", answer, key)

    async def head_bucket(self, patience: float | None = None) -> None:
        """HeadBucket: whether the bucket is there and the credentials reach it."""
        answer = await self.request("head_bucket", "HEAD", accept=_ANY, patience=patience)
        if answer.is_error or not (self._is_s3 or explain.speaks_s3(answer)):
            # An answer to HEAD has no body: neither S3's own words, nor what tells another web server.
            listed = await self.request(
                "list_objects",
                "GET",
                query={"list-type": "2", "max-keys": "1"},
                accept=_ANY,
                patience=patience,
            )
            if listed.is_error:
                answer = listed
            elif not explain.speaks_s3(listed):
                raise StoreRefused(explain.not_s3(self.location, listed))
        if answer.is_error:
            said = explain.refused(self.location, answer)
            raise StoreRefused(str(said), way_out=said.way_out)
        self._is_s3 = True

    def _note_whole(self, whole: bool, why: str) -> None:
        if not whole:
            self._log.info("{what}: {why}", what=NOT_WHOLE, why=why)
        self._keeps_whole = whole

    async def _conditionally(
        self,
        operation: str,
        method: str,
        key: str,
        headers: Mapping[str, str],
        body: Sequence[Buffer],
        accept: Collection[int],
        query: Mapping[str, str] | None = None,
        silence: float | None = None,
    ) -> Answer:
        """With If-None-Match: *, unless the store has said that it does not know it."""
        if self._conditional:
            answer = await self.request(
                operation,
                method,
                key,
                query=query,
                headers={**headers, "if-none-match": "*"},
                body=body,
                accept={*accept, 501},
                silence=silence,
            )
            if answer.status != 501:
                return answer
            refused = answer
        answer = await self.request(
            operation, method, key, query=query, headers=headers, body=body, accept=accept, silence=silence
        )
        if self._conditional:
            # Only now it is known that it was not another header field that the store does not know.
            self._conditional = False
            self._log.warn(
                "the store does not know If-None-Match on {operation}: from now on it is not asked "
                "to refuse an existing key ({answer})",
                operation=operation,
                answer=refused,
            )
        return answer

    def _required(self, answer: Answer, name: str) -> str:
        try:
            text = text_of(parse_xml(answer.body), name)
        except UnreadableAnswer:
            text = ""
        if not text:
            raise StoreRefused(explain.not_s3(self.location, answer))
        return text
