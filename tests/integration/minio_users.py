"""Users of a MinIO server with policies of their own, by its admin API (the one that ``mc admin`` uses).

A request is signed as one to S3 is. Policies are plain JSON; a user comes in an archive of MinIO's import
(``mc admin cluster iam import``), the one way that takes a secret without a second encryption of its own.
"""

from __future__ import annotations

import io
import json
import urllib.request
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from unittest import SkipTest

from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from lfsproxy.devstack import S3Server
from lfsproxy.devstack.s3 import find_minio
from tests.integration.stack import BUCKET, shared_s3

PAGES_BUCKET = "my-bucket"
"""The name of the bucket in the files that pages show."""


async def shared_minio() -> S3Server:
    """The MinIO server of all tests of the run that ask for one. Raises SkipTest where there is none."""
    minio = find_minio()
    if minio is None:
        raise SkipTest("there is no minio on PATH")
    return await shared_s3(minio=minio)


def read_policy(path: Path) -> dict[str, Any]:
    """A policy that a page shows, for the tests' bucket."""
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8").replace(PAGES_BUCKET, BUCKET))
    return found


def without(policy: Mapping[str, Any], action: str) -> dict[str, Any]:
    """The policy without one of its actions. Raises ValueError where it does not have it."""
    actions = [each["Action"] for each in policy["Statement"]]
    if not any(action in each for each in actions):
        raise ValueError(f"the policy has no {action}")
    statements = [
        {**each, "Action": left}
        for each in policy["Statement"]
        if (left := [one for one in each["Action"] if one != action])
    ]
    return {**policy, "Statement": statements}


def actions_of(policy: Mapping[str, Any]) -> list[str]:
    """The actions that a policy allows, in its order."""
    return [action for each in policy["Statement"] for action in each["Action"]]


def set_policy(server: S3Server, name: str, policy: Mapping[str, Any]) -> None:
    """Write a policy, or another one over it; it holds from the next request on. Blocks."""
    _put(server, f"add-canned-policy?name={name}", json.dumps(policy).encode())


def create_user(server: S3Server, name: str, secret: str, policy: str) -> None:
    """Create a user that has one policy, which is there already. Blocks."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as files:
        users = {name: {"secretKey": secret, "status": "enabled"}}
        files.writestr("iam-assets/users.json", json.dumps(users))
        mappings = {name: {"version": 1, "policy": policy}}
        files.writestr("iam-assets/user_mappings.json", json.dumps(mappings))
    _put(server, "import-iam", archive.getvalue())


def disable_user(server: S3Server, name: str) -> None:
    """From now on the user's requests are refused. Blocks."""
    _put(server, f"set-user-status?accessKey={name}&status=disabled", b"")


def _put(server: S3Server, path: str, body: bytes) -> None:
    url = f"{server.endpoint}/minio/admin/v3/{path}"
    request: Any = AWSRequest("PUT", url, data=body)
    S3SigV4Auth(Credentials(server.access_key, server.secret_key), "s3", server.region).add_auth(request)
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    opener.open(
        urllib.request.Request(url, body, dict(request.headers.items()), method="PUT"), timeout=30
    ).close()
