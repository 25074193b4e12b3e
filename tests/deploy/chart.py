"""The Helm chart, rendered and checked. Helm is made by ``go install`` and kept in the cache of downloads."""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import yaml

from tests.deploy.go_tools import go_tool

ROOT = Path(__file__).parents[2]
CHART = ROOT / "deploy" / "helm" / "lfsproxy"
DEFINITIONS = Path(__file__).parent / "definitions"
HELM = "helm.sh/helm/v3/cmd/helm"
HELM_VERSION = "v3.22.0"
KUBERNETES = ("1.27", "1.37")
"""The oldest version that the chart takes, and the newest of which there are schemas."""


class ChartError(Exception):
    """Helm refused the values. The text is what it said."""


@cache
def helm() -> str:
    """Where helm is. Raises SkipTest where it is not on PATH and Go is not either."""
    found = shutil.which("helm")
    if found:
        return found
    without = "the Helm chart is NOT TESTED: neither helm nor go is on PATH"
    return str(go_tool("helm", HELM_VERSION, HELM, "helm", without))


def run_helm(*arguments: str) -> str:
    """What helm prints. Raises ChartError."""
    done = subprocess.run([helm(), *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise ChartError(done.stdout + done.stderr)
    return done.stdout


def lint(*files: Path) -> None:
    """``helm lint --strict`` with these values. Raises ChartError."""
    run_helm("lint", "--strict", "--kube-version", KUBERNETES[-1], str(CHART), *_values(files, None))


def render(
    *files: Path,
    values: Mapping[str, Any] | None = None,
    kubernetes: str = KUBERNETES[-1],
    folder: Path = CHART,
) -> list[dict[str, Any]]:
    """The chart's documents for values from files, and values of the test's own. Raises ChartError."""
    text = run_helm(
        *("template", "rel", str(folder), "--namespace", "data", "--kube-version", kubernetes),
        *_values(files, values),
    )
    return [document for document in yaml.safe_load_all(text) if document]


def notes(values: Mapping[str, Any] | None = None) -> str:
    """What is said after an installation.

    ``helm template`` leaves the notes out, and ``helm install`` asks a cluster even if it installs nothing.
    So a copy of the chart has them as a document.
    """
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(shutil.copytree(CHART, Path(folder, "lfsproxy")))
        (copy / "templates" / "NOTES.txt").rename(copy / "NOTES.txt")
        head = "kind: Notes\nmetadata: {name: notes}\nnotes: |\n"
        text = '  {{- tpl (.Files.Get "NOTES.txt") . | nindent 2 }}\n'
        (copy / "templates" / "notes.yaml").write_text(head + text)
        return str(one(render(values=values, folder=copy), "Notes")["notes"])


def _values(files: tuple[Path, ...], values: Mapping[str, Any] | None) -> Iterator[str]:
    for file in files:
        yield from ("--values", str(file))
    for name, value in (values or {}).items():
        yield from ("--set-json", f"{name}={json.dumps(value)}")


def one(documents: list[dict[str, Any]], kind: str, name: str | None = None) -> dict[str, Any]:
    """The one document of a kind, or of a kind and a name."""
    [found] = [
        each for each in documents if each["kind"] == kind and name in (None, each["metadata"]["name"])
    ]
    return found


def kinds(documents: list[dict[str, Any]]) -> set[str]:
    """Which kinds of documents there are."""
    return {each["kind"] for each in documents}


def check(document: dict[str, Any], kubernetes: str) -> None:
    """Validate a document by its published schema. Raises what the validator raises."""
    definition = DEFINITIONS / f"{document['kind'].lower()}.json"
    if definition.exists():
        jsonschema.validate(document, json.loads(definition.read_text(encoding="utf-8")))
    else:
        kubernetes_validate.validate(document, kubernetes, strict=True)
