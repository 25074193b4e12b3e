"""What can be tried of Kafka and S3, one ability at a time, for ``lfsproxy check``.

Everything is asked with the actual settings. What is wrong comes as an LfsError, whose sentence is the one
that /readyz and the log have for it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import attrs
from zope.interface import Attribute, Interface

from lfsproxy.settings import Address


@attrs.frozen
class Certificate:
    """What a server has shown: the names in its certificate, who signed that, and when it expires, in seconds
    since the epoch. ``chain`` counts the certificates that were sent."""

    names: Sequence[str]
    issuer: str
    expires: float
    chain: int


@attrs.frozen
class Written:
    """A record that was written: its place, key and value."""

    partition: int
    offset: int
    value: bytes


class IKafkaProbe(Interface):
    """The brokers. Each method may raise BrokerUnavailable."""

    uses_tls: bool = Attribute("Whether brokers are spoken to over TLS.")
    signs_in: bool = Attribute("Whether there is a sign-in to be tried.")
    has_identity: bool = Attribute("Whether the proxy can ask anything that needs a sign-in.")

    async def resolve(address: Address) -> Sequence[str]:
        """The IP addresses of its host."""

    async def connect(address: Address) -> None:
        """Connect by TCP."""

    async def handshake(address: Address) -> Certificate:
        """Complete the TLS handshake, and verify the certificate."""

    async def sign_in(address: Address) -> float | None:
        """Sign in as the proxy. Seconds until the next time, None: never. Raises SignInRefused."""

    async def lacks(address: Address) -> tuple[Sequence[str], Sequence[str]]:
        """The APIs that the broker does not speak as the proxy does: those that the proxy needs, and those
        that it can do without."""

    async def is_lfs_proxy(address: Address) -> bool:
        """Whether it offers the APIs as an LFS Proxy does, which no broker is known to do."""

    async def brokers(address: Address) -> Mapping[int, Address]:
        """Every broker by node id, at the address that clients are told."""

    async def partitions(topic: str) -> int:
        """How many partitions the topic has. Raises UnknownTopic, NotAuthorised."""

    async def largest_batch(address: Address, topic: str | None) -> int | None:
        """Bytes of the largest record batch that the topic (None: the broker, where no topic says otherwise)
        takes; None where the proxy may not ask."""

    async def write(topic: str) -> Written:
        """Write one small record, which says what it is. Raises what ``publish`` raises."""

    async def read(topic: str, written: Written) -> bool:
        """Whether the record is read back as it was written."""

    async def close() -> None:
        """Close all connections."""


class IStoreProbe(Interface):
    """The bucket. Each method may raise StoreUnavailable and StoreRefused.

    What is written lies below the namespace's own prefix, where gc would find it; ``remove`` takes it away.
    """

    uses_tls: bool = Attribute("Whether the store is spoken to over TLS.")
    checksums: bool = Attribute("Whether parts are sent with a CRC-32C.")
    named: str = Attribute("The store's endpoint, for people.")
    key: str = Attribute("The key of the object that is written.")

    async def resolve() -> Sequence[str]:
        """The IP addresses of the store's host."""

    async def connect() -> None:
        """Connect by TCP."""

    async def handshake() -> Certificate:
        """Complete the TLS handshake, and verify the certificate."""

    async def credentials() -> str:
        """Where the credentials come from, by the name of botocore's provider."""

    async def clock() -> float | None:
        """By how many seconds this machine's clock is ahead of the store's; None where it does not say."""

    async def bucket() -> None:
        """Whether the bucket is there, and the credentials reach it."""

    async def put() -> None:
        """Write a small object, with its CRC-32C unless that is off."""

    async def head() -> str:
        """Ask for the object's length, and say what the store does not keep of its checksum, if anything."""

    async def ranged_get() -> None:
        """Read some bytes from the middle of the object."""

    async def conditional() -> str:
        """Try to write over the object (If-None-Match). Where the store lets that happen, what follows."""

    async def multipart() -> str:
        """Write an object by a multipart upload. Where the store keeps no CRC-32C of the whole
        (FULL_OBJECT), what follows."""

    async def abort() -> None:
        """Begin an upload of parts, look for it in the list of unfinished ones, and abort it."""

    async def list_objects() -> None:
        """Find the object in a list."""

    async def delete() -> None:
        """Delete the object."""

    async def remove() -> None:
        """Remove what is left of all this. Never raises."""

    async def close() -> None:
        """Close all connections."""
