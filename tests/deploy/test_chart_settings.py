"""The Helm chart's values and the proxy's settings: each gets through, and ports and memory follow."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from typing import Any

from lfsproxy.settings import Settings, setting_table, variable
from lfsproxy.settings.quantities import read_size
from tests.deploy.chart import CHART, ROOT, ChartError, one, render
from tests.deploy.rendered import NAME, ChartTestCase, container, pod, settings_of

SIZING = ROOT / "examples" / "operate" / "sizing.py"
PAGE = ROOT / "docs" / "operate" / "sizing.md"


class SettingsTests(ChartTestCase):
    def test_the_schema_is_current(self) -> None:
        path = ROOT / "deploy" / "helm" / "schema.py"
        spec = importlib.util.spec_from_file_location("schema", path)
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        self.assertEqual((CHART / "values.schema.json").read_text(), module.text(), "run make helm-schema")

    def test_each_setting_reaches_the_process_by_its_own_name(self) -> None:
        secrets = {variable(name) for name, info in setting_table().items() if info.secret}
        given = {variable(name): info.default or "x" for name, info in setting_table().items()}
        documents = render(values={"settings": given})
        self.assertEqual(settings_of(documents), {k: v for k, v in given.items() if k not in secrets})
        self.assertEqual(
            one(documents, "Secret")["stringData"], {k: v for k, v in given.items() if k in secrets}
        )

    def test_a_setting_that_is_none_is_refused_by_name(self) -> None:
        error = self.assertRaises(ChartError, render, values={"settings.LFS_S3_BUKET": "x"})
        self.assertIn("LFS_S3_BUKET", str(error))

    def test_a_value_that_is_none_is_refused_by_name(self) -> None:
        error = self.assertRaises(ChartError, render, values={"kafka.brokerIDs": [1]})
        self.assertIn("brokerIDs", str(error))

    def test_numbers_and_booleans_are_written_as_the_proxy_reads_them(self) -> None:
        documents = render(
            values={
                "settings.LFS_UPLOAD_MEMORY": 134217728,
                "settings.LFS_S3_RETRY_TIMEOUT": 2.5,
                "settings.LFS_S3_PATH_STYLE": True,
            }
        )
        found = settings_of(documents)
        self.assertEqual(
            (found["LFS_UPLOAD_MEMORY"], found["LFS_S3_RETRY_TIMEOUT"], found["LFS_S3_PATH_STYLE"]),
            ("134217728", "2.5", "true"),
        )

    def test_each_file_of_a_setting_can_come_from_a_secret(self) -> None:
        full = ROOT / "tests" / "deploy" / "values" / "full.yaml"
        documents = render(
            full,
            values={"http.tls.clientCaKey": "ca.crt", "fullnameOverride": NAME},
        )
        found = settings_of(documents)
        mounts = {each["mountPath"] for each in container(documents)["volumeMounts"]}
        for name, info in setting_table().items():
            if info.parse.is_file:
                path = found[variable(name)]
                self.assertIn(path.rpartition("/")[0], mounts, variable(name))
        volumes = {each["name"]: each for each in pod(documents)["volumes"]}
        self.assertEqual(volumes["kafka-tls"]["secret"], {"secretName": "brokers", "defaultMode": 0o440})

    def test_a_file_that_two_places_give_is_refused(self) -> None:
        error = self.assertRaises(
            ChartError,
            render,
            values={"settings.LFS_HTTP_TLS_CERT": "/x", "http.tls.existingSecret": "http"},
        )
        self.assertIn("settings.LFS_HTTP_TLS_CERT and the Secret http", str(error))

    def test_a_change_of_settings_starts_the_pods_anew(self) -> None:
        def checksum(**values: Any) -> str:
            found = one(render(values=values), "Deployment")["spec"]["template"]["metadata"]["annotations"]
            return str(found["checksum/settings"])

        plain = checksum()
        self.assertEqual(plain, checksum(replicaCount=5))
        self.assertNotEqual(plain, checksum(settings={"LFS_S3_BUCKET": "other"}))
        self.assertNotEqual(plain, checksum(settings={"LFS_KAFKA_SASL_PASSWORD": "x"}))


class KafkaTests(ChartTestCase):
    def ports(self, **values: Any) -> tuple[dict[str, int], dict[str, int], dict[str, str]]:
        """Ports of the Service, ports of the container, and from which of one to which of the other."""
        documents = render(values=values)
        service = one(documents, "Service", f"{NAME}-kafka")["spec"]["ports"]
        inside = {each["name"]: each["containerPort"] for each in container(documents)["ports"]}
        outside = {each["name"]: each["port"] for each in service}
        return outside, inside, {each["name"]: each["targetPort"] for each in service}

    def test_each_broker_has_the_port_at_which_the_proxy_serves_it(self) -> None:
        outside, inside, targets = self.ports(**{"kafka.brokerIds": [0, 7]})
        self.assertEqual(outside, {"tcp-bootstrap": 19092, "tcp-broker-0": 19093, "tcp-broker-7": 19100})
        self.assertEqual([inside[targets[name]] for name in outside], [19092, 19093, 19100])

    def test_ports_follow_the_settings(self) -> None:
        outside, inside, targets = self.ports(
            **{
                "kafka.brokerIds": [1001],
                "settings": {"LFS_KAFKA_ADDR": "[::]:9092", "LFS_KAFKA_BROKER_PORT_BASE": 20000},
            }
        )
        self.assertEqual(outside, {"tcp-bootstrap": 9092, "tcp-broker-1001": 21001})
        self.assertEqual([inside[targets[name]] for name in outside], [9092, 21001])

    def test_the_service_has_the_ports_that_clients_are_told(self) -> None:
        outside, inside, targets = self.ports(
            **{"kafka.brokerIds": [1], "settings.LFS_KAFKA_ADVERTISED_PORT_BASE": "9100"}
        )
        self.assertEqual(outside, {"tcp-bootstrap": 19092, "tcp-broker-1": 9101})
        self.assertEqual(inside[targets["tcp-broker-1"]], 19094)

    def test_clients_are_told_the_service_or_what_the_setting_says(self) -> None:
        told = settings_of(render(values={"clusterDomain": "example.internal"}))["LFS_KAFKA_ADVERTISED_HOST"]
        self.assertEqual(told, f"{NAME}-kafka.data.svc.example.internal")
        own = settings_of(render(values={"settings.LFS_KAFKA_ADVERTISED_HOST": "k"}))
        self.assertEqual(own["LFS_KAFKA_ADVERTISED_HOST"], "k")

    def test_a_load_balancer(self) -> None:
        spec = one(render(CHART.parent / "examples" / "msk.yaml"), "Service", f"{NAME}-kafka")["spec"]
        self.assertEqual(
            (spec["type"], spec["loadBalancerClass"], spec["externalTrafficPolicy"]),
            ("LoadBalancer", "service.k8s.aws/nlb", "Local"),
        )


class MemoryTests(ChartTestCase):
    def memory(self, kind: str, **values: Any) -> int:
        found = container(render(values=values))["resources"][kind]["memory"]
        return int(found.removesuffix("Mi"))

    def most(self, **values: int) -> int:
        """What the program on the page says, in MiB."""
        given = [f"{name}={value}" for name, value in values.items()]
        done = subprocess.run([sys.executable, SIZING, *given], capture_output=True, text=True, check=True)
        return int(done.stdout.splitlines()[-1].split()[0])

    def test_the_limit_is_the_formula_of_the_page(self) -> None:
        self.assertEqual(self.memory("limits"), self.most())
        large = {"upload_memory": 2**30, "s3_part_size": 16 * 2**20, "max_passthrough_size": 4 * 2**20 + 1}
        limit = self.memory(
            "limits",
            **{f"settings.{variable(name)}": value for name, value in large.items()},
            **{"memory.kafkaConnections": 7, "memory.httpUploads": 3},
        )
        self.assertEqual(limit, self.most(**large, kafka_connections=7, http_uploads=3))
        four = {"upload_memory": 2**28 + 1, "workers": 4, "max_lookups": 5}
        limit = self.memory("limits", **{f"settings.{variable(name)}": value for name, value in four.items()})
        self.assertEqual(limit, self.most(**four, kafka_connections=100, http_uploads=100))

    def test_as_many_workers_as_there_are_cores_is_no_number(self) -> None:
        error = self.assertRaises(ChartError, render, values={"settings.LFS_WORKERS": "auto"})
        self.assertIn("settings.LFS_WORKERS is auto: write a number", str(error))
        own = {"limits": {"memory": "2Gi"}}
        found = settings_of(render(values={"settings.LFS_WORKERS": "auto", "resources": own}))
        self.assertEqual(found["LFS_WORKERS"], "auto")

    def test_a_number_of_workers_that_the_proxy_refuses(self) -> None:
        for workers in ("0", "65"):
            error = self.assertRaises(ChartError, render, values={"settings.LFS_WORKERS": workers})
            self.assertIn(f"settings.LFS_WORKERS is {workers}: a number from 1 to 64 is needed", str(error))

    def test_cpu_is_requested_for_each_worker(self) -> None:
        for workers, each, requested in (
            (1, "500m", "500m"),
            (4, "500m", "2000m"),
            (3, "0.25", "750m"),
            (2, "1", "2000m"),
        ):
            found = container(render(values={"settings.LFS_WORKERS": workers, "cpu.request": each}))
            self.assertEqual(found["resources"]["requests"]["cpu"], requested)

    def test_the_page_s_commands_run_as_pasted(self) -> None:
        [block] = re.findall(r"```sh\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
        command = block.replace("python ", f"{sys.executable} ")
        done = subprocess.run(command, shell=True, cwd=ROOT, capture_output=True, text=True, check=True)
        [shown] = re.findall(r"```text\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
        self.assertTrue(done.stdout.startswith(shown))
        few = self.most(kafka_connections=20, http_uploads=500, upload_memory=2**28, workers=2)
        self.assertEqual(
            done.stdout.splitlines()[-1].split(), [str(few), "MiB", *["one", "replica", "at", "most"]]
        )

    def test_what_the_program_cannot_read_is_said(self) -> None:
        for given in (
            "kafka_conections=1",
            "upload_memory=much",
            "upload_memory",
            "workers=0",
            "workers=auto",
        ):
            done = subprocess.run(
                [sys.executable, SIZING, given], capture_output=True, text=True, check=False
            )
            self.assertEqual((done.returncode, done.stdout), (1, ""))
            self.assertIn(f"{given}: not understood", done.stderr)

    def test_the_formula_has_the_defaults_of_the_settings(self) -> None:
        ours = {"upload_memory", "s3_part_size", "max_passthrough_size", "max_lookups", "workers"}
        self.assertEqual(self.most(), self.most(**{name: getattr(Settings(), name) for name in ours}))

    def test_the_request_is_what_a_pod_usually_needs(self) -> None:
        self.assertEqual(self.memory("requests", **{"settings.LFS_UPLOAD_MEMORY": "256MiB"}), 112 + 256)
        self.assertEqual(self.memory("requests", **{"settings.LFS_WORKERS": 2}), 52 + 2 * 112 + 128)

    def test_sizes_are_read_as_the_proxy_reads_them(self) -> None:
        for text in ("134217728", "128MiB", "128m", "0.5 GiB", "1GB", "2g", "70000 kB"):
            size = read_size(text)
            assert size is not None
            self.assertEqual(
                self.memory("requests", **{"settings.LFS_UPLOAD_MEMORY": text}), 112 - (-size // 2**20), text
            )

    def test_resources_of_the_users_own_win(self) -> None:
        own = {"limits": {"memory": "2Gi"}}
        self.assertEqual(container(render(values={"resources": own}))["resources"], own)
