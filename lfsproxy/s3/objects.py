"""What new objects are made with: content type, metadata, encryption, storage class and tags.

These header fields belong on PutObject and CreateMultipartUpload, and on no other request: S3 refuses them on
GET and HEAD. See both operations in the Amazon S3 API reference.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from urllib.parse import quote

import attrs

from lfsproxy.envelope import DEFAULT_CONTENT_TYPE, is_media_type, parse_key
from lfsproxy.s3.explain import SSE

FORM = "application/x-www-form-urlencoded"


def encryption(sse: str, kms_key_id: str, bucket_key: bool) -> dict[str, str]:
    """The header fields that ask for an encryption; none for an empty ``sse``, which leaves it to the bucket.

    ``kms_key_id`` may be empty; ``bucket_key`` False leaves that to the bucket, too.
    """
    given = {
        SSE: sse,
        f"{SSE}-aws-kms-key-id": kms_key_id,
        f"{SSE}-bucket-key-enabled": "true" if bucket_key else "",
    }
    return {name: value for name, value in given.items() if value}


@attrs.frozen
class NewObjects:
    """What every new object of a store is made with. ``tags`` are names and values, which may have {topic}
    and {namespace} in them; ``storage_class`` is empty for the store's default.

    Storage class and tags are for blobs only. Objects of state are small and soon deleted, which the cheaper
    classes charge for, and a rule about blobs must not remove them.
    """

    encryption: Mapping[str, str] = attrs.Factory(dict)
    storage_class: str = ""
    tags: Sequence[tuple[str, str]] = ()

    @property
    def sse(self) -> str:
        """How they are encrypted; empty for as the bucket is set."""
        return self.encryption.get(SSE, "")

    def blob(self, key: str, content_type: str, metadata: Mapping[str, str]) -> dict[str, str]:
        """The header fields of a new blob."""
        headers = {**_content_type(content_type), **meta(metadata), **self.encryption}
        if self.storage_class:
            headers["x-amz-storage-class"] = self.storage_class
        if self.tags and (tagging := self._tagging(key)):
            headers["x-amz-tagging"] = tagging
        return headers

    def state(self) -> dict[str, str]:
        """The header fields of a new object that is no blob."""
        return {"content-type": DEFAULT_CONTENT_TYPE, **self.encryption}

    def _tagging(self, key: str) -> str:
        """The tags of the blob at ``key``; none where the key is not one that a proxy makes."""
        place = parse_key(key)
        if place is None:
            return ""
        filled = [
            (name, value.replace("{topic}", place.topic).replace("{namespace}", place.namespace))
            for name, value in self.tags
        ]
        return "&".join(f"{quote(name, safe='')}={quote(value, safe='')}" for name, value in filled)


def meta(metadata: Mapping[str, str]) -> dict[str, str]:
    """User metadata as headers."""
    return {f"x-amz-meta-{name}": value for name, value in metadata.items()}


def _content_type(content_type: str) -> dict[str, str]:
    """The object's content type as S3 signs and stores it; the envelope has it as it came. Some stores
    (S3Proxy) refuse what is no media type, and take a body of FORM for a form of theirs."""
    given = content_type.strip()
    is_form = given.partition(";")[0].strip().lower() == FORM
    return {"content-type": given if is_media_type(given) and not is_form else DEFAULT_CONTENT_TYPE}
