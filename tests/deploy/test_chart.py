"""The Helm chart renders what Kubernetes takes, each switch does what it says, no setting is forgotten."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import kubernetes_validate
import yaml

from lfsproxy.settings import Settings, setting_table, variable
from lfsproxy.settings.quantities import read_time
from tests.deploy import chart
from tests.deploy.chart import CHART, KUBERNETES, ROOT, ChartError, check, kinds, notes, one, render
from tests.deploy.rendered import NAME, ChartTestCase, container, pod, settings_of
from tests.deploy.stopping import clean_up_seconds

EXAMPLES = sorted((ROOT / "deploy" / "helm" / "examples").glob("*.yaml"))
VALUES = sorted((Path(__file__).parent / "values").glob("*.yaml"))
SETS = [(), *((file,) for file in [*EXAMPLES, *VALUES])]
"""The value sets that the chart is rendered with: none, the examples, everything on, everything off."""


class EverySetTests(ChartTestCase):
    def test_there_are_six_sets(self) -> None:
        self.assertEqual(len(SETS), 6)

    def test_helm_has_nothing_to_say(self) -> None:
        for files in SETS:
            chart.lint(*files)

    def test_each_document_is_one_that_kubernetes_takes(self) -> None:
        for kubernetes in KUBERNETES:
            for files in SETS:
                documents = render(*files, kubernetes=kubernetes)
                self.assertTrue(documents)
                for document in documents:
                    check(document, kubernetes)

    def test_the_validator_refuses_what_is_wrong(self) -> None:
        document = one(render(), "Deployment")
        document["spec"]["replica"] = 3
        self.assertRaises(kubernetes_validate.ValidationError, check, document, KUBERNETES[-1])

    def test_everything_on_has_every_kind(self) -> None:
        on = kinds(render(ROOT / "tests" / "deploy" / "values" / "full.yaml"))
        files = "".join(path.read_text() for path in (CHART / "templates").glob("*.yaml"))
        self.assertEqual(on | {"Secret"}, set(re.findall(r"^kind: (\w+)$", files, re.M)))

    def test_every_name_ends_with_the_release(self) -> None:
        for document in render():
            self.assertTrue(document["metadata"]["name"].startswith(NAME), document["metadata"]["name"])
            self.assertEqual(document["metadata"]["namespace"], "data")


class HttpTests(ChartTestCase):
    def probes(self, **values: Any) -> list[dict[str, Any]]:
        found = container(render(values=values))
        return [found[f"{each}Probe"] for each in ("startup", "readiness", "liveness")]

    def test_alive_and_ready_are_asked_for_apart(self) -> None:
        paths = [each["httpGet"]["path"] for each in self.probes()]
        self.assertEqual(paths, ["/healthz", "/readyz", "/healthz"])
        self.assertEqual({each["httpGet"].get("scheme") for each in self.probes()}, {None})

    def test_probes_speak_tls_where_the_api_does(self) -> None:
        for values in (
            {"http.tls.existingSecret": "http"},
            {"settings": {"LFS_HTTP_TLS_CERT": "/a", "LFS_HTTP_TLS_KEY": "/b"}},
        ):
            self.assertEqual({each["httpGet"]["scheme"] for each in self.probes(**values)}, {"HTTPS"})
            port = one(render(values=values), "Service", NAME)["spec"]["ports"][0]
            self.assertEqual(port["name"], "https")

    def test_probes_look_at_the_port_where_clients_need_a_certificate(self) -> None:
        found = self.probes(**{"http.tls.existingSecret": "http", "http.tls.clientCaKey": "ca.crt"})
        self.assertEqual([each["tcpSocket"] for each in found], [{"port": "http"}] * 3)

    def test_ingress(self) -> None:
        self.assertNotIn("Ingress", kinds(render()))
        error = self.assertRaises(ChartError, render, values={"ingress.enabled": True})
        self.assertIn("ingress.hosts is empty", str(error))
        spec = one(render(ROOT / "tests" / "deploy" / "values" / "full.yaml"), "Ingress")["spec"]
        paths = [path["path"] for rule in spec["rules"] for path in rule["http"]["paths"]]
        self.assertEqual((spec["ingressClassName"], paths), ("nginx", ["/lfs", "/"]))

    def test_route(self) -> None:
        self.assertNotIn("HTTPRoute", kinds(render()))
        error = self.assertRaises(ChartError, render, values={"httpRoute.enabled": True})
        self.assertIn("httpRoute.parentRefs is empty", str(error))
        documents = render(values={"httpRoute.enabled": True, "httpRoute.parentRefs": [{"name": "g"}]})
        [rule] = one(documents, "HTTPRoute")["spec"]["rules"]
        self.assertEqual(rule["backendRefs"], [{"name": NAME, "port": 8080}])


class PodTests(ChartTestCase):
    def test_it_runs_with_the_least_rights(self) -> None:
        documents = render()
        own = pod(documents)
        self.assertEqual((own["automountServiceAccountToken"], own["enableServiceLinks"]), (False, False))
        self.assertEqual(own["securityContext"]["runAsNonRoot"], True)
        self.assertEqual(own["securityContext"]["seccompProfile"], {"type": "RuntimeDefault"})
        self.assertEqual(
            container(documents)["securityContext"],
            {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            },
        )

    def test_a_stop_has_more_time_than_draining_takes(self) -> None:
        for texts in (
            {},
            {"LFS_DRAIN_TIMEOUT": "1h30m", "LFS_DRAIN_DELAY": "1500ms"},
            {"LFS_DRAIN_TIMEOUT": 45},
        ):
            documents = render(values={"settings": texts})
            timeout = read_time(str(texts.get("LFS_DRAIN_TIMEOUT", Settings().drain_timeout)))
            delay = read_time(settings_of(documents)["LFS_DRAIN_DELAY"])
            assert timeout is not None and delay is not None
            seconds = pod(documents)["terminationGracePeriodSeconds"]
            self.assertTrue(0 <= seconds - timeout - delay - clean_up_seconds() < 1, (texts, seconds))
        self.assertEqual(
            pod(render(values={"terminationGracePeriodSeconds": 7}))["terminationGracePeriodSeconds"], 7
        )

    def test_ports_stay_open_while_kubernetes_takes_the_pod_out(self) -> None:
        self.assertEqual(settings_of(render())["LFS_DRAIN_DELAY"], "5")

    def test_a_check_before_the_start_where_it_is_on(self) -> None:
        self.assertNotIn("initContainers", pod(render()))
        full = render(ROOT / "tests" / "deploy" / "values" / "full.yaml")
        [check], proxy = pod(full)["initContainers"], container(full)
        self.assertEqual(check["command"], ["lfsproxy", "check", "--topic", "check-me"])
        for same in ("image", "env", "envFrom", "volumeMounts", "securityContext", "resources"):
            self.assertEqual(check[same], proxy[same], same)
        [check] = pod(render(values={"check.enabled": True}))["initContainers"]
        self.assertEqual(check["command"], ["lfsproxy", "check"])

    def test_a_rolling_update_never_has_fewer_replicas(self) -> None:
        strategy = one(render(), "Deployment")["spec"]["strategy"]
        self.assertEqual(strategy["rollingUpdate"], {"maxSurge": 1, "maxUnavailable": 0})

    def test_credentials(self) -> None:
        self.assertNotIn("env", container(render()))
        env = container(render(values={"s3.credentials.existingSecret": "s3"}))["env"]
        self.assertEqual(
            {each["name"]: each["valueFrom"]["secretKeyRef"]["name"] for each in env},
            {"AWS_ACCESS_KEY_ID": "s3", "AWS_SECRET_ACCESS_KEY": "s3"},
        )

    def test_a_cloud_identity(self) -> None:
        account = one(render(CHART.parent / "examples" / "msk.yaml"), "ServiceAccount")
        self.assertIn("eks.amazonaws.com/role-arn", account["metadata"]["annotations"])
        self.assertEqual(
            pod(render(values={"serviceAccount.create": False}))["serviceAccountName"], "default"
        )

    def test_image(self) -> None:
        [version] = re.findall(r"^version = (.*)$", (ROOT / "setup.cfg").read_text(), re.M)
        self.assertEqual(container(render())["image"], f"lfsproxy:{version}")
        self.assertEqual(
            container(render(values={"image.digest": "sha256:1", "image.tag": "2"}))["image"],
            "lfsproxy@sha256:1",
        )

    def test_autoscaling_decides_about_replicas_where_it_is_on(self) -> None:
        self.assertEqual(one(render(), "Deployment")["spec"]["replicas"], 2)
        documents = render(values={"autoscaling.enabled": True, "settings.LFS_DRAIN_TIMEOUT": "2h"})
        self.assertNotIn("replicas", one(documents, "Deployment")["spec"])
        scaler = one(documents, "HorizontalPodAutoscaler")["spec"]
        self.assertEqual((scaler["minReplicas"], scaler["maxReplicas"]), (2, 6))
        # Kubernetes takes half an hour at most.
        self.assertEqual(scaler["behavior"]["scaleDown"]["policies"][0]["periodSeconds"], 1800)

    def test_disruption_budget(self) -> None:
        self.assertEqual(one(render(), "PodDisruptionBudget")["spec"]["maxUnavailable"], 1)
        self.assertNotIn("PodDisruptionBudget", kinds(render(values={"podDisruptionBudget.enabled": False})))

    def test_network_policy(self) -> None:
        self.assertNotIn("NetworkPolicy", kinds(render()))
        spec = one(render(values={"networkPolicy.enabled": True}), "NetworkPolicy")["spec"]
        self.assertEqual(spec["policyTypes"], ["Ingress"])
        names = [port["port"] for rule in spec["ingress"] for port in rule["ports"]]
        self.assertEqual(names, ["kafka", "broker-0", "broker-1", "broker-2", "http", "metrics"])
        spec = one(render(ROOT / "tests" / "deploy" / "values" / "full.yaml"), "NetworkPolicy")["spec"]
        self.assertEqual(spec["policyTypes"], ["Ingress", "Egress"])
        self.assertEqual(spec["egress"][0]["ports"][0], {"port": 53, "protocol": "UDP"})


class UpkeepTests(ChartTestCase):
    full = ROOT / "tests" / "deploy" / "values" / "full.yaml"

    def job(self, *files: Path, **values: Any) -> dict[str, Any]:
        """The pod of gc's Job."""
        documents = render(*files, values={"gc.enabled": True, **values})
        return dict(one(documents, "CronJob")["spec"]["jobTemplate"]["spec"]["template"])

    def test_gc_does_not_run_without_being_asked(self) -> None:
        self.assertNotIn("CronJob", kinds(render()))

    def test_gc_only_looks_unless_it_is_told_to_remove(self) -> None:
        [found] = self.job()["spec"]["containers"]
        self.assertEqual((found["command"], found["args"]), (["lfsproxy", "gc"], ["--json"]))
        [found] = self.job(self.full)["spec"]["containers"]
        self.assertEqual(found["args"], ["--json", "--delete", "--yes", "--min-age", "48h"])

    def test_one_gc_at_a_time_that_is_not_tried_again(self) -> None:
        spec = one(render(values={"gc.enabled": True, "gc.schedule": "0 1 * * 0"}), "CronJob")["spec"]
        self.assertEqual((spec["schedule"], spec["concurrencyPolicy"]), ("0 1 * * 0", "Forbid"))
        self.assertEqual(spec["jobTemplate"]["spec"]["backoffLimit"], 0)

    def test_gc_has_the_proxys_settings_files_identity_and_rights(self) -> None:
        documents = render(self.full, values={"gc.enabled": True})
        proxy, its = pod(documents), self.job(self.full)["spec"]
        [found] = its["containers"]
        for name in ("env", "envFrom", "volumeMounts", "securityContext", "image"):
            self.assertEqual(found[name], container(documents)[name], name)
        for name in ("serviceAccountName", "securityContext", "automountServiceAccountToken"):
            self.assertEqual(its[name], proxy[name], name)
        self.assertEqual(its["volumes"][1:], proxy["volumes"][1:])
        self.assertGreater(len(its["volumes"]), 3)

    def test_no_service_leads_to_gc(self) -> None:
        labels = self.job()["metadata"]["labels"].items()
        for document in render():
            if document["kind"] == "Service":
                self.assertFalse(document["spec"]["selector"].items() <= labels)


