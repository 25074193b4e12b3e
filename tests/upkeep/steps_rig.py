"""A Kafka and a store that do as they are told to, for the steps of a check."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import attrs
from twisted.internet.defer import Deferred
from zope.interface import implementer

from lfsproxy.probing import Certificate, IKafkaProbe, IStoreProbe, Written
from lfsproxy.settings import Address

FAR = 4_000_000_000.0
"""A time that is far off, in seconds since the epoch."""
CERTIFICATE = Certificate(["a.example", "b.example"], "CN=tests", FAR, 2)


@attrs.define
class _Acts:
    """``acts`` is what becomes of a call by its name: raised, or a Deferred that is waited for, or given."""

    acts: dict[Any, Any] = attrs.field(factory=dict)
    calls: list[tuple[Any, ...]] = attrs.field(factory=list)

    async def act(self, name: str, default: Any, *arguments: Any) -> Any:
        self.calls.append((name, *arguments))
        told = self.acts.get((name, *arguments), self.acts.get(name, default))
        if isinstance(told, Exception):
            raise told
        return await told if isinstance(told, Deferred) else told

    def count(self, name: str) -> int:
        return sum(call[0] == name for call in self.calls)


@implementer(IKafkaProbe)
@attrs.define
class KafkaDouble(_Acts):
    uses_tls: bool = False
    signs_in: bool = False
    has_identity: bool = True

    async def resolve(self, address: Address) -> Sequence[str]:
        found: Sequence[str] = await self.act("resolve", ["10.0.0.1"], address)
        return found

    async def connect(self, address: Address) -> None:
        await self.act("connect", None, address)

    async def handshake(self, address: Address) -> Certificate:
        shown: Certificate = await self.act("handshake", CERTIFICATE, address)
        return shown

    async def sign_in(self, address: Address) -> float | None:
        seconds: float | None = await self.act("sign_in", None, address)
        return seconds

    async def lacks(self, address: Address) -> tuple[Sequence[str], Sequence[str]]:
        lacking: tuple[Sequence[str], Sequence[str]] = await self.act("lacks", ([], []), address)
        return lacking

    async def is_lfs_proxy(self, address: Address) -> bool:
        is_one: bool = await self.act("is_lfs_proxy", False, address)
        return is_one

    async def brokers(self, address: Address) -> Mapping[int, Address]:
        named: Mapping[int, Address] = await self.act("brokers", {1: address}, address)
        return named

    async def partitions(self, topic: str) -> int:
        count: int = await self.act("partitions", 3, topic)
        return count

    async def largest_batch(self, address: Address, topic: str | None) -> int | None:
        size: int | None = await self.act("largest_batch", 1048588, address, topic)
        return size

    async def write(self, topic: str) -> Written:
        written: Written = await self.act("write", Written(2, 7, b"value"), topic)
        return written

    async def read(self, topic: str, written: Written) -> bool:
        same: bool = await self.act("read", True, topic, written)
        return same

    async def close(self) -> None:
        await self.act("close", None)


@implementer(IStoreProbe)
@attrs.define
class StoreDouble(_Acts):
    uses_tls: bool = False
    checksums: bool = True
    named: str = "http://store.example (LFS_S3_ENDPOINT)"
    key: str = "lfs/default/lfsproxy-check/0/0-uuid.bin"

    async def resolve(self) -> Sequence[str]:
        found: Sequence[str] = await self.act("resolve", ["10.0.0.2"])
        return found

    async def connect(self) -> None:
        await self.act("connect", None)

    async def handshake(self) -> Certificate:
        shown: Certificate = await self.act("handshake", CERTIFICATE)
        return shown

    async def credentials(self) -> str:
        provider: str = await self.act("credentials", "the environment")
        return provider

    async def clock(self) -> float | None:
        ahead: float | None = await self.act("clock", 0.0)
        return ahead

    async def bucket(self) -> None:
        await self.act("bucket", None)

    async def put(self) -> None:
        await self.act("put", None)

    async def head(self) -> str:
        missing: str = await self.act("head", "")
        return missing

    async def ranged_get(self) -> None:
        await self.act("ranged_get", None)

    async def conditional(self) -> str:
        missing: str = await self.act("conditional", "")
        return missing

    async def multipart(self) -> str:
        missing: str = await self.act("multipart", "")
        return missing

    async def abort(self) -> None:
        await self.act("abort", None)

    async def list_objects(self) -> None:
        await self.act("list_objects", None)

    async def delete(self) -> None:
        await self.act("delete", None)

    async def remove(self) -> None:
        await self.act("remove", None)

    async def close(self) -> None:
        await self.act("close", None)
