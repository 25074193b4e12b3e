"""A user's own code, as a type checker reads it: what has to pass, and what has to be found wrong."""

RIGHT = """
import asyncio
from collections.abc import AsyncIterator

from twisted.internet.defer import Deferred

import lfsproxy.client as client
from lfsproxy.client import aio, tx


def blocking(value: bytes, view: memoryview) -> int:
    def told(resolution: client.Resolution) -> None:
        print(resolution.result, resolution.tries, resolution.record)

    with client.BlobReader("kafscale", endpoint="http://localhost:9000", tries=3, on_resolve=told) as reader:
        data: bytes | None = reader.fetch(view, on_progress=print)
        resolved: client.Resolved = reader.resolve(value, record=client.RecordCoordinates("t", 0, 1))
        missing: bool = resolved.missing
        with reader.open(value) as blob:
            size = sum(len(chunk) for chunk in blob)
        for each in client.resolve_records(reader, [1, 2], concurrency=4):
            number: int = each.record
            payload: bytes | None = each.value
            print(number, payload)
    print(data, missing)
    try:
        client.BlobReader.from_environment(on_missing="skip", bucket="b").fetch(value)
    except client.LfsError as error:
        code: str = error.problem
        retriable: bool = error.retriable
        print(code, retriable)
    return size


async def with_asyncio(value: bytes, consumer: AsyncIterator[str]) -> None:
    async with aio.BlobReader.from_environment(threads=4, max_size=0) as reader:
        mine: aio.BlobReader = reader
        future: asyncio.Future[bytes | None] = reader.fetch(value)
        data: bytes | None = await future
        async with mine.open(value) as blob:
            async for chunk in blob:
                print(len(chunk))
            if blob.stream is not None:
                part: bytes = await blob.stream.read(10)
                print(part)
        async for each in aio.resolve_records(reader, consumer):
            text: str = each.record
            print(text, each.missing, data)


def with_twisted(value: bytes) -> Deferred[bytes | None]:
    reader = tx.BlobReader("kafscale", region="eu-west-1")
    resolved: Deferred[client.Resolved] = reader.resolve(value)
    print(resolved)
    return reader.fetch(value)
"""

WRONG = {
    "client.BlobReader(bukket=3)": "bukket",
    "client.BlobReader.from_environment(bukket=3)": "bukket",
    'client.BlobReader("b", on_missing="ignore")': "on_missing",
    'client.BlobReader("b", tries="many")': "tries",
    'aio.BlobReader("b", bukket=3)': "bukket",
    "aio.BlobReader.from_environment(max_sise=3)": "max_sise",
    'tx.BlobReader("b", bukket=3)': "bukket",
    "tx.BlobReader.from_environment(bukket=3)": "bukket",
    'len(client.BlobReader("b").fetch(b""))': "None",
    'client.BlobReader("b").fetch("text")': "fetch",
    'aio.BlobReader("b").fetch(b"").addCallback(print)': "addCallback",
}
"""An expression, and what is named in the complaint."""


def program(expression: str) -> str:
    """A program of one expression."""
    return f"from lfsproxy import client\nfrom lfsproxy.client import aio, tx\n\nprint({expression})\n"
