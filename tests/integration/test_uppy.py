"""Uploads by Uppy in a real Chromium, from a page of another origin; skipped where a tool is missing."""

# mypy: disallow-untyped-calls=False

from __future__ import annotations

import hashlib
import json
from typing import Any, cast

from twisted.internet import reactor
from twisted.trial.unittest import TestCase
from twisted.web.resource import Resource
from twisted.web.server import Site
from twisted.web.static import Data

from tests.integration.browser import MISSING, start_browser
from tests.integration.clients.uppy import bundle
from tests.integration.http_door import read_records
from tests.integration.proxy import shared_proxy
from tests.integration.stack import in_thread, stack

PAGE = b"<!doctype html><meta charset=utf-8><title>Uppy</title><script src=page.js></script>"
FILES = {
    "photo é.png": ("image/png", "a picture", "image/png"),
    "no-ending": ("", "of a type that the browser does not know", "application/octet-stream"),
    "empty.txt": ("text/plain", "", "text/plain"),
    "large.csv": ("text/csv", "x" * 3_000_000, "text/csv"),
}
"""Name to the type that the page knows, the content, and the type that the envelope is to have."""


class UppyTests(TestCase):
    timeout = 240
    if MISSING:
        skip = "chromium and chromium-driver are not installed: Uppy was not tested"

    async def test_files_become_records(self) -> None:
        script = await in_thread(bundle)
        servers, proxy = await stack(), await shared_proxy()
        topic = await servers.new_topic("uppy")
        root = Resource()
        root.putChild(b"", Data(PAGE, "text/html"))
        root.putChild(b"page.js", Data(script, "text/javascript"))
        port = cast(Any, reactor).listenTCP(0, Site(root), interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        browser = await in_thread(start_browser)
        self.addCleanup(in_thread, browser.quit)

        def use() -> dict[str, Any]:
            browser.set_script_timeout(60)
            browser.get(f"http://127.0.0.1:{port.getHost().port}/")
            files = [[name, type, text] for name, (type, text, _) in FILES.items()]
            said: dict[str, Any] = browser.execute_async_script(
                "const [endpoint, files, done] = arguments;"
                "upload(endpoint, files).then(done, (error) => done({ failed: [String(error)] }))",
                f"{proxy.http}/v1/topics/{topic}/uploads",
                files,
            )
            return said

        said = await in_thread(use)
        self.assertEqual(said["failed"], [])
        records = await in_thread(read_records, servers, topic)
        told = [f"/v1/topics/{topic}/partitions/0/records/{record.offset}" for record in records]
        self.assertEqual(sorted(said["records"]), sorted(told))
        found = {dict(record.headers)["lfs-filename"].decode(): record for record in records}
        self.assertEqual(found.keys(), FILES.keys())
        for name, (_, text, content_type) in FILES.items():
            self.assertEqual(found[name].key, b"user-1")
            envelope = json.loads(found[name].value)
            self.assertEqual(envelope["content_type"], content_type)
            self.assertEqual(envelope["checksum"], hashlib.sha256(text.encode()).hexdigest())
