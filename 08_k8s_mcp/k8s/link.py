"""One pooled client of the Kubernetes library for one access, made on first use."""

import asyncio
import os
import tempfile
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from urllib.request import getproxies_environment, proxy_bypass

from flotilla.errors import NotConfigured
from k8s.access import Access, Pem

if TYPE_CHECKING:
    from aiohttp import ClientSession, TraceConfig
    from kubernetes.aio.client import ApiClient

MAX_CONNECTIONS = 32
Stamp = tuple[tuple[str, int, int], ...]
"""Files with the time and size of what is in them."""
USER_AGENT = "flotilla-k8s"


def _staying() -> "TraceConfig":
    """Raises where a redirect would be followed: aiohttp's WebSockets follow them and take the
    headers of an impersonation along, and nothing else of it can forbid that."""
    from aiohttp import ClientError, TraceConfig

    async def refuse(_session: Any, _context: Any, redirect: Any) -> None:
        redirect.response.close()
        raise ClientError("the API server leads elsewhere")

    trace = TraceConfig()
    trace.on_request_redirect.append(refuse)
    trace.freeze()
    return trace


class Link:
    """The connections to one API server: `session` is the library's own, with its TLS."""

    def __init__(self, access: Access, client: "ApiClient") -> None:
        self.access = access
        self.stamp = stamp_of(access.files())
        self._client = client
        self._users = 0

    @classmethod
    async def open(cls, alias: str, access: Access) -> "Link":
        """Load the library on a thread: it takes half a second the first time."""
        try:
            rest = await asyncio.to_thread(_made, access)
        except (OSError, ValueError) as error:
            # Of TLS material the words of an error may show a part of it.
            raise NotConfigured(
                f"cluster {alias}: its certificates or key cannot be used ({type(error).__name__})",
                hint="Look at the certificate authority, the client certificate and its key.",
            ) from None
        return cls(access, rest)

    @property
    def session(self) -> "ClientSession":
        rest: Any = self._client.rest_client
        if rest.pool_manager is None:
            rest.pool_manager = rest._create_pool_manager()
            rest.pool_manager.trace_configs.append(_staying())
        return rest.pool_manager

    @property
    def proxy(self) -> str | None:
        return self.access.proxy or environment_proxy(self.access.server)

    def __enter__(self) -> "Link":
        self._users += 1
        return self

    def __exit__(self, *_: object) -> None:
        self._users -= 1

    @property
    def idle(self) -> bool:
        return self._users == 0

    async def close(self) -> None:
        await self._client.close()


def stamp_of(files: Iterable[str]) -> Stamp:
    """Of which state of files a connection is; another stamp asks for another connection."""
    found: list[tuple[str, int, int]] = []
    for name in files:
        with suppress(OSError):
            state = Path(name).stat()
            found.append((name, state.st_mtime_ns, state.st_size))
    return tuple(found)


def environment_proxy(server: str) -> str | None:
    """The proxy that HTTPS_PROXY and NO_PROXY name, as kubectl reads them."""
    parts = urlsplit(server)
    host = parts.hostname or ""
    if proxy_bypass(host):
        return None
    return getproxies_environment().get(parts.scheme)


def _made(access: Access) -> "ApiClient":
    from kubernetes.aio.client import ApiClient, Configuration

    with tempfile.TemporaryDirectory(prefix="flotilla-k8s-") as folder:
        # OpenSSL takes a client's key from a file alone; it is gone when this block ends.
        certificate = _on_disk(access.certificate, Path(folder) / "certificate")
        key = _on_disk(access.key, Path(folder) / "key")
        configuration = Configuration(
            host=access.server,
            ssl_ca_cert=access.authority.file or None,
            ca_cert_data=access.authority.text or None,
            cert_file=certificate,
            key_file=key,
            verify_ssl=not access.insecure,
            tls_server_name=access.tls_server_name or None,
            connection_pool_maxsize=MAX_CONNECTIONS,
            # Else aiohttp would take passwords of ~/.netrc; proxies are given by us.
            client_session_kwargs={"trust_env": False, "auto_decompress": True},
        )
        # Authorities of kubeadm lack the key identifier that OpenSSL's strict mode of Python 3.13
        # asks for; kubectl takes them.
        configuration.disable_strict_ssl_verification = True
        return ApiClient(configuration)


def _on_disk(pem: Pem, place: Path) -> str | None:
    if not pem.text:
        return pem.file or None
    opened = os.open(place, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(opened, "w") as file:
        file.write(pem.text)
    return str(place)
