"""TLS between the hub and its services, each proving to the other who it is; off by default.

A service trusts one authority that vouches for the hub alone, the hub another that vouches for the
services: what is stolen from one service opens no other. Source: RFC 8446.
"""

import ssl
from pathlib import Path

from flotilla.settings import Misconfigured

CERTIFICATE, KEY, TRUSTED = "certificate.pem", "key.pem", "trusted.pem"
"""What a folder holds: whom this service is, and the authority of those whom it talks with."""


def server_context(folder: Path) -> ssl.SSLContext:
    """For a service that takes only whom `trusted.pem` vouches for; Misconfigured names a file."""
    context = _loaded(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), folder)
    context.verify_mode = ssl.CERT_REQUIRED
    return context


def client_context(folder: Path) -> ssl.SSLContext:
    """For the hub, which checks that a service has the name by which it is called."""
    return _loaded(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), folder)


def _loaded(context: ssl.SSLContext, folder: Path) -> ssl.SSLContext:
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    for name in (CERTIFICATE, KEY, TRUSTED):
        if not (folder / name).is_file():
            raise Misconfigured(
                f"FLOTILLA_TLS_DIR: {folder / name} is not there; "
                "`python3 -m flotilla keys certificates` makes the folders of all services"
            )
    try:
        context.load_cert_chain(folder / CERTIFICATE, folder / KEY)
        context.load_verify_locations(folder / TRUSTED)
    except (OSError, ssl.SSLError) as error:
        raise Misconfigured(f"FLOTILLA_TLS_DIR: {folder} cannot be used: {error}") from None
    return context
