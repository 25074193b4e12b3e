"""What lies in the bucket, page by page: ListObjectsV2 and ListMultipartUploads; and its removal.

Both are in the Amazon S3 API reference, by these names. Keys are asked for percent-encoded
(encoding-type=url), as XML 1.0 cannot say every character that a key may have. A list may decide what is
deleted, so an answer that is not the one to be expected is refused as a whole.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from urllib.parse import unquote_plus
from xml.etree.ElementTree import Element

from zope.interface import implementer

from lfsproxy.errors import StoreRefused
from lfsproxy.interfaces import IObjectIndex, ListedObject, ListedUpload
from lfsproxy.s3.answers import MAX_LIST, Answer, UnreadableAnswer, children, local_name, parse_xml, text_of
from lfsproxy.s3.client import S3Client
from lfsproxy.s3.deletes import Deletes
from lfsproxy.s3.requests import S3Refused

PAGE = 1000
"""Objects in one answer: the most that S3 gives."""


async def list_objects(
    client: S3Client, prefix: str, page: int = PAGE
) -> AsyncIterator[Sequence[ListedObject]]:
    """Every object below ``prefix``, up to ``page`` at a time, in the order in which S3 gives them."""
    token = ""
    while True:
        query = {"list-type": "2", "prefix": prefix, "max-keys": str(page)}
        if token:
            query["continuation-token"] = token
        answer = await _ask(client, "list_objects", query)
        found = answer.objects(prefix)
        before, token = token, answer.next("NextContinuationToken")
        answer.must_go_on((before,), (token,))
        yield found
        if not token:
            return


async def list_prefixes(client: S3Client, prefix: str, page: int = PAGE) -> AsyncIterator[Sequence[str]]:
    """What keys below ``prefix`` have up to their next slash, each once."""
    token = ""
    while True:
        query = {"list-type": "2", "prefix": prefix, "delimiter": "/", "max-keys": str(page)}
        if token:
            query["continuation-token"] = token
        answer = await _ask(client, "list_objects", query)
        before, token = token, answer.next("NextContinuationToken")
        answer.must_go_on((before,), (token,))
        yield answer.prefixes(prefix)
        if not token:
            return


async def list_uploads(
    client: S3Client,
    prefix: str,
    page: int | None = None,
    patience: float | None = None,
    of_whole_bucket: bool = False,
) -> AsyncIterator[Sequence[ListedUpload]]:
    """Every unfinished multipart upload below ``prefix``. ``patience`` is in seconds, and the client's unless
    given. ``page`` is not sent unless given: S3Proxy knows no max-uploads. ``of_whole_bucket``: the list of
    all uploads is asked for, and those to other keys are passed over."""
    key = upload_id = ""
    while True:
        query = {"uploads": "", "prefix": "" if of_whole_bucket else prefix}
        if key:
            query |= {"key-marker": key, "upload-id-marker": upload_id}
        if page is not None:
            query["max-uploads"] = str(page)
        answer = await _ask(client, "list_multipart_uploads", query, patience)
        found = answer.uploads("" if of_whole_bucket else prefix)
        before = key, upload_id
        key, upload_id = answer.next("NextKeyMarker", is_key=True), answer.next("NextUploadIdMarker")
        if upload_id and not key and found:
            # MinIO does not name the key, as it lists the uploads to one key only.
            key = found[-1].key
        answer.must_go_on(before, (key, upload_id))
        yield [one for one in found if one.key.startswith(prefix)]
        if not key:
            return


async def _ask(
    client: S3Client, operation: str, query: Mapping[str, str], patience: float | None = None
) -> _Page:
    answer = await client.request(
        operation, "GET", query={**query, "encoding-type": "url"}, patience=patience, most=MAX_LIST
    )
    return _Page(client.location.named, answer)


class _Page:
    """One answer of a list. Each method raises StoreRefused for what cannot be such an answer."""

    def __init__(self, named: str, answer: Answer) -> None:
        self._named = named
        try:
            self._root = parse_xml(answer.body)
            date = answer.headers.get("date")
            self._now = _aware(parsedate_to_datetime(date)) if date else datetime.now(UTC)
        except (UnreadableAnswer, ValueError) as error:
            raise self._unreadable(str(error)) from error
        if not local_name(self._root).startswith("List"):
            raise self._unreadable("it is no list")
        self._is_encoded = text_of(self._root, "EncodingType") == "url"

    def _unreadable(self, why: str) -> StoreRefused:
        return StoreRefused(f"{self._named} gave a list that cannot be read: {why}")

    @property
    def is_truncated(self) -> bool:
        return text_of(self._root, "IsTruncated") == "true"

    def next(self, name: str, is_key: bool = False) -> str:
        """Where the next page begins; empty at the end of the list."""
        if not self.is_truncated:
            return ""
        return self._key(self._root, name) if is_key else text_of(self._root, name)

    def must_go_on(self, before: tuple[str, ...], after: tuple[str, ...]) -> None:
        """A list that is cut names another place to go on from, or it would never end, or end too early."""
        if self.is_truncated and (not after[0] or after == before):
            raise self._unreadable("it is cut, and does not say where it goes on")

    def objects(self, prefix: str) -> list[ListedObject]:
        return [
            ListedObject(
                self._key_below(one, prefix), self._size(one), self._age(text_of(one, "LastModified"))
            )
            for one in children(self._root, "Contents")
        ]

    def prefixes(self, prefix: str) -> list[str]:
        found = [self._key(one, "Prefix") for one in children(self._root, "CommonPrefixes")]
        if any(not one.startswith(prefix) or not one.endswith("/") for one in found):
            raise self._unreadable(f"it has prefixes that do not begin with {prefix}")
        return found

    def uploads(self, prefix: str) -> list[ListedUpload]:
        return [
            ListedUpload(
                self._key_below(one, prefix), self._upload_id(one), self._age(text_of(one, "Initiated"))
            )
            for one in children(self._root, "Upload")
        ]

    def _key_below(self, one: Element, prefix: str) -> str:
        key = self._key(one, "Key")
        if not key or not key.startswith(prefix):
            # A store that knows no prefix would have other people's objects deleted.
            raise self._unreadable(f"it has keys that do not begin with {prefix}")
        return key

    def _key(self, one: Element, name: str) -> str:
        child = next(children(one, name), None)
        text = (child.text or "") if child is not None else ""
        try:
            return unquote_plus(text, errors="strict") if self._is_encoded else text
        except UnicodeDecodeError as error:
            raise self._unreadable(str(error)) from error

    def _upload_id(self, one: Element) -> str:
        upload_id = text_of(one, "UploadId")
        if not upload_id:
            raise self._unreadable("an upload in it has no id")
        return upload_id

    def _size(self, one: Element) -> int:
        text = text_of(one, "Size")
        if not text.isdecimal():
            raise self._unreadable("an object in it has no size")
        return int(text)

    def _age(self, text: str) -> float:
        try:
            return (self._now - _aware(datetime.fromisoformat(text))).total_seconds()
        except ValueError as error:
            raise self._unreadable(str(error)) from error


def _aware(time: datetime) -> datetime:
    """A time without a zone is in UTC, as all of S3's are."""
    return time if time.tzinfo is not None else time.replace(tzinfo=UTC)


