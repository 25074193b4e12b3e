"""The lock of jars: what is read from it, what is checked, and what a person is told."""

from __future__ import annotations

import hashlib
import http.server
import threading
from pathlib import Path

from twisted.trial import unittest

from lfsproxy.devstack.errors import DevstackError
from lfsproxy.devstack.jars import LOCK_FILE, Jar, class_path, missing_bytes, read_lock
from lfsproxy.devstack.lock import SETS

CONTENT = b"not really a jar"
DIGEST = hashlib.sha256(CONTENT).hexdigest()


class Repository:
    """A Maven repository on the loopback interface; ``files`` maps paths to contents."""

    def __init__(self, test: unittest.SynchronousTestCase, files: dict[str, bytes]) -> None:
        self.asked: list[str] = []
        asked = self.asked

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                asked.append(self.path)
                content = files.get(self.path)
                self.send_response(404 if content is None else 200)
                self.send_header("Content-Length", str(len(content or b"")))
                self.end_headers()
                self.wfile.write(content or b"")

            def log_message(self, format: str, *args: object) -> None:
                """Tests are silent."""

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()

        def end() -> None:
            server.shutdown()
            server.server_close()
            thread.join()

        test.addCleanup(end)
        self.url = f"http://127.0.0.1:{server.server_port}"


class JarTests(unittest.SynchronousTestCase):
    def setUp(self) -> None:
        self.folder = Path(self.mktemp())
        self.folder.mkdir()
        self.cache = self.folder / "cache"

    def lock(self, *jars: Jar) -> Path:
        file = self.folder / "lock.toml"
        lines = [f'{{ at = "{jar.at}", size = {jar.size}, sha256 = "{jar.sha256}" }},' for jar in jars]
        file.write_text("\n".join(['[sets."s"]', "jars = [", *lines, "]"]))
        return file

    def fails(self, lock: Path, repository: str) -> str:
        with self.assertRaises(DevstackError) as caught:
            class_path("s", cache=self.cache, lock_file=lock, repository=repository)
        return str(caught.exception)

    def test_every_set_is_locked_with_whole_checksums(self) -> None:
        for jar_set in SETS:
            jars = read_lock(jar_set.name)
            self.assertGreater(len(jars), 20)
            for jar in jars:
                self.assertEqual((len(jar.sha256), jar.size > 0), (64, True), jar.at)
            names = {jar.at for jar in jars}
            self.assertLessEqual({root.rstrip("!") for root in jar_set.roots}, names)

    def test_no_two_locked_jars_share_a_file(self) -> None:
        for jar_set in SETS:
            jars = read_lock(jar_set.name, LOCK_FILE)
            self.assertEqual(len({jar.relative_path for jar in jars}), len(jars))

    def test_an_unknown_set_names_the_known_ones(self) -> None:
        with self.assertRaises(DevstackError) as caught:
            read_lock("kafka-0.7")
        self.assertIn("kafka-4.4", str(caught.exception))

    def test_a_missing_jar_is_downloaded_once_and_then_never_asked_for(self) -> None:
        jar = Jar("g.h:a:1", len(CONTENT), DIGEST)
        repository = Repository(self, {"/g/h/a/1/a-1.jar": CONTENT})
        lock = self.lock(jar)
        self.assertEqual(missing_bytes(["s"], cache=self.cache, lock_file=lock), len(CONTENT))
        seen: list[tuple[int, int]] = []
        path = class_path(
            "s",
            cache=self.cache,
            lock_file=lock,
            repository=repository.url,
            progress=lambda arrived, total: seen.append((arrived, total)),
        )
        self.assertEqual(Path(path).read_bytes(), CONTENT)
        self.assertEqual(seen[-1], (len(CONTENT), len(CONTENT)))
        self.assertEqual(missing_bytes(["s"], cache=self.cache, lock_file=lock), 0)
        asked = len(repository.asked)
        self.assertEqual(class_path("s", cache=self.cache, lock_file=lock, repository=repository.url), path)
        self.assertEqual(len(repository.asked), asked)

    def test_a_filled_cache_needs_no_repository_at_all(self) -> None:
        jar = Jar("g:a:jar:natives:1", len(CONTENT), DIGEST)
        path = self.cache / jar.relative_path
        path.parent.mkdir(parents=True)
        path.write_bytes(CONTENT)
        self.assertEqual(
            class_path("s", cache=self.cache, lock_file=self.lock(jar), repository="http://127.0.0.1:9"),
            str(path),
        )

    def test_a_download_with_another_checksum_is_refused_and_not_kept(self) -> None:
        repository = Repository(self, {"/g/a/1/a-1.jar": b"tampered"})
        jar = Jar("g:a:1", 8, DIGEST)
        message = self.fails(self.lock(jar), repository.url)
        self.assertIn(hashlib.sha256(b"tampered").hexdigest(), message)
        self.assertIn("LFS_DEMO_MAVEN_URL", message)
        self.assertFalse((self.cache / jar.relative_path).exists())
        self.assertEqual(list((self.cache / "incoming").iterdir()), [])

    def test_a_cached_jar_that_was_changed_is_named_with_what_to_do(self) -> None:
        jar = Jar("g:a:1", len(CONTENT), DIGEST)
        path = self.cache / jar.relative_path
        path.parent.mkdir(parents=True)
        path.write_bytes(CONTENT[:-1])
        message = self.fails(self.lock(jar), "http://127.0.0.1:9")
        self.assertIn(str(path), message)
        self.assertIn("Delete it", message)

    def test_no_network_says_how_to_go_on_without_one(self) -> None:
        message = self.fails(self.lock(Jar("g:a:1", 1, DIGEST)), "http://127.0.0.1:9")
        for word in ("HTTPS_PROXY", "LFS_DEMO_MAVEN_URL", "LFS_DEMO_CACHE", str(self.cache)):
            self.assertIn(word, message)
        self.assertNotIn("Traceback", message)

    def test_a_repository_without_the_jar_is_told_from_no_network(self) -> None:
        message = self.fails(self.lock(Jar("g:a:1", 1, DIGEST)), Repository(self, {}).url)
        self.assertIn("has no g:a:1", message)

    def test_too_little_disk_is_said_before_anything_is_downloaded(self) -> None:
        message = self.fails(self.lock(Jar("g:a:1", 1 << 60, DIGEST)), "http://127.0.0.1:9")
        self.assertIn("MiB free", message)
        self.assertIn("LFS_DEMO_CACHE", message)

    def test_a_cache_folder_that_is_a_file_is_one_sentence(self) -> None:
        self.cache.write_text("")
        message = self.fails(self.lock(Jar("g:a:1", 1, DIGEST)), "http://127.0.0.1:9")
        self.assertIn(str(self.cache), message)
