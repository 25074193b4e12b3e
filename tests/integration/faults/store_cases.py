"""What goes wrong between the proxy and S3."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator

from tests.integration.faults.cases import Case, Moment, Strike, striking
from tests.integration.faults.store_link import BLOB, Refusal, Spoiling

WRITES = ("PUT", "POST")
BRIEF = 4.0
"""Seconds for which a certificate is valid that expires while it is in use."""
DAY = 86400.0


def _spoiling(spoiling: Spoiling) -> Strike:
    def strike(moment: Moment) -> contextlib.AbstractContextManager[None]:
        return striking(moment, moment.scene.store.spoiled(spoiling))

    return strike


def _refusing(
    status: int, code: str, message: str, *methods: str, hours: float = 0, odds: float = 1
) -> Strike:
    refusal = Refusal(status, code, message, hours)
    return _spoiling(Spoiling(methods or Spoiling().methods, odds=odds, refusal=refusal))


@contextlib.contextmanager
def _certificate_expires(moment: Moment) -> Iterator[None]:
    """The server has one that is valid for seconds, and goes on with it; then it gets a new one."""
    store, authority = moment.scene.store, moment.scene.authority
    expires = time.monotonic() + BRIEF
    store.show(authority.issue("localhost", days=BRIEF / DAY))
    store.reset()
    # The time of validity itself: there is no event to wait for.
    time.sleep(max(expires - time.monotonic(), 0) + 1)

    @contextlib.contextmanager
    def expired() -> Iterator[None]:
        store.reset()
        yield
        store.show(authority.issue("localhost"))

    with striking(moment, expired()):
        yield


STORE_CASES = (
    Case("S3: each answer 5 s late", _spoiling(Spoiling(late=5.0)), 8),
    Case("S3: 500 InternalError", _refusing(500, "InternalError", "We encountered an internal error."), 7),
    Case(
        "S3: 503 SlowDown, to half", _refusing(503, "SlowDown", "Please reduce your request rate.", odds=0.5)
    ),
    Case("S3: 403 AccessDenied", _refusing(403, "AccessDenied", "Access Denied")),
    Case("S3: answers cut, half of them", _spoiling(Spoiling(odds=0.5, cut_answer=True))),
    Case("S3: reset in mid-part, half", _spoiling(Spoiling(("PUT",), odds=0.5, cut_request=True))),
    Case("S3: a changed byte to it, half", _spoiling(Spoiling(("PUT",), BLOB, 0.5, spoil_request=True))),
    Case("S3: a changed byte from it", _spoiling(Spoiling(("GET",), BLOB, spoil_answer=True))),
    Case(
        "S3: its disk is full",
        _refusing(
            507, "XMinioStorageFull", "Storage backend has reached its minimum free drive threshold.", *WRITES
        ),
    ),
    Case(
        "S3: clocks an hour apart",
        _refusing(
            403,
            "RequestTimeTooSkewed",
            "The difference between the request time and the current time is too large.",
            hours=1,
        ),
    ),
    Case("S3: its certificate expires", _certificate_expires, 7),
)