@implementer(IObjectIndex)
class S3Index:
    """Made by S3Store; shares the store's client. ``page`` and ``upload_page`` are for tests: how many
    objects and uploads one answer may list, None as many as S3 likes."""

    def __init__(self, client: S3Client, page: int = PAGE, upload_page: int | None = None) -> None:
        self.bucket = client.location.bucket
        self._client = client
        self._page = page
        self._upload_page = upload_page
        self._deletes = Deletes(client)

    def prefixes(self, prefix: str) -> AsyncIterator[Sequence[str]]:
        return list_prefixes(self._client, prefix, self._page)

    def objects(self, prefix: str) -> AsyncIterator[Sequence[ListedObject]]:
        return list_objects(self._client, prefix, self._page)

    async def uploads(self, prefix: str) -> AsyncIterator[Sequence[ListedUpload]]:
        is_empty = True
        async for page in list_uploads(self._client, prefix, self._upload_page):
            is_empty = is_empty and not page
            yield page
        if is_empty:
            # MinIO lists those to one whole key, or all of them: below a prefix it finds none.
            try:
                async for page in list_uploads(self._client, prefix, self._upload_page, of_whole_bucket=True):
                    yield page
            except S3Refused:
                # Who may list below a prefix only has the answer already.
                return

    async def delete(self, key: str) -> None:
        await self._client.delete_object(key)

    async def delete_many(self, keys: Sequence[str]) -> Mapping[str, str]:
        return await self._deletes.delete(keys)

    async def abort(self, key: str, upload_id: str) -> bool:
        return await self._client.abort_multipart_upload(key, upload_id)
