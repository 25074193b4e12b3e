"""The proxy put together: how it starts, and how it stops."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Any, cast

from twisted.internet import reactor
from twisted.internet.task import deferLater
from twisted.logger import LogLevel, capturedLogs, formatEvent

from lfsproxy.errors import SettingError, StoreUnavailable
from lfsproxy.net.listening import AdoptedPorts
from lfsproxy.net.tls import certificate_expiry
from lfsproxy.service import CLEAN_UP_SECONDS, make_service
from lfsproxy.settings import load_settings
from tests.certificates import Authority
from tests.service import ANY_PORT, RECORDS, ProxyTestCase, ask, unused_port


class StartTests(ProxyTestCase):
    async def test_a_port_in_use_stops_the_start_and_leaves_nothing_open(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            for variable in ("LFS_HTTP_ADDR", "LFS_METRICS_ADDR", "LFS_KAFKA_ADDR"):
                free = {name: f"127.0.0.1:{unused_port()}" for name in ANY_PORT}
                proxy = self.proxy(**{**free, variable: f"127.0.0.1:{port}"})
                error = self.assertRaises(SettingError, proxy.privilegedStartService)
                self.assertIn(f"127.0.0.1:{port}", str(error))
                self.assertIn(variable, str(error))
                await deferLater(cast(Any, reactor), 0)
                for name, address in free.items():
                    if name != variable:
                        socket.create_server(("127.0.0.1", int(address.rpartition(":")[2]))).close()

    async def test_ports_that_somebody_else_has_bound_are_served(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as bound:
            port = bound.getsockname()[1]
            self.listener = AdoptedPorts(cast(Any, reactor), [os.dup(bound.fileno())], self.listener)
            proxy = self.start(self.proxy(LFS_HTTP_ADDR=f"127.0.0.1:{port}"))
            self.assertEqual(proxy.http_port, port)
            self.assertEqual((await ask(port, "GET", "/healthz")).status, 200)

    def test_the_kafka_port_may_be_bound_by_somebody_else_too(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as bound:
            port = bound.getsockname()[1]
            self.listener = adopted = AdoptedPorts(
                cast(Any, reactor), [os.dup(bound.fileno())], self.listener
            )
            proxy = self.start(self.proxy(LFS_KAFKA_ADDR=f"127.0.0.1:{port}"))
            self.assertEqual((proxy.relay.bootstrap_port, adopted.left), (port, 0))

    async def test_the_start_says_what_is_no_default_and_where_it_came_from(self) -> None:
        with capturedLogs() as events:
            self.start(self.proxy(LFS_NAMESPACE="team"))
        said = [formatEvent(event) for event in events]
        self.assertIn("LFS_NAMESPACE is 'team'", said)
        self.assertFalse([line for line in said if "LFS_S3_BUCKET is" in line], said)
        self.assertTrue([line for line in said if line.startswith("LFS Proxy 1.2.3 on Python 3.")], said)
        self.assertTrue([line for line in said if line.startswith("listening: HTTP at 127.0.0.1:")], said)

    def test_variables_that_are_no_settings_are_named_in_one_warning(self) -> None:
        environment = {"LFS_S3_BUKET": "x", "LFS_HELLO": "y", "LFS_PROXY_SERVICE_HOST": "10.0.0.1"}
        with capturedLogs() as events:
            make_service(reactor, load_settings({}, {}), environment)
        self.assertEqual(
            [formatEvent(event) for event in events if event["log_level"] == LogLevel.warn],
            [
                "set, but no settings, so that they change nothing: LFS_HELLO, "
                "LFS_S3_BUKET (is LFS_S3_BUCKET meant?)"
            ],
        )

    async def test_the_default_bucket_has_a_line_of_its_own(self) -> None:
        line = "blobs go to the default bucket, 'kafscale'; set LFS_S3_BUCKET to use another"
        for environment, count in (
            ({}, 1),
            ({"LFS_S3_BUCKET": "another"}, 0),
            ({"LFS_S3_BUCKET": "kafscale"}, 0),
        ):
            with capturedLogs() as events:
                self.start(self.proxy(**environment))
            self.assertEqual([formatEvent(event) for event in events].count(line), count)

    def test_a_file_that_cannot_be_read_stops_the_start(self) -> None:
        loaded = load_settings({"LFS_HTTP_API_KEYS_FILE": "/nowhere/keys"}, {})
        error = self.assertRaises(SettingError, make_service, reactor, loaded, {})
        self.assertEqual(
            str(error),
            "LFS_HTTP_API_KEYS_FILE is '/nowhere/keys': the path of a file that the proxy can read is needed "
            "(No such file or directory)",
        )

    def test_a_file_of_authorities_that_cannot_be_read_is_named(self) -> None:
        bundle = {"AWS_CA_BUNDLE": "/nowhere.pem"}
        error = self.assertRaises(SettingError, make_service, reactor, load_settings({}, {}), bundle)
        self.assertEqual(
            str(error),
            "AWS_CA_BUNDLE is '/nowhere.pem': not usable as PEM certificates (No such file or directory)",
        )
        # Our own setting wins.
        loaded = load_settings({"LFS_S3_CA": "/neither.pem"}, {})
        error = self.assertRaises(SettingError, make_service, reactor, loaded, bundle)
        self.assertEqual(
            str(error),
            "LFS_S3_CA is '/neither.pem': the path of a file that the proxy can read is needed "
            "(No such file or directory)",
        )

    def test_an_http_proxy_that_is_not_used_is_warned_of(self) -> None:
        loaded = load_settings({"LFS_S3_ENDPOINT": "https://minio.example"}, {})
        with capturedLogs() as events:
            make_service(reactor, loaded, {"HTTPS_PROXY": "http://proxy.example:3128"})
        self.assertIn(
            "HTTPS_PROXY is set, but S3 is asked directly: LFS Proxy uses no HTTP proxy "
            "(NO_PROXY=kafscale.minio.example ends this warning)",
            [formatEvent(event) for event in events],
        )

    async def test_not_ready_says_why_while_the_process_lives(self) -> None:
        self.store.fail_next("check", StoreUnavailable("S3 is asleep"))
        with capturedLogs() as events:
            proxy = self.start(self.proxy())
        answer = await ask(proxy.http_port, "GET", "/readyz")
        self.assertEqual(answer.status, 503)
        self.assertIn(b"S3: S3 is asleep", answer.body)
        self.assertIn(b"Kafka: ", answer.body)
        self.assertEqual((await ask(proxy.http_port, "GET", "/healthz")).status, 200)
        self.assertTrue([event for event in events if "S3 is asleep" in (formatEvent(event) or "")])
        ready = proxy.metrics.registry.get_sample_value
        self.assertEqual(ready("lfsproxy_ready", {"dependency": "s3"}), 0)
        self.assertEqual(ready("lfsproxy_ready", {"dependency": "kafka"}), 0)

    async def test_the_status_is_one_line_that_says_what_is_awaited(self) -> None:
        self.store.fail_next("check", StoreUnavailable("S3 is asleep"))
        proxy = self.start(self.proxy())
        await self.until(lambda: "Kafka: has not answered yet" not in proxy.readiness.problems())
        self.assertFalse(proxy.ready())
        self.assertRegex(proxy.status(), "^not ready: S3: S3 is asleep; Kafka: .+$")

    def test_when_certificates_expire_is_measured(self) -> None:
        issued = Authority(Path(self.mktemp())).issue("localhost")
        proxy = self.proxy(LFS_HTTP_TLS_CERT=str(issued.certificate), LFS_HTTP_TLS_KEY=str(issued.key))
        value = proxy.metrics.registry.get_sample_value
        name = "lfsproxy_certificate_expiry_timestamp_seconds"
        self.assertEqual(
            value(name, {"setting": "LFS_HTTP_TLS_CERT"}), certificate_expiry(str(issued.certificate))
        )
        self.assertIsNone(value(name, {"setting": "LFS_KAFKA_TLS_CERT"}))

    async def test_upload_memory_in_use_is_measured(self) -> None:
        self.store.hold("commit")
        proxy = self.start(self.proxy())
        upload = ask(proxy.http_port, "POST", RECORDS, b"abc")
        await self.until(lambda: self.store.held("commit") == 1)
        metrics = (await ask(proxy.metrics_port, "GET", "/metrics")).body
        self.assertIn(b"lfsproxy_upload_memory_bytes 3.0\n", metrics)
        self.assertNotIn(b"_created", metrics)
        self.store.let_go("commit")
        await upload
        metrics = (await ask(proxy.metrics_port, "GET", "/metrics")).body
        self.assertIn(b"lfsproxy_upload_memory_bytes 0.0\n", metrics)


class StopTests(ProxyTestCase):
    def test_the_most_that_a_stop_takes_follows_the_settings(self) -> None:
        proxy = self.proxy(LFS_DRAIN_DELAY="100", LFS_DRAIN_TIMEOUT="1000")
        self.assertGreaterEqual(proxy.stop_seconds, 1100 + 2 * CLEAN_UP_SECONDS)
        self.assertLess(proxy.stop_seconds, 1160)

    async def test_an_upload_in_flight_finishes(self) -> None:
        self.store.hold("commit")
        proxy = self.start(self.proxy())
        port = proxy.http_port
        upload = ask(port, "POST", RECORDS, b"abc")
        await self.until(lambda: self.store.held("commit") == 1)
        stopping = self.begin_stop(proxy)
        await self.assertFailure(ask(port, "GET", "/healthz"), ConnectionError)
        self.assertTrue(proxy.readiness.draining)
        self.assertFalse(stopping.called)
        self.assertEqual(proxy.status(), "stopping: HTTP requests in flight: 1, Kafka clients: 0")
        self.store.let_go("commit")
        self.assertEqual((await upload).status, 201)
        await stopping
        self.assertEqual(len(self.publisher.records), 1)

    async def test_what_does_not_finish_in_time_is_cut_and_leaves_nothing(self) -> None:
        self.store.hold("seal")
        proxy = self.start(self.proxy(LFS_DRAIN_TIMEOUT="0.05"))
        upload = ask(proxy.http_port, "POST", RECORDS, b"abc")
        await self.until(lambda: self.store.held("seal") == 1)
        with capturedLogs() as events:
            await proxy.stopService()
        await self.assertFailure(upload, OSError, Exception)
        self.assertEqual((self.store.open_uploads, self.store.blobs, self.publisher.records), (0, {}, []))
        lines = [formatEvent(event) or "" for event in events]
        self.assertTrue([line for line in lines if "LFS_DRAIN_TIMEOUT" in line and "are cut" in line])
        self.assertTrue([line for line in lines if "no answer, since LFS_DRAIN_TIMEOUT" in line])

    async def test_a_second_signal_ends_the_waiting(self) -> None:
        self.store.hold("seal")
        proxy = self.start(self.proxy(LFS_DRAIN_TIMEOUT="600"))
        upload = ask(proxy.http_port, "POST", RECORDS, b"abc")
        await self.until(lambda: self.store.held("seal") == 1)
        stopping = self.begin_stop(proxy)
        await self.until(lambda: proxy.site.in_flight == 1)
        proxy.hurry()
        await stopping
        await self.assertFailure(upload, OSError, Exception)
        self.assertEqual(self.store.open_uploads, 0)

    async def test_the_ports_stay_open_while_load_balancers_see_red(self) -> None:
        proxy = self.start(self.proxy(LFS_DRAIN_DELAY="600"))
        port = proxy.http_port
        stopping = self.begin_stop(proxy)
        red = await ask(port, "GET", "/readyz")
        self.assertEqual(red.status, 503)
        self.assertIn(b"the proxy is shutting down", red.body)
        self.assertEqual((await ask(port, "POST", RECORDS, b"abc")).status, 201)
        socket.create_connection(("127.0.0.1", proxy.relay.bootstrap_port)).close()
        self.assertFalse(stopping.called)
        proxy.hurry()
        await stopping
        await self.assertFailure(ask(port, "GET", "/healthz"), ConnectionError)

    async def test_the_delay_ends_by_itself(self) -> None:
        proxy = self.start(self.proxy(LFS_DRAIN_DELAY="50ms"))
        port = proxy.http_port
        await proxy.stopService()
        await self.assertFailure(ask(port, "GET", "/healthz"), ConnectionError)

    async def test_a_signal_that_ends_the_delay_cuts_nothing(self) -> None:
        self.store.hold("commit")
        proxy = self.start(self.proxy(LFS_DRAIN_DELAY="600"))
        upload = ask(proxy.http_port, "POST", RECORDS, b"abc")
        await self.until(lambda: self.store.held("commit") == 1)
        stopping = self.begin_stop(proxy)
        proxy.hurry()
        await self.until(lambda: proxy.readiness.draining)
        self.store.let_go("commit")
        self.assertEqual((await upload).status, 201)
        await stopping

    async def test_all_ports_are_closed_and_the_closers_called(self) -> None:
        proxy = self.start(self.proxy())
        ports = (proxy.http_port, proxy.metrics_port, proxy.relay.bootstrap_port)
        await proxy.stopService()
        for port in ports:
            socket.create_server(("127.0.0.1", port)).close()
        self.assertEqual(self.closed, ["closed"])
