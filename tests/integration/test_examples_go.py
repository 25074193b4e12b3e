"""The examples of docs/sdk/go.md, built in an empty project and run against the real Kafka and S3 server."""

from __future__ import annotations

import contextlib
import subprocess
import time
from collections.abc import Sequence
from urllib.error import URLError
from urllib.request import urlopen

from twisted.trial.unittest import TestCase

from lfsproxy.devstack.ports import free_port
from tests.integration.example_places import BLOB, places
from tests.integration.examples import SECONDS, ExampleFailed, Project, project_for
from tests.integration.stack import in_thread
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


def scraped(command: Sequence[str], project: Project, url: str, wanted: Sequence[str]) -> str:
    """What a program's metrics say once they have all lines of ``wanted``. Blocks; raises ExampleFailed."""
    process = subprocess.Popen(
        command, cwd=project.folder, env=project.environment, stderr=subprocess.DEVNULL
    )
    try:
        page, until = "", time.monotonic() + SECONDS
        while time.monotonic() < until:
            with contextlib.suppress(URLError):  # it does not listen yet
                page = urlopen(url, timeout=SECONDS).read().decode()
            if set(wanted) <= set(page.splitlines()):
                return page
            time.sleep(0.1)
        raise ExampleFailed(f"{url} has not all of {wanted}:\n{page}")
    finally:
        process.kill()
        process.wait()


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

    async def test_poll(self) -> None:
        here, project = await places("go-poll"), await go_project()
        await project.run_part("franz")
        _, second = await here.fill()
        await here.lose(second)
        command = await built("poll.go", here.kafka)
        self.assertEqual(
            await project.lines_of(command, 3),
            [
                f"0 {len(BLOB)} bytes, offloaded: true",
                "1 8 bytes, offloaded: false",
                "2 its blob is missing",
            ],
        )

    async def test_lazy(self) -> None:
        here, project = await places("go-lazy"), await go_project()
        await project.run_part("franz")
        await here.fill()
        command = await built("lazy.go", here.kafka)
        saved = f"saved {len(BLOB)} bytes"
        self.assertEqual(await project.lines_of(command, 3), [f"0 {saved}", "1 is not wanted", f"2 {saved}"])

    async def test_poison(self) -> None:
        here, project = await places("go-poison"), await go_project()
        await project.run_part("franz")
        first, _ = await here.fill()
        await here.lose(first)
        command = await built("poison.go", here.group("demo"))
        self.assertEqual(
            await project.lines_of(command, 3), ["0 is set aside", "1 8 bytes", f"2 {len(BLOB)} bytes"]
        )

    async def test_by_size(self) -> None:
        here, project = await places("go-by-size"), await go_project()
        await project.run_part("franz")
        command = await built("by_size.go", here.kafka)
        self.assertEqual(await project.output_of(command), "published at 0:0\npublished at 0:1\n")
        consume = await built("consume.go", here.kafka)
        self.assertEqual(
            await project.lines_of(consume, 2),
            ["0 8 bytes, offloaded: false", f"1 {LARGE} bytes, offloaded: true"],
        )

    async def test_proxy_source(self) -> None:
        here, project = await places("go-proxy"), await go_project()
        await project.run_part("franz")
        await here.fill()
        command = await built("proxy_source.go", {**here.kafka, **here.http})
        self.assertEqual(
            await project.lines_of(command, 3), [f"0 {len(BLOB)} bytes", "1 8 bytes", f"2 {len(BLOB)} bytes"]
        )

    async def test_metrics(self) -> None:
        here, project = await places("go-metrics"), await go_project()
        await project.run_part("franz")
        await project.run_part("metrics")
        _, second = await here.fill()
        await here.lose(second)
        address = f"127.0.0.1:{free_port()}"
        command = await built("metrics.go", {**here.kafka, "127.0.0.1:2112": address})
        wanted = [
            f'lfs_client_reads_total{{result="ok",topic="{here.topic}"}} 1',
            f'lfs_client_reads_total{{result="blob-missing",topic="{here.topic}"}} 1',
            f'lfs_client_read_bytes_total{{topic="{here.topic}"}} {len(BLOB)}',
            "lfs_client_read_seconds_count 2",
        ]
        await in_thread(scraped, command, project, f"http://{address}/metrics", wanted)

    async def test_testing(self) -> None:
        project = await go_project()
        program = project.paste("testing_test.go", {})
        self.assertIn("ok", await project.output_of(["go", "test", program]))

    async def test_confluent(self) -> None:
        require_tools("go", ("go", "gcc"))
        here, project = await places("go-confluent"), await go_project()
        await project.run_part("confluent")
        command = await built("confluent.go", here.group("demo"))
        self.assertEqual(
            await project.output_of(command),
            f"published at 0:0\n0 {LARGE} bytes, offloaded: true\n",
        )
