"""HTTP_PROXY and HTTPS_PROXY: S3 is asked directly all the same. Where it matters, that is said."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import ip_address
from urllib.parse import urlsplit
from urllib.request import proxy_bypass_environment  # type: ignore[attr-defined]  # typeshed lacks it

from lfsproxy.s3.signing import S3Location


def ignored_proxy(location: S3Location, environment: Mapping[str, str]) -> str | None:
    """The variable that names an HTTP proxy for the endpoint, which is not used; None where there is none.

    NO_PROXY is followed, and this machine needs no proxy.
    """
    url = urlsplit(location.url())
    host = url.hostname or ""
    excepted = environment.get("no_proxy") or environment.get("NO_PROXY") or ""
    if _is_here(host) or proxy_bypass_environment(url.netloc, {"no": excepted}):
        return None
    names = (f"{url.scheme}_proxy", f"{url.scheme.upper()}_PROXY", "all_proxy", "ALL_PROXY")
    return next((name for name in names if environment.get(name)), None)


def _is_here(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
