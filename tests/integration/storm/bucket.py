"""What the S3 server of a storm holds: blobs, unfinished multipart uploads, state of resumable uploads."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterable
from typing import Any

import attrs

from lfsproxy.devstack import S3Server
from lfsproxy.resumable.fence import UNKNOWN, is_fence
from lfsproxy.resumable.state import ROOT
from tests.integration.storm.notes import MIB

PREFIX = "lfs/default/"
_TEMPORARY = re.compile(r"-[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$")


@attrs.define
class Bucket:
    """``blobs`` are keys with their length. ``state`` counts objects under lfs-uploads/ by what they are;
    ``unknown`` are the blobs' keys whose outcome is unknown for good."""

    name: str
    blobs: dict[str, int] = attrs.field(factory=dict)
    unfinished: list[str] = attrs.field(factory=list)
    state: Counter[str] = attrs.field(factory=Counter)
    unknown: set[str] = attrs.field(factory=set)
    resumable: set[str] = attrs.field(factory=set)
    """The ``info`` of each resumable upload that is not removed yet."""

    def unfinished_by_topic(self, keys: Iterable[str]) -> Counter[str]:
        """How many there are of each topic, as far as the key is among ``keys``."""
        hashed = {hashlib.sha256(f"{self.name}/{key}".encode()).hexdigest(): key for key in keys}
        named = [hashed.get(key.partition("/")[0], key) for key in self.unfinished]
        return Counter(topic_of(key) if key.startswith(PREFIX) else "keys that no log has" for key in named)


def topic_of(key: str) -> str:
    """The topic in a blob's key."""
    return key.removeprefix(PREFIX).partition("/")[0]


def look(server: S3Server, client: Any, bucket: str) -> Bucket:
    """Everything that is there now. ``client`` is boto3's."""
    seen = Bucket(bucket)
    for page in client.get_paginator("list_objects_v2").paginate(Bucket=bucket):
        for item in page.get("Contents", []):
            key: str = item["Key"]
            if key.startswith(ROOT):
                _add_state(seen, client, bucket, key)
            elif key.endswith(".bin"):
                # S3Proxy lists its own temporary files, ``key-uuid``, where it was killed in a PUT.
                seen.blobs[key] = item["Size"]
    seen.unfinished = _unfinished(server, client, bucket)
    return seen


def _add_state(seen: Bucket, client: Any, bucket: str, key: str) -> None:
    name = key.rpartition("/")[2]
    if _TEMPORARY.search(name):
        # S3Proxy's, too.
        seen.state["temporary file of the store"] += 1
        return
    seen.state["fence" if is_fence(name) else name.partition("-")[0]] += 1
    if name == "info":
        seen.resumable.add(key)
    if name == UNKNOWN:
        id = key.removeprefix(ROOT).partition("/")[0]
        intents = client.list_objects_v2(Bucket=bucket, Prefix=f"{ROOT}{id}/intent-")["Contents"]
        last = max(item["Key"] for item in intents)
        intent = json.loads(client.get_object(Bucket=bucket, Key=last)["Body"].read())
        seen.unknown.add(json.loads(intent["value"])["s3_key"])


def _unfinished(server: S3Server, client: Any, bucket: str) -> list[str]:
    if server.kind == "MinIO":
        # It lists those of one key only, so that its folder is looked into: they lie under a hash of the key.
        root = server.data_dir / "objects" / ".minio.sys" / "multipart"
        return [str(path.relative_to(root)) for path in root.glob("*/*") if path.is_dir()]
    listed = client.list_multipart_uploads(Bucket=bucket).get("Uploads", [])
    return [item["Key"] for item in listed]


def ghosts(server: S3Server, client: Any, bucket: str) -> int:
    """How many unfinished uploads MinIO lists that it does not have.

    It lists from memory. What has gone from its disk while a request was cut stays there until it restarts.
    """
    if server.kind != "MinIO":
        return 0
    listed = client.list_multipart_uploads(Bucket=bucket).get("Uploads", [])
    there = {path.rpartition("/")[2] for path in _unfinished(server, client, bucket)}
    ids = [base64.urlsafe_b64decode(item["UploadId"] + "==").decode() for item in listed]
    return sum(id.rpartition(".")[2] not in there for id in ids)


def blob_keys(client: Any, bucket: Bucket) -> set[str]:
    """Where the blobs of these resumable uploads are, or will be; nobody may remove one meanwhile."""
    documents = [client.get_object(Bucket=bucket.name, Key=key)["Body"].read() for key in bucket.resumable]
    return {json.loads(document)["blob_key"] for document in documents}


def sha256_of(client: Any, bucket: str, key: str) -> tuple[int, str]:
    """Length and SHA-256 of a blob. Raises botocore's ClientError where there is none."""
    found = hashlib.sha256()
    size = 0
    for piece in client.get_object(Bucket=bucket, Key=key)["Body"].iter_chunks(MIB):
        found.update(piece)
        size += len(piece)
    return size, found.hexdigest()
