"""The routes of probes: whether the process is alive, and whether it can do its work."""

# twisted.web is not annotated:
# mypy: disallow-untyped-calls=False

from __future__ import annotations

from twisted.web.http import OK, SERVICE_UNAVAILABLE
from twisted.web.iweb import IRequest

from lfsproxy.readiness import Readiness
from lfsproxy.web import declared
from lfsproxy.web.operations import operation
from lfsproxy.web.problems import render_json


class HealthApi:
    """Answers for probes."""

    def __init__(self, readiness: Readiness) -> None:
        self._readiness = readiness

    @operation(declared.HEALTHZ)
    def healthz(self, request: IRequest) -> bytes:
        return render_json(request, OK, {"status": "alive"})

    @operation(declared.READYZ)
    async def readyz(self, request: IRequest) -> bytes:
        await self._readiness.first_answers()
        problems = self._readiness.problems()
        if problems:
            return render_json(request, SERVICE_UNAVAILABLE, {"status": "not ready", "problems": problems})
        notes = self._readiness.notes()
        return render_json(request, OK, {"status": "ready", **({"notes": notes} if notes else {})})