class MonitoringTests(ChartTestCase):
    def test_nothing_of_the_operators_without_being_asked(self) -> None:
        self.assertEqual(kinds(render()) & {"ServiceMonitor", "PrometheusRule"}, set())

    def test_the_monitor_finds_the_service_of_the_metrics_alone(self) -> None:
        documents = render(values={"metrics.serviceMonitor.enabled": True})
        wanted = one(documents, "ServiceMonitor")["spec"]["selector"]["matchLabels"].items()
        found = [
            each["metadata"]["name"]
            for each in documents
            if each["kind"] == "Service" and wanted <= each["metadata"]["labels"].items()
        ]
        self.assertEqual(found, [f"{NAME}-metrics"])

    def test_metrics_over_tls(self) -> None:
        documents = render(
            values={"metrics.serviceMonitor.enabled": True, "settings.LFS_METRICS_TLS": "true"}
        )
        [endpoint] = one(documents, "ServiceMonitor")["spec"]["endpoints"]
        self.assertEqual(endpoint["scheme"], "https")

    def test_the_rules_are_those_of_the_file(self) -> None:
        rule = one(render(values={"metrics.prometheusRule.enabled": True}), "PrometheusRule")
        self.assertEqual(rule["spec"], yaml.safe_load((CHART / "files" / "alerts.yaml").read_text()))

    def test_the_dashboard_is_that_of_the_file(self) -> None:
        documents = render(values={"metrics.dashboard.enabled": True})
        found = one(documents, "ConfigMap", f"{NAME}-dashboard")
        self.assertEqual(found["metadata"]["labels"]["grafana_dashboard"], "1")
        self.assertEqual(
            json.loads(found["data"]["lfsproxy.json"]),
            json.loads((CHART / "files" / "dashboard.json").read_text()),
        )


