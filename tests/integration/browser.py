"""A headless Chromium for tests of pages: Debian's chromium and chromium-driver, or others of these names."""

# mypy: disallow-untyped-calls=False

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.support.ui import WebDriverWait
from twisted.trial.unittest import TestCase

from tests.integration.proxy import ProxyProcess, shared_proxy
from tests.integration.stack import Stack, in_thread, stack

SECONDS = 30
SCREENSHOTS = os.environ.get("LFS_SCREENSHOTS")

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
DRIVER = shutil.which("chromedriver")
MISSING = CHROMIUM is None or DRIVER is None


def start_browser() -> Chrome:
    """A browser with nothing in it, that asks nobody but this machine."""
    options = ChromeOptions()
    options.binary_location = CHROMIUM or ""
    for argument in (
        "--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--window-size=900,1000",
        "--no-proxy-server", "--disable-background-networking", "--hide-scrollbars",
    ):  # fmt: skip
        options.add_argument(argument)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    return Chrome(options=options, service=Service(DRIVER))


class PageCase(TestCase):
    """A browser, and the shared proxy with its servers."""

    timeout = 180
    if MISSING:
        skip = "chromium and chromium-driver are not installed: the pages were not tested"
    servers: Stack
    proxy: ProxyProcess
    browser: Chrome

    async def setUp(self) -> None:  # type: ignore[override]
        self.servers = await stack()
        self.proxy = await shared_proxy()
        self.browser = await in_thread(start_browser)
        self.addCleanup(in_thread, self.browser.quit)

    def file(self, name: str, data: bytes) -> str:
        folder = Path(self.mktemp())
        folder.mkdir()
        path = folder / name
        path.write_bytes(data)
        return str(path.resolve())

    # what the browser does, in a thread

    def wait(self, selector: str, text: str = "", seconds: float = SECONDS) -> Any:
        """The first element of the selector that shows the text."""

        def shown(browser: Chrome) -> Any:
            found = browser.find_elements(By.CSS_SELECTOR, selector)
            return next((one for one in found if one.is_displayed() and text in one.text), False)

        return WebDriverWait(self.browser, seconds).until(shown, f"{selector} does not show {text!r}")

    def wait_published(self, item: str) -> None:
        """Until the upload at that XPath is done."""

        def done(browser: Chrome) -> bool:
            return browser.find_element(By.XPATH, item + "//p[@class='state']").text == "Published"

        WebDriverWait(self.browser, SECONDS).until(done, item)

    def fill(self, selector: str, text: str) -> None:
        field = self.browser.find_element(By.CSS_SELECTOR, selector)
        field.clear()
        field.send_keys(text)

    def choose(self, *paths: str) -> None:
        self.browser.find_element(By.ID, "files").send_keys("\n".join(paths))

    def shot(self, name: str) -> None:
        if SCREENSHOTS:
            self.browser.save_screenshot(str(Path(SCREENSHOTS, f"{name}.png")))

    def dark(self) -> None:
        feature = {"name": "prefers-color-scheme", "value": "dark"}
        self.browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})

    def check_log(self) -> None:
        """Nothing was refused by the Content-Security-Policy, and no script failed.

        Answers of an API that lacks something, which the page copes with, are of the source "network".
        """
        log = self.browser.get_log("browser")
        self.assertEqual([entry for entry in log if entry["source"] != "network"], [])
