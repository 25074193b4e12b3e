"""The upload page on a network that breaks: an upload waits, asks how far it is, and goes on by itself."""

# mypy: disallow-untyped-calls=False

from __future__ import annotations

import hashlib
import json
import os
import time
from typing import Any

from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait

from tests.integration.browser import PageCase
from tests.integration.http_door import read_records
from tests.integration.slow_link import SlowLink
from tests.integration.stack import in_thread
from tests.integration.tus_double import TusDouble

MIB = 1024 * 1024
SIZE = 12 * MIB
RATE = 3 * MIB
LONG = 90
"""Seconds, for uploads that may have to wait until a connection counts as lost."""


class NetworkTests(PageCase):
    def link(self) -> SlowLink:
        """A slow way to the proxy."""
        link = SlowLink(self.proxy.http, RATE)
        self.addCleanup(link.__exit__)
        return link.__enter__()

    def double(self, **options: Any) -> tuple[TusDouble, str]:
        api = TusDouble(**options)
        address = api.listen()
        self.addCleanup(lambda: api.port.stopListening())
        return api, address

    def until_passed(self, link: SlowLink, count: int) -> None:
        WebDriverWait(self.browser, LONG, 0.05).until(lambda _: link.passed >= count)

    async def assertPublishedOnce(self, topic: str, data: bytes) -> None:
        (record,) = await in_thread(read_records, self.servers, topic)
        self.assertEqual(json.loads(record.value)["checksum"], hashlib.sha256(data).hexdigest())

    async def test_connections_that_are_cut_do_not_end_an_upload(self) -> None:
        topic = await self.servers.new_topic("page")
        data = os.urandom(SIZE)
        path = self.file("cut.bin", data)
        link = self.link()

        def use() -> None:
            self.browser.get(f"{link.endpoint}/?topic={topic}")
            self.choose(path)
            for count in (SIZE // 4, SIZE * 3 // 4):
                self.until_passed(link, count)
                link.cut()
            self.wait(".state", "Published", LONG)
            self.check_log()

        await in_thread(use)
        # What had arrived was not sent again, but for the bytes on their way.
        self.assertLess(link.passed, 2 * SIZE)
        await self.assertPublishedOnce(topic, data)

    async def test_a_page_without_network_goes_on_when_it_is_back(self) -> None:
        topic = await self.servers.new_topic("page")
        data = os.urandom(SIZE)
        path = self.file("away.bin", data)
        link = self.link()

        def network(offline: bool) -> None:
            conditions = {"offline": offline, "latency": 0, "downloadThroughput": -1, "uploadThroughput": -1}
            self.browser.execute_cdp_cmd("Network.emulateNetworkConditions", conditions)

        def use() -> float:
            self.browser.execute_cdp_cmd("Network.enable", {})
            self.browser.get(f"{link.endpoint}/?topic={topic}")
            self.choose(path)
            self.until_passed(link, SIZE // 4)
            network(offline=True)
            link.cut()
            self.wait(".state", "There is no network. The upload goes on when it is back.")
            network(offline=False)
            back = time.monotonic()
            self.wait(".state", "Published", LONG)
            return time.monotonic() - back

        # Not only after the wait of half a minute.
        self.assertLess(await in_thread(use), 25)
        await self.assertPublishedOnce(topic, data)

    async def test_the_same_file_goes_on_after_a_reload(self) -> None:
        data = os.urandom(3 * MIB)
        path = self.file("film.bin", data)
        api, address = self.double(take=MIB)

        def use() -> None:
            for _ in range(2):
                self.browser.get("about:blank")
                self.browser.get(f"{self.proxy.http}/?api={address}&topic=t")
                self.choose(path)
                self.wait(".percent", "100 %")
            self.wait(".state", "Published")
            kept = self.browser.execute_script("return localStorage.length")
            self.assertEqual(kept, 0)

        await in_thread(use)
        self.assertEqual(hashlib.sha256(api.data).digest(), hashlib.sha256(data).digest())
        self.assertEqual(api.seen, ["POST", "PATCH", "HEAD", "PATCH", "GET"])

    async def test_answers_that_pass_are_waited_for(self) -> None:
        path = self.file("a.txt", b"abc")
        api, address = self.double(refuse=[503, 423, 503])

        def use() -> None:
            self.browser.get(f"{self.proxy.http}/?api={address}&topic=t")
            self.choose(path)
            self.wait(".state", "Not now. Trying again in 1 s.")
            self.wait(".state", "The API still works on what it got before.")
            self.wait(".state", "Published")

        await in_thread(use)
        self.assertEqual(api.data, b"abc")
        self.assertEqual(api.seen, ["POST", "PATCH", *(["HEAD", "PATCH"] * 3), "GET"])

    async def test_a_refused_file_shows_no_progress(self) -> None:
        path = self.file("a.txt", b"abc")
        api, address = self.double(refuse=[413])

        def use() -> None:
            self.browser.get(f"{self.proxy.http}/?api={address}&topic=t")
            self.choose(path)
            self.wait(".failed .state", "Not now")
            for selector in ("progress", ".percent", ".resume"):
                self.assertFalse(
                    self.browser.find_element(By.CSS_SELECTOR, selector).is_displayed(), selector
                )

        await in_thread(use)
        self.assertEqual(api.seen, ["POST", "PATCH"])

    async def test_an_envelope_that_cannot_be_fetched_is_told(self) -> None:
        path = self.file("a.txt", b"abc")
        _, address = self.double(envelope_status=404)

        def use() -> None:
            self.browser.get(f"{self.proxy.http}/?api={address}&topic=t")
            self.choose(path)
            self.wait(".state", "Published")
            self.wait(".envelope", "The file is published, but its envelope could not be fetched. It is gone")

        await in_thread(use)

    async def test_an_api_that_is_not_there_can_be_tried_again(self) -> None:
        path = self.file("a.txt", b"abc")

        def use() -> None:
            # Nobody listens at the discard port.
            self.browser.get(f"{self.proxy.http}/?api=http://127.0.0.1:9&topic=t")
            self.choose(path)
            self.wait(".state", "The connection was lost. Trying again in")
            self.wait(".failed .state", "The API could not be reached.")
            self.assertTrue(self.browser.find_element(By.CSS_SELECTOR, ".resume").is_displayed())

        await in_thread(use)
