"""The kinds of S3 servers that the store's contracts are run against, each by its name.

S3Proxy is always there. MinIO is where PATH has one, and a Versity S3 Gateway where Go can make one, once;
without it a test is skipped by name.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from unittest import SkipTest

from twisted.internet import reactor

from lfsproxy.devstack import S3Server
from lfsproxy.devstack.ports import HOST
from lfsproxy.devstack.s3 import find_minio
from tests.deploy.go_tools import go_tool
from tests.integration.stack import BUCKET, in_thread

VERSITY_VERSION = "v1.8.0"
VERSITY = "github.com/versity/versitygw/cmd/versitygw"
KMS_KEY = "blobs"
"""The one key of the KMS in KmsMinio."""


class VersityServer(S3Server):
    """A Versity S3 Gateway in front of a folder. ``versitygw`` is the executable."""

    def __init__(self, versitygw: str) -> None:
        super().__init__(minio="")
        self._versitygw = versitygw

    @property
    def kind(self) -> str:
        return "Versity S3 Gateway"

    def command(self) -> tuple[Sequence[str], Mapping[str, str] | None]:
        objects = self.data_dir / "objects"
        objects.mkdir(exist_ok=True)
        keys = {"ROOT_ACCESS_KEY": self.access_key, "ROOT_SECRET_KEY": self.secret_key}
        port = ["--port", f"{HOST}:{self.port}", "--region", self.region]
        return [self._versitygw, "--quiet", "--keep-alive", *port, "posix", str(objects)], {
            **os.environ,
            **keys,
        }


class KmsMinio(S3Server):
    """A MinIO that encrypts with its own keys (AES256), and with KMS_KEY (aws:kms)."""

    def command(self) -> tuple[Sequence[str], Mapping[str, str] | None]:
        command, environment = super().command()
        return command, {**(environment or {}), "MINIO_KMS_SECRET_KEY": f"{KMS_KEY}:{'A' * 43}="}


def new_s3proxy() -> S3Server:
    return S3Server(minio="")


def new_minio() -> S3Server:
    """Raises SkipTest where there is none."""
    minio = find_minio()
    if minio is None:
        raise SkipTest("there is no minio on PATH")
    return KmsMinio(minio=minio)


def new_versity() -> S3Server:
    """Raises SkipTest where there is none, and none can be made."""
    without = "the Versity S3 Gateway is NOT TESTED: go is not on PATH"
    return VersityServer(str(go_tool("versitygw", VERSITY_VERSION, VERSITY, "versitygw", without)))


STORES: Mapping[str, Callable[[], S3Server]] = {
    "S3Proxy": new_s3proxy,
    "MinIO": new_minio,
    "Versity S3 Gateway": new_versity,
}
"""Each blocks, and raises SkipTest where the server cannot be had."""

_running: dict[str, S3Server] = {}


async def shared_store(name: str) -> S3Server:
    """The server of that name for all tests of the run that ask for it, with the bucket."""
    server = _running.get(name)
    if server is None:
        server = await in_thread(STORES[name])
        reactor.addSystemEventTrigger("after", "shutdown", server.close)
        await in_thread(server.start)
        await in_thread(server.create_bucket, BUCKET)
        _running[name] = server
    return server
