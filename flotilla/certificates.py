"""Certificates for TLS within the fleet: two authorities, and a folder for each service.

The authorities' own keys are thrown away once they have signed: new certificates come from new
authorities, all at once. Source: RFC 5280.
"""

import ipaddress
from collections.abc import Collection, Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from flotilla.identity import write_once
from flotilla.tls import CERTIFICATE, KEY, TRUSTED

DAYS = 365
RENEWED_DAYS = 60
"""Certificates that end within this are made anew."""
_SKEW = timedelta(minutes=5)


class _Authority:
    def __init__(self, name: str, until: datetime) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._until = until
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        usage = x509.KeyUsage(False, False, False, False, False, True, True, False, False)
        self.certificate = (
            _unsigned(self._name, self._name, self._key.public_key(), self._key.public_key(), until)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(usage, critical=True)
            .sign(self._key, hashes.SHA256())
        )

    def issue(self, folder: Path, names: Collection[str], trusted: "_Authority", use: str) -> None:
        """Write the folder of a service: who it is, and whom it trusts."""
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, next(iter(names)))])
        usages = {
            "server": ExtendedKeyUsageOID.SERVER_AUTH,
            "client": ExtendedKeyUsageOID.CLIENT_AUTH,
        }
        certificate = (
            _unsigned(subject, self._name, key.public_key(), self._key.public_key(), self._until)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.SubjectAlternativeName(map(_named, names)), critical=False)
            .add_extension(x509.ExtendedKeyUsage([usages[use]]), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        private = key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for name, content in (
            (KEY, private),
            (TRUSTED, _pem(trusted.certificate)),
            # The last one: where it is there, so are the others.
            (CERTIFICATE, _pem(certificate)),
        ):
            (folder / name).unlink(missing_ok=True)
            write_once(folder / name, content, mode=0o600)


def make_certificates(
    root: Path,
    hub: str,
    services: Iterable[str],
    *,
    names: Iterable[str] = (),
    days: int = DAYS,
    now: datetime | None = None,
) -> bool:
    """A folder below `root` for the hub and each service, by its name; True where they were made.

    A service is called by its name with dashes, and by `names` beside (say `127.0.0.1`). Nothing is
    done where all folders are there and their certificates last for 60 days.
    """
    now = now or datetime.now(UTC)
    services = list(services)
    if all(_lasts(root / name / CERTIFICATE, now) for name in (hub, *services)):
        return False
    until = now + timedelta(days=days)
    callers = _Authority("Flotilla: the hub", until)
    called = _Authority("Flotilla: the services", until)
    callers.issue(root / hub, [hub], called, "client")
    for name in services:
        called.issue(root / name, [name.replace("_", "-"), *names], callers, "server")
    return True


def _unsigned(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePublicKey,
    issuer_key: ec.EllipticCurvePublicKey,
    until: datetime,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(datetime.now(UTC) - _SKEW)
        .not_valid_after(until)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key), critical=False
        )
    )


def _lasts(file: Path, now: datetime) -> bool:
    try:
        certificate = x509.load_pem_x509_certificate(file.read_bytes())
    except (OSError, ValueError):
        return False
    return certificate.not_valid_after_utc - now > timedelta(days=RENEWED_DAYS)


def _named(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)
