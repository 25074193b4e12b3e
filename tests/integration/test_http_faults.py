"""Whatever dies or hangs in the midst of an upload over HTTP: a clear answer, and no envelope or one.

On the real Kafka, S3 server and proxy, killed by SIGKILL and frozen by SIGSTOP: see ``http_faults``.
"""

from __future__ import annotations

from twisted.internet import reactor
from twisted.trial.unittest import TestCase

from lfsproxy.devstack import KafkaServer, S3Server
from tests.integration.http_faults import MIB, Case, Fault, Form, Observed, Scene
from tests.integration.proxy import ProxyProcess
from tests.integration.stack import BUCKET, Stack, in_thread

SIZE = 24 * MIB
LARGE = 256 * MIB
POINTS = tuple(zip(Form, (1, 50, 99), strict=True))

_scene: Scene | None = None


async def scene() -> Scene:
    """Servers of this file's own, since its tests kill them."""
    global _scene
    if _scene is None:
        servers = Stack(KafkaServer(), S3Server(), BUCKET)
        for one in (servers.kafka, servers.s3):
            reactor.addSystemEventTrigger("after", "shutdown", one.close)
        await in_thread(servers.kafka.start)
        await in_thread(servers.s3.start)
        await in_thread(servers.s3.create_bucket, BUCKET)
        proxy = ProxyProcess({**servers.environment, "LFS_S3_RETRY_TIMEOUT": "5"})
        reactor.addSystemEventTrigger("before", "shutdown", proxy.close)
        await in_thread(proxy.start)
        _scene = Scene(servers, proxy)
    return _scene


class FaultTests(TestCase):
    timeout = 400

    async def observe(self, fault: Fault, form: Form, percent: int, size: int = SIZE) -> Observed:
        """Run a case and hold it to what goes for every case."""
        case = Case(fault, form, percent, size)
        where = await scene()
        topic = await where.servers.new_topic("faults")
        seen = await in_thread(where.run, case, topic)
        told = (str(case), seen)
        self.assertEqual(seen.damaged, 0, told)
        self.assertLessEqual(seen.records, 1, told)
        if seen.answer == "201":
            self.assertEqual(seen.records, 1, told)
        elif not seen.answer.startswith("504") and seen.answer not in ("closed", "left"):
            self.assertEqual(seen.records, 0, told)
        if fault is not Fault.PROXY_KILLED:
            self.assertEqual(seen.unfinished, 0, told)
            self.assertLessEqual(seen.unnamed, seen.orphans, told)
        return seen

    async def assertNothing(
        self, fault: Fault, answer: str, points: tuple[tuple[Form, int], ...] = POINTS
    ) -> None:
        """With this answer, in every form, nothing is published, left or counted as left."""
        for form, percent in points:
            seen = await self.observe(fault, form, percent)
            told = (fault, form, percent, seen)
            self.assertEqual(seen.answer, answer, told)
            self.assertEqual((seen.records, seen.unnamed, seen.unfinished, seen.orphans), (0, 0, 0, 0), told)

    async def test_a_client_that_closes(self) -> None:
        points = tuple((form, percent) for form in Form for percent in (1, 50, 99))
        await self.assertNothing(Fault.CLIENT_CLOSES, "left", points)

    async def test_a_client_that_resets(self) -> None:
        await self.assertNothing(Fault.CLIENT_RESETS, "left")

    async def test_a_store_that_is_killed(self) -> None:
        await self.assertNothing(Fault.S3_KILLED, "503 /problems/store-unavailable")

    async def test_a_store_that_hangs(self) -> None:
        await self.assertNothing(Fault.S3_HANGS, "503 /problems/store-unavailable")

    async def test_a_broker_that_is_killed(self) -> None:
        await self.assertNothing(Fault.BROKER_KILLED, "503 /problems/broker-unavailable", POINTS[::2])

    async def test_a_broker_that_hangs(self) -> None:
        await self.assertNothing(Fault.BROKER_HANGS, "503 /problems/broker-unavailable", POINTS[1:2])

    async def test_a_proxy_that_hangs_goes_on(self) -> None:
        for form, percent in POINTS:
            seen = await self.observe(Fault.PROXY_HANGS, form, percent)
            self.assertEqual((seen.answer, seen.records, seen.unnamed, seen.orphans), ("201", 1, 0, 0))

    async def test_a_proxy_that_hangs_until_its_client_has_left(self) -> None:
        await self.assertNothing(Fault.PROXY_HANGS_TOO_LONG, "left")

    async def test_a_proxy_that_is_killed(self) -> None:
        for form, percent in POINTS:
            seen = await self.observe(Fault.PROXY_KILLED, form, percent)
            self.assertEqual((seen.answer, seen.records, seen.unnamed), ("closed", 0, 0), (form, percent))
            # No process is left that could abort it: a lifecycle rule of the bucket does.
            self.assertEqual(seen.unfinished, int(percent > 1), (form, percent))

    async def test_whatever_happens_behind_the_last_byte(self) -> None:
        for fault in (Fault.CLIENT_CLOSES, Fault.S3_KILLED, Fault.BROKER_KILLED, Fault.PROXY_KILLED):
            await self.observe(fault, Form.RAW, 100)

    async def test_a_large_upload_whose_client_is_cut(self) -> None:
        seen = await self.observe(Fault.CLIENT_CLOSES, Form.RAW, 50, LARGE)
        self.assertEqual((seen.answer, seen.records, seen.unnamed, seen.orphans), ("left", 0, 0, 0))

    async def test_a_large_upload_whose_proxy_is_killed(self) -> None:
        seen = await self.observe(Fault.PROXY_KILLED, Form.CHUNKED, 50, LARGE)
        self.assertEqual((seen.answer, seen.records, seen.unnamed, seen.unfinished), ("closed", 0, 0, 1))

    async def test_a_large_upload_whose_store_is_killed(self) -> None:
        seen = await self.observe(Fault.S3_KILLED, Form.MULTIPART, 99, LARGE)
        self.assertEqual(seen.answer, "503 /problems/store-unavailable")
        self.assertEqual((seen.records, seen.unnamed, seen.orphans), (0, 0, 0))
