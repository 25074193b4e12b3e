"""A certificate authority for tests: it signs what servers and clients need, as PEM files."""

from __future__ import annotations

import datetime
import ipaddress
from pathlib import Path

import attrs
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


@attrs.frozen
class Issued:
    """Where the files are; ``combined`` is key and certificate in one, as Kafka's PEM key stores are."""

    certificate: Path
    key: Path
    combined: Path


class Authority:
    """Signs certificates, which are valid for a day. ``within`` makes it an intermediate one."""

    def __init__(self, folder: Path, name: str = "tests", within: Authority | None = None) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._name = name
        self._within = within
        self._key = ec.generate_private_key(ec.SECP256R1())
        signer = within or self
        self._certificate = signer._sign(name, self._key, [], ca=True)
        self.file = folder / f"{name}.pem"
        self.file.write_bytes(_pem(self._certificate))

    def issue(self, name: str, *names: str, old: bool = False, days: float = 1) -> Issued:
        """A certificate for hosts and IP addresses (``name`` among them), with the chain behind it.

        ``old``: the name stands only where it stood before there was a subjectAltName. ``days`` is how long
        it is valid from now on; below 0 it has expired.
        """
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = _pem(self._sign(name, key, [] if old else [name, *names], ca=False, days=days))
        if self._within is not None:
            certificate += _pem(self._certificate)
        private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        files = Issued(*(self._folder / f"{self._name}-{name}.{kind}" for kind in ("crt", "key", "pem")))
        files.certificate.write_bytes(certificate)
        files.key.write_bytes(private)
        files.combined.write_bytes(private + certificate)
        return files

    def _sign(
        self, name: str, key: ec.EllipticCurvePrivateKey, names: list[str], *, ca: bool, days: float = 1
    ) -> x509.Certificate:
        now = datetime.datetime.now(datetime.UTC)
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, self._name)]))
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(hours=1, days=max(0.0, -days)))
            .not_valid_after(now + datetime.timedelta(days=days))
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        )
        if names:
            hosts = [_host(each) for each in names]
            builder = builder.add_extension(x509.SubjectAlternativeName(hosts), critical=False)
        return builder.sign(self._key, hashes.SHA256())


def _host(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)
