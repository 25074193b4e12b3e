"""The pages at / and /docs in a real headless Chromium, in front of the real Kafka and S3 server.

Wants Debian's chromium and chromium-driver (or others of these names on PATH); skipped where they are not.
With LFS_SCREENSHOTS=docs/images the pictures of the documentation are taken anew.
"""

# mypy: disallow-untyped-calls=False

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any, cast

from selenium.webdriver import ActionChains
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait
from twisted.internet import reactor
from twisted.web.proxy import ReverseProxyResource
from twisted.web.resource import Resource
from twisted.web.server import Site

from tests.integration.browser import SECONDS, PageCase
from tests.integration.http_door import read_records
from tests.integration.stack import in_thread
from tests.integration.tus_double import ENVELOPE, RECORD, TusDouble


class PageTests(PageCase):
    async def test_files_become_records(self) -> None:
        topic = await self.servers.new_topic("page")
        data = {"report é.txt": b"text" * 1000, "empty.bin": b"", "large.bin": os.urandom(9 * 1024 * 1024)}
        paths = [self.file(name, content) for name, content in data.items()]

        def use() -> list[dict[str, Any]]:
            self.browser.get(f"{self.proxy.http}/")
            self.fill("#topic", topic)
            self.fill("#key", "user-1")
            self.choose(*paths)
            results = []
            for name in data:
                item = f"//li[h3[text()='{name}']]"
                self.wait_published(item)
                link = self.browser.find_element(By.XPATH, item + "//a[@class='download']")
                text = self.browser.find_element(By.XPATH, item + "//pre").text
                progress = self.browser.find_element(By.XPATH, item + "//progress")
                self.assertEqual(progress.get_attribute("value"), "100")
                self.assertEqual(link.get_attribute("download"), name)
                results.append({"link": link.get_attribute("href"), "envelope": json.loads(text or "null")})
            self.shot("upload-page")
            self.dark()
            self.shot("upload-page-dark")
            self.check_log()
            link = self.browser.find_element(By.XPATH, "//li[h3[text()='large.bin']]//a[@class='download']")
            folder = Path(downloads)
            folder.mkdir()
            behavior = {"behavior": "allow", "downloadPath": str(folder.resolve())}
            self.browser.execute_cdp_cmd("Browser.setDownloadBehavior", behavior)
            link.click()
            WebDriverWait(self.browser, SECONDS).until(lambda _: (folder / "large.bin").exists())
            self.assertTrue((folder / "large.bin").read_bytes() == data["large.bin"])
            return results

        downloads = self.mktemp()
        results = await in_thread(use)
        records = {record.offset: record for record in await in_thread(read_records, self.servers, topic)}
        self.assertEqual(len(records), len(data))
        for (name, content), result in zip(data.items(), results, strict=True):
            path, _, offset = result["link"].rpartition("/")
            self.assertEqual(path, f"{self.proxy.http}/v1/topics/{topic}/partitions/0/records")
            record = records[int(offset)]
            # An upload by tus is answered with where its record is; the page asks for the envelope.
            self.assertEqual(result["envelope"], json.loads(record.value))
            self.assertEqual(result["envelope"]["checksum"], hashlib.sha256(content).hexdigest())
            self.assertEqual((record.key, dict(record.headers)), (b"user-1", {"lfs-filename": name.encode()}))

    async def test_files_can_be_dropped(self) -> None:
        topic = await self.servers.new_topic("page")

        def use() -> None:
            self.browser.get(f"{self.proxy.http}/?topic={topic}")
            self.browser.execute_script("""
                const transfer = new DataTransfer();
                transfer.items.add(new File(["dropped"], "dropped.txt", { type: "text/plain" }));
                const drop = document.getElementById("drop");
                drop.dispatchEvent(new DragEvent("drop", { dataTransfer: transfer, bubbles: true }));
            """)
            self.wait(".state", "Published")

        await in_thread(use)
        (record,) = await in_thread(read_records, self.servers, topic)
        self.assertEqual(json.loads(record.value)["content_length"], 7)

    async def test_errors_are_shown_as_the_api_tells_them(self) -> None:
        path = self.file("a.txt", b"a")

        def use() -> None:
            self.browser.get(f"{self.proxy.http}/")
            self.fill("#topic", "not a topic")
            self.choose(path)
            self.wait("[role=alert]", "The topic needs")
            focused = self.browser.switch_to.active_element
            self.assertEqual(
                (focused.get_attribute("id"), focused.get_attribute("aria-invalid")), ("topic", "true")
            )
            self.assertEqual(self.browser.find_elements(By.CSS_SELECTOR, "#uploads li"), [])
            self.fill("#topic", "__consumer_offsets")
            self.choose(path)
            self.wait(
                ".failed .state", "The request is not valid: the topic __consumer_offsets is Kafka's own"
            )
            self.assertIn(
                "Kafka's own", self.browser.find_element(By.ID, "said").get_attribute("textContent")
            )
            self.assertIsNone(self.browser.find_element(By.ID, "topic").get_attribute("aria-invalid"))
            self.assertFalse(self.browser.find_element(By.TAG_NAME, "progress").is_displayed())

        await in_thread(use)

    async def test_pause_and_resume_at_another_origin_by_keyboard(self) -> None:
        data = os.urandom(3 * 1024 * 1024)
        path = self.file("film.bin", data)
        api = TusDouble(take=1_000_000)
        address = api.listen()
        self.addCleanup(lambda: api.port.stopListening())

        def use() -> Any:
            self.browser.get(f"{self.proxy.http}/?api={address}&topic=t")
            self.fill("#api-key", "secret")
            self.choose(path)
            self.wait(".percent", "100 %")
            pause = self.wait(".pause")
            self.assertEqual(pause.accessible_name, "Pause film.bin")
            pause.send_keys(Keys.SPACE)
            self.wait(".state", "Paused")
            self.shot("upload-page-paused")
            resume = self.browser.switch_to.active_element
            self.assertEqual(resume.accessible_name, "Resume film.bin")
            resume.send_keys(Keys.ENTER)
            self.wait(".state", "Published")
            link = self.wait(".download")
            stored = self.browser.execute_script(
                "return [localStorage.length, sessionStorage.length, document.cookie]"
            )
            self.assertEqual(stored, [0, 0, ""])
            self.check_log()
            return link.get_attribute("href"), json.loads(self.wait(".envelope").text)

        link, envelope = await in_thread(use)
        self.assertEqual(hashlib.sha256(api.data).digest(), hashlib.sha256(data).digest())
        self.assertEqual(api.seen, ["POST", "PATCH", "HEAD", "PATCH", "GET"])
        self.assertEqual(api.metadata["filename"], "film.bin")
        self.assertEqual(api.keys, {"Bearer secret"})
        self.assertEqual((link, envelope), (f"{address}{RECORD}", ENVELOPE))

    async def test_below_a_base_path(self) -> None:
        topic = await self.servers.new_topic("page")
        root = Resource()
        root.putChild(b"base", ReverseProxyResource("127.0.0.1", self.proxy.http_port, b""))
        port = cast(Any, reactor).listenTCP(0, Site(root), interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        address = f"http://127.0.0.1:{port.getHost().port}/base"
        path = self.file("a.txt", b"abc")

        def use() -> None:
            self.browser.get(f"{address}/")
            self.fill("#topic", topic)
            self.choose(path)
            self.wait(".state", "Published")
            link = self.wait(".download").get_attribute("href")
            self.assertEqual(link, f"{address}/v1/topics/{topic}/partitions/0/records/0")
            self.browser.get(f"{address}/docs")
            self.wait(".opblock-summary-path", "records")
            self.wait("#operations-Health-getHealth .opblock-summary-control").click()
            self.wait(".try-out__btn").click()
            self.wait("button.execute").click()
            self.wait(".request-url", f"{address}/healthz")
            self.wait(".live-responses-table", "alive")
            self.check_log()

        await in_thread(use)

    async def test_everything_has_a_name_and_is_reached_by_tab(self) -> None:
        def use() -> None:
            self.browser.get(f"{self.proxy.http}/")
            self.browser.find_element(By.CSS_SELECTOR, "summary").click()
            for field in self.browser.find_elements(By.CSS_SELECTOR, "input, a, summary"):
                self.assertTrue(field.accessible_name, field.get_attribute("outerHTML"))
            self.browser.execute_script("document.activeElement.blur(); window.scrollTo(0, 0)")
            reached = []
            self.browser.get(f"{self.proxy.http}/")
            for _ in range(9):
                ActionChains(self.browser).send_keys(Keys.TAB).perform()
                reached.append(self.browser.switch_to.active_element.accessible_name)
            for name in ("Skip to choosing files", "HTTP API", "Topic", "Key (optional)"):
                self.assertIn(name, reached)
            self.assertTrue(any("Choose files" in name for name in reached), reached)

        await in_thread(use)

    async def test_the_docs_show_every_operation(self) -> None:
        def use() -> None:
            self.browser.get(f"{self.proxy.http}/docs")
            self.wait(".opblock-summary-path", "records")
            self.shot("docs-page")
            self.check_log()
            document = self.browser.execute_async_script(
                "const done = arguments[0]; fetch('openapi.json').then((a) => a.json()).then(done)"
            )
            operations = sum(len(methods) for methods in document["paths"].values())
            self.assertEqual(len(self.browser.find_elements(By.CSS_SELECTOR, ".opblock")), operations)

        await in_thread(use)
