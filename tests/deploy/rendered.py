"""Parts of what the chart renders, and the test case that has Helm."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.deploy import chart
from tests.deploy.chart import one

NAME = "rel-lfsproxy"


def container(documents: list[dict[str, Any]]) -> dict[str, Any]:
    """The proxy's container."""
    [found] = pod(documents)["containers"]
    return dict(found)


def pod(documents: list[dict[str, Any]]) -> dict[str, Any]:
    """The pod's specification."""
    return dict(one(documents, "Deployment")["spec"]["template"]["spec"])


def settings_of(documents: list[dict[str, Any]]) -> dict[str, str]:
    """The settings as the process finds them."""
    return dict(one(documents, "ConfigMap", NAME)["data"])


class ChartTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        chart.helm()
