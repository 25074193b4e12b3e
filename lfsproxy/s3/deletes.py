"""Deletes many objects: DeleteObjects (Amazon S3 API reference), a thousand in a request.

::

    POST /?delete    <Delete><Quiet>true</Quiet><Object><Key>...</Key></Object>...</Delete>
    its answer       <DeleteResult><Error><Key>...</Key><Code>...</Code><Message>...</Message></Error>...

S3 asks for a checksum of the list: Content-MD5, which every store knows. A store that does not know the
request is asked to delete one object after the other.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from typing import Final
from xml.sax.saxutils import escape

from twisted.internet.defer import Deferred

from lfsproxy.errors import StoreRefused
from lfsproxy.logs import Logger
from lfsproxy.quoting import quoted
from lfsproxy.s3.answers import MAX_LIST, UnreadableAnswer, children, local_name, parse_xml, text_of
from lfsproxy.s3.client import S3Client
from lfsproxy.wakeups import all_of

MOST: Final = 1000
"""Objects in one request: the most that S3 takes."""
AT_ONCE: Final = 16
"""Requests for one object each that are on their way at once."""
_UNKNOWN_STATUS: Final = frozenset({400, 403, 404, 405, 411, 501})
"""How a store may refuse a request that it does not know. What is really wrong shows with a single one."""


class Deletes:
    """Remembers whether the store takes many at once."""

    _log = Logger()

    def __init__(self, client: S3Client) -> None:
        self._client = client
        self._many = True

    async def delete(self, keys: Sequence[str]) -> dict[str, str]:
        """Delete objects; one that is not there is no error. Returns, by its key, why one is still there.

        Raises StoreUnavailable, and StoreRefused where the store refuses the whole.
        """
        failed: dict[str, str] = {}
        for first in range(0, len(keys), MOST):
            some = keys[first : first + MOST]
            if self._many and all(key.isprintable() for key in some):
                found = await self._delete_many(some)
                if found is not None:
                    failed |= found
                    continue
            for place in range(0, len(some), AT_ONCE):
                deletes = map(self._client.delete_object, some[place : place + AT_ONCE])
                await all_of([Deferred.fromCoroutine(one) for one in deletes])
        return failed

    async def _delete_many(self, keys: Sequence[str]) -> dict[str, str] | None:
        """None where the store does not know the request."""
        listed = "".join(f"<Object><Key>{escape(key)}</Key></Object>" for key in keys)
        body = (
            f'<Delete xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Quiet>true</Quiet>{listed}</Delete>'
        ).encode()
        digest = base64.b64encode(hashlib.md5(body, usedforsecurity=False).digest()).decode()
        answer = await self._client.request(
            "delete_objects",
            "POST",
            query={"delete": ""},
            headers={"content-type": "application/xml", "content-md5": digest},
            body=[body],
            accept=_UNKNOWN_STATUS,
            most=MAX_LIST,
        )
        if answer.is_error:
            self._many = False
            self._log.info("the store does not delete many objects at once: {answer}", answer=answer)
            return None
        try:
            root = parse_xml(answer.body)
        except UnreadableAnswer as error:
            raise StoreRefused(f"{self._client.location.named}: {error}") from None
        if local_name(root) != "DeleteResult":
            raise StoreRefused(f"{self._client.location.named} does not say what it has deleted")
        failed = {
            text_of(one, "Key"): f"{text_of(one, 'Code')}: {text_of(one, 'Message')}"
            for one in children(root, "Error")
            if text_of(one, "Code") != "NoSuchKey"
        }
        if unknown := failed.keys() - set(keys):
            # Any of those that were asked for may be meant.
            some = next(iter(unknown))
            raise StoreRefused(
                f"{self._client.location.named} does not say which object stays: {quoted(some)} "
                f"({failed[some]})"
            )
        return failed
