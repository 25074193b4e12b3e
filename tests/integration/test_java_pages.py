"""docs/sdk/java.md, followed from an empty folder: its commands, its project, and each of its programs."""

from __future__ import annotations

import json
import re
import urllib.request
from pathlib import Path
from typing import Any

from twisted.trial import unittest

from tests.docs.blocks import ROOT, blocks_of
from tests.integration.frames import MIB
from tests.integration.java_pages import (
    JAVA_PAGE,
    TOOLS,
    Place,
    command_of,
    demo_addresses,
    java_place,
)
from tests.integration.proxy import shared_proxy
from tests.integration.stack import in_thread, stack
from tests.sdks.tools import require_tools

LENGTH = 20_000_000
"""Of the file that the page uploads."""
POLL_BYTES = 64 * MIB
"""What the page says of one poll."""
STREAMS_SECONDS = 60
"""How long the Streams application runs: on a busy machine it takes a while to join its group."""


class JavaPageTests(unittest.TestCase):
    timeout = 1200

    async def setUp(self) -> None:  # type: ignore[override]
        require_tools("java", TOOLS)
        self.servers = await stack()
        self.proxy = await shared_proxy()
        self.place: Place = await in_thread(java_place)
        self.topic = await self.servers.new_topic("java-page")
        self.instead = {**demo_addresses(self.servers, self.proxy), "demo-topic": self.topic}

    async def run_program(self, name: str, **options: Any) -> str:
        """Run a program as the page says, in a shell that has the page's variables."""
        variables = command_of(JAVA_PAGE, "export LFS_S3_BUCKET")
        commands = command_of(JAVA_PAGE, f"-Dexec.mainClass={name} ")
        return await in_thread(self.place.run, variables + commands, instead=self.instead, **options)

    async def test_a_file_is_uploaded_and_its_blob_streamed(self) -> None:
        uploaded = await self.run_program("Upload")
        self.assertRegex(
            uploaded,
            rf"(?m)^{self.topic}-0@0: kafscale/lfs/default/{self.topic}/0/0-.+\.bin \({LENGTH} bytes\)$",
        )
        self.assertIn(f"offset 0: {LENGTH} bytes\n", await self.run_program("ReadBlobs"))
        self.assertRegex(await self.run_program("ReadByProxy"), rf"(?m)^offset 0: .+ \({LENGTH} bytes\)$")

    async def test_a_marked_record_is_offloaded_and_its_blob_saved_on_demand(self) -> None:
        sent = Path(self.place.project, "large-file.bin")
        await in_thread(sent.write_bytes, b"\0\1\2" * MIB)
        self.assertIn(f"{self.topic}-0@0\n", await self.run_program("Produce"))
        shown = await self.run_program("ConsumeLazily")
        self.assertIn(f"offset 0: kafscale/lfs/default/{self.topic}/0/0-", shown)
        saved = Path(self.place.project, "blobs", "0.bin")
        self.assertEqual(await in_thread(saved.read_bytes), await in_thread(sent.read_bytes))

    async def test_more_blobs_than_the_heap_has_room_for_come_in_more_polls(self) -> None:
        count, size = 12, 16 * MIB
        url = f"{self.proxy.http}/v1/topics/{self.topic}/records"
        for _ in range(count):
            await in_thread(_post, url, bytes(size))
        shown = await self.run_program("Consume", heap="160m")
        offsets = [int(found) for found in re.findall(rf"^offset (\d+): {size} bytes$", shown, re.MULTILINE)]
        self.assertEqual(offsets, list(range(count)), shown)
        polls = [int(found) for found in re.findall(r"^(\d+) records in this poll$", shown, re.MULTILINE)]
        self.assertEqual((max(polls), sum(polls)), (POLL_BYTES // size, count), shown)

    async def test_a_blob_that_is_gone_stops_neither_a_parallel_poll_nor_a_consumer_that_seeks(self) -> None:
        url = f"{self.proxy.http}/v1/topics/{self.topic}/records"
        published = [await in_thread(_post, url, bytes(size)) for size in (1000, 2000, 3000)]
        gone = published[1]["envelope"]
        client = self.servers.s3_client()
        await in_thread(client.delete_object, Bucket=gone["s3_bucket"], Key=gone["s3_key"])
        shown = await self.run_program("ConsumePoll")
        self.assertIn("offset 0: 1000 bytes\noffset 1: blob-missing\noffset 2: 3000 bytes\n", shown)
        shown = await self.run_program("SkipPoison")
        found = re.findall(r"^offset (\d): (.+)$", shown, re.MULTILINE)
        self.assertEqual(
            found, [("0", "1000 bytes"), ("1", "skipped, blob-missing"), ("2", "3000 bytes")], shown
        )

    async def test_a_streams_application_has_large_values_on_its_way_and_in_its_topics(self) -> None:
        text, lines = [await self.servers.new_topic(name) for name in ("text", "lines")]
        words = b"a few words " * 200_000  # more than a broker takes
        await in_thread(_post, f"{self.proxy.http}/v1/topics/{text}/records", words)
        self.instead |= {"text-topic": text, "lines-topic 30": f"{lines} {STREAMS_SECONDS}"}
        shown = await self.run_program("Pipeline")
        record = f"{self.proxy.http}/v1/topics/{lines}/partitions/0/records/0"
        self.assertEqual(await in_thread(_get, record), words.replace(b" ", b"\n"), shown)
        envelope = json.loads(await in_thread(_get, f"{record}/envelope"))
        self.assertEqual(envelope["content_length"], len(words))
        # Streams deletes what it has read there (repartition.purge.interval.ms). The blobs stay.
        on_its_way = f"lfs/default/pipeline-of-{text}-by-first-letter-repartition/"
        client, bucket = self.servers.s3_client(), self.servers.bucket
        listed = await in_thread(client.list_objects_v2, Bucket=bucket, Prefix=on_its_way)
        self.assertEqual([each["Size"] for each in listed.get("Contents", [])], [len(words)], shown)

    def test_the_folder_s_own_readme_begins_the_same_way(self) -> None:
        readme = ROOT / "sdk/java/README.md"
        self.assertIn(command_of(readme, "git clone"), command_of(JAVA_PAGE, "git clone"))
        (dependency,) = [
            block.code for block in blocks_of(readme.read_text(encoding="utf-8")) if block.language == "xml"
        ]
        pom = (ROOT / "examples/java/pom.xml").read_text()
        self.assertIn("".join(dependency.split()), "".join(pom.split()))


def _get(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=60) as answer:
        data: bytes = answer.read()
    return data


def _post(url: str, body: bytes) -> Any:
    request = urllib.request.Request(
        url, data=body, headers={"Content-Type": "application/octet-stream"}, method="POST"
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        assert answer.status == 201
        return json.load(answer)
