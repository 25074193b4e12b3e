"""A self-signed certificate for servers on this machine: PEM files, and the PKCS#12 file that Java likes."""

from __future__ import annotations

import datetime
import ipaddress
from collections.abc import Sequence
from pathlib import Path

import attrs
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import pkcs12
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

PKCS12_PASSWORD = "changeit"
"""The file's own; Java refuses one without."""


@attrs.frozen
class Certificate:
    """Where the files are. ``certificate`` is its own CA: hand it to clients as what to trust."""

    certificate: Path
    key: Path
    combined: Path
    """Key (PKCS#8) and certificate in one PEM file, as Kafka's ``ssl.keystore.location`` takes it."""
    pkcs12: Path


def self_signed(
    folder: Path, names: Sequence[str] = ("localhost", "kafscale.localhost", "127.0.0.1", "::1")
) -> Certificate:
    """Make a key and a certificate for ``names`` (hosts, wildcards, IP addresses), valid for ten days."""
    folder.mkdir(parents=True, exist_ok=True)
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0])])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=10))
        .add_extension(x509.SubjectAlternativeName([_general_name(name) for name in names]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(
            x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]),
            critical=False,
        )
        .sign(key, hashes.SHA256())
    )
    cert_pem = certificate.public_bytes(serialization.Encoding.PEM)
    key_pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    files = Certificate(
        certificate=folder / "public.crt",
        key=folder / "private.key",
        combined=folder / "combined.pem",
        pkcs12=folder / "keystore.p12",
    )
    files.certificate.write_bytes(cert_pem)
    for path, content in (
        (files.key, key_pem),
        (files.combined, key_pem + cert_pem),
        (
            files.pkcs12,
            pkcs12.serialize_key_and_certificates(
                b"lfsproxy",
                key,
                certificate,
                None,
                serialization.BestAvailableEncryption(PKCS12_PASSWORD.encode()),
            ),
        ),
    ):
        path.touch(mode=0o600)
        path.write_bytes(content)
    return files


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)
