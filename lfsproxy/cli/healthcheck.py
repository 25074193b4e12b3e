"""``lfsproxy healthcheck``: whether the proxy in this container is alive, as its own settings say where.

It is run every few seconds, so nothing is imported that takes time (``tests/cli/test_healthcheck.py``).
"""

from __future__ import annotations

import os
import ssl
from http.client import HTTPConnection, HTTPException, HTTPSConnection

import click

from lfsproxy.settings import Address, Settings, load_settings, variable
from lfsproxy.words import error_text

_LOOPBACK = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "::1"}
"""Where to connect to what listens everywhere."""
_WANTS_CERTIFICATE = {
    "TLSV13_ALERT_CERTIFICATE_REQUIRED",
    # As TLS 1.2 says it.
    "SSLV3_ALERT_HANDSHAKE_FAILURE",
}
SECONDS = 4.0
"""How long to wait for an answer: less than the 5 s after which Docker gives up without a word."""


@click.command(short_help="Ask whether the proxy on this machine is alive; for containers.")
@click.option(
    "--timeout",
    "seconds",
    type=click.FloatRange(min=0, min_open=True),
    default=SECONDS,
    show_default=True,
    metavar="SECONDS",
    help="How long to wait for an answer.",
)
def healthcheck(seconds: float) -> None:
    """Ask /healthz of the proxy that runs on this machine with the same LFS_* variables.

    LFS_HTTP_ADDR says where it is, and LFS_HTTP_TLS_CERT whether it speaks TLS; it is not asked who it is. A
    proxy that answers a TLS handshake by asking for a certificate (LFS_HTTP_TLS_CLIENT_CA) is alive, too.
    """
    settings = load_settings(os.environ, {}).settings
    if not settings.http_addr.port:
        raise click.ClickException(f"{variable('http_addr')} has port 0: nobody knows which port that became")
    address = _address(settings)
    try:
        said = _ask(settings, address, seconds)
    except TimeoutError:
        raise click.ClickException(f"{address} has not answered within {seconds:g} s") from None
    except (OSError, HTTPException) as error:
        raise click.ClickException(f"{address} is not alive: {error_text(error)}") from None
    click.echo(f"{address} {said}")


def is_alive(settings: Settings) -> bool:
    """Whether a proxy with these settings runs on this machine. Blocks."""
    try:
        _ask(settings, _address(settings), SECONDS)
    except (OSError, HTTPException, click.ClickException):
        return False
    return True


def _address(settings: Settings) -> Address:
    return Address(_LOOPBACK.get(settings.http_addr.host, settings.http_addr.host), settings.http_addr.port)


def _ask(settings: Settings, address: Address, seconds: float) -> str:
    """What a living proxy does. Raises OSError and HTTPException, and ClickException for a wrong answer."""
    if settings.http_tls_cert:
        # It is this machine's own, by an address that no certificate has to name.
        trusting = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        trusting.check_hostname = False
        trusting.verify_mode = ssl.CERT_NONE
        connection: HTTPConnection = HTTPSConnection(
            address.host, address.port, timeout=seconds, context=trusting
        )
    else:
        connection = HTTPConnection(address.host, address.port, timeout=seconds)
    try:
        if settings.http_tls_client_ca:
            return _refused(connection)
        connection.request("GET", "/healthz")
        status = connection.getresponse().status
    finally:
        connection.close()
    if status != 200:
        raise click.ClickException(f"{address} is not alive: it answers with status {status}")
    return "is alive"


def _refused(connection: HTTPConnection) -> str:
    """How a door refuses who has no certificate. Nothing is sent: that could cost the alert, by a reset."""
    try:
        connection.connect()
        connection.sock.recv(1)
    except ssl.SSLError as error:
        if error.reason in _WANTS_CERTIFICATE:
            return "is alive: it asks for a certificate"
        raise
    raise ConnectionError("it does not ask for a certificate")
