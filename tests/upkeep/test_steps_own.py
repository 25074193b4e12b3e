"""What a check says of the proxy's own files, certificates and ports."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase

from lfsproxy.devstack.ports import HOST, free_port
from lfsproxy.errors import SettingError
from lfsproxy.settings import load_settings
from lfsproxy.upkeep.steps import own
from lfsproxy.upkeep.steps.chain import Step
from lfsproxy.upkeep.steps.memory import MIB
from lfsproxy.upkeep.steps.own import OwnSteps
from tests.certificates import Authority


class OwnStepsTestCase(TestCase):
    def setUp(self) -> None:
        self.folder = Path(self.mktemp())
        self.folder.mkdir()
        self.settings = {
            "LFS_HTTP_ADDR": f"{HOST}:0",
            "LFS_METRICS_ADDR": f"{HOST}:0",
            "LFS_KAFKA_ADDR": f"{HOST}:0",
            "LFS_KAFKA_BROKER_PORT_BASE": str(free_port() - 1),
        }
        self.running = False
        self.checked: dict[str, Callable[[], object]] = {}

    async def is_running(self) -> bool:
        return self.running

    def steps(self, **settings: str) -> OwnSteps:
        loaded = load_settings({**self.settings, **settings}, {})
        return OwnSteps(reactor, loaded, self.checked, self.is_running, lambda step: None)

    async def files(self, **settings: str) -> dict[str, Step]:
        steps = self.steps(**settings)
        await steps.files()
        return {step.name.removeprefix("settings: "): step for step in steps.chains[0].steps}

    async def ports(self, *nodes: int, **settings: str) -> dict[str, Step]:
        steps = self.steps(**settings)
        await steps.ports(nodes)
        return {step.name.removeprefix("listener: "): step for step in steps.chains[1].steps}


class FileTests(OwnStepsTestCase):
    async def test_a_certificate_and_its_days(self) -> None:
        authority = Authority(self.folder)
        for days, warning in ((100, False), (3, True)):
            own = authority.issue("own", days=days + 0.5)
            found = await self.files(LFS_HTTP_TLS_CERT=str(own.certificate), LFS_HTTP_TLS_KEY=str(own.key))
            step = found["LFS_HTTP_TLS_CERT"]
            self.assertEqual((step.ok, step.note), (True, f"valid for {days} more days"))
            self.assertEqual(step.warning, warning)

    async def test_a_client_certificate_that_has_expired(self) -> None:
        own = Authority(self.folder).issue("own", days=-1)
        found = await self.files(
            LFS_KAFKA_SECURITY_PROTOCOL="SSL",
            LFS_KAFKA_TLS_CERT=str(own.certificate),
            LFS_KAFKA_TLS_KEY=str(own.key),
        )
        step = found["LFS_KAFKA_TLS_CERT"]
        self.assertEqual(step.wrong, "the certificate of LFS_KAFKA_TLS_CERT has expired")

    async def test_each_file_is_looked_at_also_where_another_is_wrong(self) -> None:
        def refuse() -> Any:
            raise SettingError("no keys")

        self.checked = {"LFS_HTTP_API_KEYS_FILE": refuse}
        found = await self.files(LFS_KAFKA_SASL_PASSWORD_FILE=str(self.folder / "nowhere"))
        self.assertIn("LFS_KAFKA_SASL_PASSWORD_FILE", found["values and files"].wrong)
        self.assertEqual(found["LFS_HTTP_API_KEYS_FILE"].wrong, "no keys")
        self.assertEqual(found["memory"].ok, True)

    async def test_a_file_that_is_not_there_is_told_once(self) -> None:
        nowhere = str(self.folder / "nowhere")
        own = Authority(self.folder).issue("own")
        steps = self.steps(LFS_HTTP_TLS_CERT=str(own.certificate), LFS_HTTP_TLS_KEY=nowhere)
        await steps.files()
        wrong = [step.wrong for step in steps.chains[0].steps if step.ok is False]
        self.assertEqual([text.partition(" is ")[0] for text in wrong], ["LFS_HTTP_TLS_KEY"])

        def another() -> None:
            raise SettingError("LFS_S3_CA is 'x': it is none", settings=["LFS_S3_CA"])

        self.assertRaises(SettingError, steps.once, another)
        self.assertEqual(steps.once(lambda: 7), 7)

    async def test_a_bug_in_the_look_for_a_proxy_does_not_hide_the_ports(self) -> None:
        async def broken() -> bool:
            raise TypeError("a mistake")

        self.patch(self, "is_running", broken)
        found = await self.ports()
        self.assertEqual([step.ok for step in found.values()], [False, True, True, True])

    async def test_memory(self) -> None:
        for limit, note, warning in (
            (None, "no limit is known", False),
            ((4000 * MIB, "this machine has"), "this machine has 4000 MiB", False),
            (
                (1000 * MIB, "the control group allows"),
                "lower LFS_UPLOAD_MEMORY, LFS_MAX_PASSTHROUGH_SIZE or LFS_WORKERS",
                True,
            ),
        ):
            self.patch(own, "memory_limit", lambda limit=limit: limit)
            step = (await self.files(LFS_UPLOAD_MEMORY="1GiB"))["memory"]
            self.assertEqual((step.ok, step.warning), (True, warning))
            self.assertIn(note, step.note)

    async def test_the_advertised_host(self) -> None:
        found = await self.files(LFS_KAFKA_ADVERTISED_HOST="127.0.0.9")
        self.assertEqual(found["LFS_KAFKA_ADVERTISED_HOST"].note, "127.0.0.9")


class PortTests(OwnStepsTestCase):
    async def test_ports_that_are_free_stay_free(self) -> None:
        base = int(self.settings["LFS_KAFKA_BROKER_PORT_BASE"])
        found = await self.ports(1)
        self.assertEqual({step.note for step in found.values()}, {"free"})
        self.assertIn(f"LFS_KAFKA_BROKER_PORT_BASE, {HOST}:{base + 1}", found)
        with socket.create_server((HOST, base + 1)):
            """It can be bound."""

    async def test_ports_are_let_go_of_where_the_wait_for_it_is_cancelled(self) -> None:
        base = int(self.settings["LFS_KAFKA_BROKER_PORT_BASE"])
        checking = Deferred.fromCoroutine(self.steps().ports([1]))
        self.assertNoResult(checking)  # It waits for its ports to be closed.
        checking.cancel()
        await self.assertFailure(checking, CancelledError)
        await deferLater(reactor, 0, lambda: None)
        with socket.create_server((HOST, base + 1)):
            """It can be bound."""

    async def test_a_port_in_use(self) -> None:
        with socket.create_server((HOST, 0)) as taken:
            address = f"{HOST}:{taken.getsockname()[1]}"
            step = (await self.ports(LFS_METRICS_ADDR=address))[f"LFS_METRICS_ADDR, {address}"]
            self.assertEqual(step.wrong, f"cannot listen at {address}: the port is already in use")
            self.assertEqual(step.do, "LFS_METRICS_ADDR says where to listen instead")
            self.running = True
            step = (await self.ports(LFS_METRICS_ADDR=address))[f"LFS_METRICS_ADDR, {address}"]
            self.assertTrue(step.ok and step.warning)

    async def test_two_settings_that_name_one_port(self) -> None:
        broker = int(self.settings["LFS_KAFKA_BROKER_PORT_BASE"]) + 1
        address = f"{HOST}:{broker}"
        for given in (address, f"0.0.0.0:{broker}"):
            found = await self.ports(1, LFS_HTTP_ADDR=given)
            self.assertEqual(found[f"LFS_HTTP_ADDR, {given}"].note, "free")
            step = found[f"LFS_KAFKA_BROKER_PORT_BASE, {address}"]
            self.assertEqual(step.wrong, f"cannot listen at {address}: LFS_HTTP_ADDR names that port, too")
            self.assertEqual(step.do, "LFS_KAFKA_BROKER_PORT_BASE says where to listen instead")
            with socket.create_server((HOST, broker)):
                """It is let go of."""

    async def test_a_broker_whose_port_would_be_too_high(self) -> None:
        step = (await self.ports(7, LFS_KAFKA_BROKER_PORT_BASE="65530"))[
            "LFS_KAFKA_BROKER_PORT_BASE, broker 7"
        ]
        self.assertEqual(step.wrong, "broker 7 cannot be reached through the proxy: its port would be 65537")
        self.assertEqual(step.do, "set LFS_KAFKA_BROKER_PORT_BASE so that base + 7 is at most 65535")