class NotesTests(ChartTestCase):
    def test_they_say_how_to_reach_both_doors(self) -> None:
        said = notes()
        self.assertIn(f"{NAME}-kafka.data.svc.cluster.local:19092", said)
        self.assertIn(f"http://{NAME}.data.svc.cluster.local:8080", said)
        self.assertIn("brokers 0, 1, 2", said)

    def test_a_load_balancer_that_clients_are_not_told_is_said(self) -> None:
        values = {"kafka.service.type": "LoadBalancer"}
        self.assertIn("Set settings.LFS_KAFKA_ADVERTISED_HOST", notes(values=values))
        told = {**values, "settings.LFS_KAFKA_ADVERTISED_HOST": "kafka.example.com"}
        self.assertNotIn("Set settings.LFS_KAFKA_ADVERTISED_HOST", notes(values=told))


class PageTests(ChartTestCase):
    def test_the_values_on_the_page_render(self) -> None:
        page = (ROOT / "docs" / "operate" / "helm.md").read_text(encoding="utf-8")
        blocks = re.findall(r"```yaml\n(.*?)```", page, re.DOTALL)
        self.assertEqual(len(blocks), 5)
        for block in blocks:
            file = Path(self.mktemp())
            file.write_text(block, encoding="utf-8")
            for document in render(file):
                check(document, KUBERNETES[-1])

    def test_the_page_names_every_value_that_brings_files(self) -> None:
        page = (ROOT / "docs" / "operate" / "helm.md").read_text(encoding="utf-8")
        files = {variable(name) for name, info in setting_table().items() if info.parse.is_file}
        self.assertEqual({name for name in files if f"`{name}`" not in page}, set())
