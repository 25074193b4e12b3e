"""Makes deploy/helm/lfsproxy/values.schema.json of the table of settings and of values.yaml.

    python deploy/helm/schema.py            # make helm-schema

Each setting becomes a property below ``settings``, with its help, what is allowed and its default. For the
other values the types come from values.yaml: a value that is not there is refused by name, except below the
maps that are handed on to Kubernetes as they are. A test says when the file is due.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from lfsproxy.settings import setting_table, variable

CHART = Path(__file__).parent / "lfsproxy"
SCHEMA = CHART / "values.schema.json"

CHOICES = {
    "image.pullPolicy": ["Always", "IfNotPresent", "Never"],
    "kafka.service.type": ["ClusterIP", "NodePort", "LoadBalancer"],
    "http.service.type": ["ClusterIP", "NodePort", "LoadBalancer"],
    "kafka.service.externalTrafficPolicy": ["", "Cluster", "Local"],
}
EITHER = {"podDisruptionBudget.maxUnavailable": ["integer", "string"]}
ANY = ("annotations", "labels", "podSecurityContext", "securityContext")
"""Maps whose names are the business of Kubernetes; so is every map that is empty by default."""


def settings_schema() -> dict[str, Any]:
    """A property for each setting: its text, or a number or boolean of YAML."""
    properties = {
        variable(name): {
            "description": f"{info.help} Allowed: {info.parse.allowed}. Default: {info.default or 'empty'}.",
            "type": ["string", "number", "boolean"],
        }
        for name, info in setting_table().items()
    }
    return {"type": "object", "additionalProperties": False, "properties": properties}


def schema_of(value: Any, path: str) -> dict[str, Any]:
    """The schema of a value by its default."""
    if path in CHOICES:
        return {"type": "string", "enum": CHOICES[path]}
    if path in EITHER:
        return {"type": EITHER[path]}
    match value:
        case Mapping() if value and path.rpartition(".")[2] not in ANY:
            properties = {name: schema_of(each, f"{path}.{name}".lstrip(".")) for name, each in value.items()}
            return {"type": "object", "additionalProperties": False, "properties": properties}
        case Mapping():
            return {"type": "object"}
        case bool():
            return {"type": "boolean"}
        case int():
            return {"type": "integer", "minimum": 0}
        case list():
            numbers = bool(value) and all(isinstance(each, int) for each in value)
            return (
                {"type": "array", "items": {"type": "integer", "minimum": 0}}
                if numbers
                else {"type": "array"}
            )
        case _:
            return {"type": "string"}


def schema() -> dict[str, Any]:
    """The schema of all values."""
    values = yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8"))
    whole = schema_of(values, "")
    whole["properties"]["settings"] = settings_schema()
    # Helm hands these to every chart that is a part of another one.
    whole["properties"]["global"] = {"type": "object"}
    return {"$schema": "http://json-schema.org/draft-07/schema#", "title": "Values of LFS Proxy", **whole}


def text() -> str:
    """The file's text."""
    return json.dumps(schema(), indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    SCHEMA.write_text(text(), encoding="utf-8")
