"""The examples of docs/sdk/python.md, run from an empty project against the real Kafka and S3 server."""

from __future__ import annotations

from twisted.trial.unittest import TestCase

from lfsproxy.devstack.ports import free_port
from tests.integration.example_places import BLOB, Places, places
from tests.integration.examples import Project, project_for

PYTHON = ".venv/bin/python"
ALL = [f"0 {len(BLOB)}", "1 8", f"2 {len(BLOB)}"]

INSTALLED: set[str] = set()
"""Parts of setup.sh that were run."""


class PythonTests(TestCase):
    timeout = 600

    async def setUp(self) -> None:  # type: ignore[override]
        self.project: Project = await project_for("python")
        self.here: Places = await places("python-example")

    async def printed(self, name: str, places: dict[str, str], count: int) -> list[str]:
        return await self.project.lines_of([PYTHON, self.project.paste(name, places)], count)

    async def with_clients(self) -> None:
        """Once for all tests, as they share the project."""
        if "clients" not in INSTALLED:
            await self.project.run_part("clients", ". .venv/bin/activate\n")
            INSTALLED.add("clients")

    async def test_quick_start(self) -> None:
        program = self.project.paste("quickstart.py", {**self.here.kafka, **self.here.http})
        lines = (await self.project.output_of([PYTHON, program])).splitlines()
        self.assertTrue(lines[0].startswith(f"0 1 lfs/default/{self.here.topic}/0/"), lines)
        self.assertEqual(lines[1:], ["0 10240000 True", "1 10240000 True"])

    async def test_stream(self) -> None:
        await self.here.fill()
        lines = await self.printed("stream.py", self.here.kafka, 3)
        self.assertEqual(lines, ["wrote blob-0", "wrote blob-1", "wrote blob-2"])
        self.assertEqual((self.project.folder / "blob-0").read_bytes(), BLOB)

    async def test_lazily(self) -> None:
        await self.here.fill()
        lines = await self.printed("lazily.py", self.here.kafka, 3)
        image = "an image that begins with 00010203"
        self.assertEqual(lines, [f"0 {image}", "1 an ordinary value", f"2 {image}"])

    async def test_confluent_kafka_deserializer(self) -> None:
        first, _ = await self.here.fill()
        await self.here.lose(first)
        await self.with_clients()
        lines = await self.printed("confluent_deserializer.py", self.here.group("demo"), 3)
        self.assertEqual(lines, ["0 its blob is missing", *ALL[1:]])

    async def test_a_poll_in_parallel(self) -> None:
        await self.here.fill()
        await self.with_clients()
        self.assertEqual(await self.printed("poll_in_parallel.py", self.here.group("demo"), 3), ALL)

    async def test_a_poison_pill(self) -> None:
        first, _ = await self.here.fill()
        await self.here.lose(first)
        lines = await self.printed("poison_pill.py", self.here.kafka, 3)
        self.assertEqual(lines, ["0 no value: blob-missing", *ALL[1:]])

    async def test_marking_by_size(self) -> None:
        await self.with_clients()
        program = self.project.paste("mark_by_size.py", self.here.kafka)
        self.assertEqual(await self.project.output_of([PYTHON, program]), "sent\n")
        lines = await self.printed("lazily.py", self.here.kafka, 2)
        self.assertEqual(lines, ["0 an ordinary value", "2 an ordinary value"])

    async def test_upload(self) -> None:
        program = self.project.paste("upload.py", self.here.http)
        printed = await self.project.output_of([PYTHON, program])
        self.assertEqual(printed.splitlines()[-1], f"{self.here.topic}:0:0")
        self.assertIn("5000000 bytes", printed)

    async def test_through_the_proxy(self) -> None:
        await self.here.fill()
        everywhere = {**self.here.kafka, **self.here.http}
        self.assertEqual(await self.printed("through_the_proxy.py", everywhere, 3), ALL)

    async def test_by_boto3(self) -> None:
        await self.here.fill()
        await self.with_clients()
        self.assertEqual(await self.printed("by_boto3.py", self.here.kafka, 3), ALL)

    async def test_in_your_tests(self) -> None:
        program = self.project.paste("in_your_tests.py", {})
        lines = (await self.project.output_of([PYTHON, program])).splitlines()
        self.assertEqual(lines, ["b'an image'", "checksum-mismatch"])

    async def test_kafka_python_deserializer(self) -> None:
        await self.here.fill()
        self.assertEqual(await self.printed("kafka_python_deserializer.py", self.here.kafka, 3), ALL)

    async def test_aiokafka_reads_ahead(self) -> None:
        await self.here.fill()
        await self.with_clients()
        self.assertEqual(await self.printed("aiokafka_read_ahead.py", self.here.group("demo"), 3), ALL)

    async def test_asyncio(self) -> None:
        await self.here.fill()
        await self.with_clients()
        self.assertEqual(await self.printed("asyncio_reader.py", self.here.kafka, 3), ALL)

    async def test_twisted(self) -> None:
        await self.here.fill()
        await self.with_clients()
        self.assertEqual(await self.printed("twisted_reader.py", self.here.kafka, 3), ALL)

    async def test_skip_missing(self) -> None:
        _, second = await self.here.fill()
        await self.here.lose(second)
        self.assertEqual(
            await self.printed("skip_missing.py", self.here.kafka, 3),
            [f"0 a blob, {len(BLOB)} bytes", "1 an ordinary value, 8 bytes", "2 its blob is missing"],
        )

    async def test_measure(self) -> None:
        await self.here.fill()
        await self.with_clients()
        elsewhere = {**self.here.kafka, "9100": str(free_port())}
        self.assertEqual(
            await self.printed("measure.py", elsewhere, 3), ["reads: 1.0", "reads: 1.0", "reads: 2.0"]
        )
