"""Looking into TLS: certificates of our own, with which the browser takes us for the server.

There is one key, made anew for each proxy and kept in memory; only a browser that was started with
its hash trusts it. The real server's certificate is verified on the way out.
"""

import base64
import hashlib
import os
import ssl
import tempfile
from collections import OrderedDict
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from web_browsing.gate.spelling import Host

MAX_CONTEXTS: Final = 256
LASTS: Final = timedelta(days=2)
RENEWED: Final = timedelta(days=1)
_SKEW: Final = timedelta(hours=1)


def _now() -> datetime:
    return datetime.now(UTC)


class Looking:
    """Makes and remembers the contexts with which a host is played to the browser."""

    def __init__(self, now: Callable[[], datetime] = _now) -> None:
        self._now = now
        self._contexts: OrderedDict[str, tuple[datetime, ssl.SSLContext]] = OrderedDict()

    @cached_property
    def _key(self) -> ec.EllipticCurvePrivateKey:
        return ec.generate_private_key(ec.SECP256R1())

    @cached_property
    def spki_hash(self) -> str:
        """Base64 of the SHA-256 of the key's SubjectPublicKeyInfo. Source: RFC 7469 §2.4."""
        public = self._key.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        return base64.b64encode(hashlib.sha256(public).digest()).decode()

    def context(self, host: Host) -> ssl.SSLContext:
        """For the browser's side of a tunnel to that host. A new one takes about a millisecond."""
        remembered = self._contexts.get(host.name)
        if remembered is not None and remembered[0] > self._now():
            self._contexts.move_to_end(host.name)
            return remembered[1]
        context = self._loaded(self._certificate(host))
        self._contexts[host.name] = self._now() + RENEWED, context
        self._contexts.move_to_end(host.name)
        if len(self._contexts) > MAX_CONTEXTS:
            self._contexts.popitem(last=False)
        return context

    def _certificate(self, host: Host) -> x509.Certificate:
        # The host is among the alternative names; a common name has no room for a long one.
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Flotilla: the gate")])
        alternative = x509.IPAddress(host.address) if host.address else x509.DNSName(host.name)
        return (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(self._key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(self._now() - _SKEW)
            .not_valid_after(self._now() + LASTS)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(x509.SubjectAlternativeName([alternative]), critical=False)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
            .sign(self._key, hashes.SHA256())
        )

    def _loaded(self, certificate: x509.Certificate) -> ssl.SSLContext:
        private = self._key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.options |= ssl.OP_NO_RENEGOTIATION
        context.set_alpn_protocols(["http/1.1"])
        _load(context, certificate.public_bytes(serialization.Encoding.PEM) + private)
        return context


def _load(context: ssl.SSLContext, pem: bytes) -> None:
    """The library loads from files alone: from one that has no name, where there are such."""
    if hasattr(os, "memfd_create"):
        with os.fdopen(os.memfd_create("gate"), "w+b") as held:
            held.write(pem)
            held.flush()
            context.load_cert_chain(f"/proc/self/fd/{held.fileno()}")
        return
    with tempfile.TemporaryDirectory() as folder:  # of mode 0700
        file = Path(folder) / "gate.pem"
        file.write_bytes(pem)
        context.load_cert_chain(file)
