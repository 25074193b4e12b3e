"""The examples of docs/sdk/go.md, built in an empty project and run against the real Kafka and S3 server."""

from __future__ import annotations

from twisted.trial.unittest import TestCase

from tests.integration.example_places import BLOB, places
from tests.integration.examples import Project, project_for
from tests.sdks.tools import require_tools

LARGE = 6_000_000


async def go_project() -> Project:
    """The project of the Go examples; SkipTest where Go is not here."""
    require_tools("go", ("go",))
    return await project_for("go")


async def built(name: str, places: dict[str, str]) -> list[str]:
    """The command of an example, pasted and built."""
    project = await go_project()
    program = project.paste(name, places)
    binary = f"./{program.removesuffix('.go')}.bin"
    await project.output_of(["go", "vet", program])
    await project.output_of(["go", "build", "-o", binary, program])
    return [binary]


class GoTests(TestCase):
    timeout = 900

    async def test_upload(self) -> None:
        here, project = await places("go-upload"), await go_project()
        command = await built("upload.go", here.http)
        (project.folder / "large-file.bin").write_bytes(BLOB)
        self.assertEqual(await project.output_of(command), "published at 0:0\n")

    async def test_consume(self) -> None:
        here, project = await places("go-consume"), await go_project()
        await project.run_part("franz")
        _, second = await here.fill()
        await here.lose(second)
        command = await built("consume.go", here.kafka)
        self.assertEqual(
            await project.lines_of(command, 3),
            [
                f"0 {len(BLOB)} bytes, offloaded: true",
                "1 8 bytes, offloaded: false",
                "2 its blob is missing",
            ],
        )

    async def test_stream(self) -> None:
        here, project = await places("go-stream"), await go_project()
        await project.run_part("franz")
        await here.fill()
        command = await built("stream.go", here.kafka)
        self.assertEqual(await project.lines_of(command, 3), ["wrote blob-0", "wrote blob-1", "wrote blob-2"])
        self.assertEqual((project.folder / "blob-2").read_bytes(), BLOB)

    async def test_produce(self) -> None:
        here, project = await places("go-produce"), await go_project()
        await project.run_part("franz")
        command = await built("produce.go", here.kafka)
        self.assertEqual(await project.output_of(command), "published at 0:0\n")
        consume = await built("consume.go", here.kafka)
        self.assertEqual(await project.lines_of(consume, 1), [f"0 {LARGE} bytes, offloaded: true"])

    async def test_confluent(self) -> None:
        require_tools("go", ("go", "gcc"))
        here, project = await places("go-confluent"), await go_project()
        await project.run_part("confluent")
        command = await built("confluent.go", here.group("demo"))
        self.assertEqual(
            await project.output_of(command),
            f"published at 0:0\n0 {LARGE} bytes, offloaded: true\n",
        )
