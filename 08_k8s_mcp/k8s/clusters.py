"""The clusters that calls may name: `config/k8s.yaml`, the contexts of a kubeconfig, or the one
that this service itself runs in."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

import structlog
from pydantic import model_validator

from flotilla.accounts import Account, Accounts, SecretPlace
from flotilla.credentials import Credentials, secret_named
from flotilla.errors import FlotillaError
from flotilla.settings import Misconfigured
from k8s.access import Access, Pem, judged, without_user
from k8s.api import Cluster
from k8s.kinds import Kinds
from k8s.kubeconfig import Kubeconfig
from k8s.link import Link, Stamp, stamp_of
from k8s.tokens import FromFile, FromSecret

log = structlog.get_logger(__name__)

IN_CLUSTER = "in-cluster"
RETIRED_S = 900.0
"""No call lasts as long."""
SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")


class ClusterAccount(Account):
    """One of `clusters:` in k8s.yaml: a server with what it takes, or a context of a kubeconfig."""

    server: str = ""
    ca_file: str = ""
    token: SecretPlace | None = None
    client_certificate: SecretPlace | None = None
    client_key: SecretPlace | None = None
    tls_server_name: str = ""
    proxy_url: str = ""
    namespace: str = "default"
    insecure_skip_tls_verify: bool = False
    kubeconfig: str = ""
    context: str = ""

    @model_validator(mode="after")
    def _one_way(self) -> "ClusterAccount":
        if bool(self.server) == bool(self.kubeconfig):
            raise ValueError("give either `server` or `kubeconfig` and `context`")
        if bool(self.client_certificate) != bool(self.client_key):
            raise ValueError("client_certificate and client_key go together")
        return self


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """A cluster as listContexts tells of it, without asking it anything."""

    cluster: str
    server: str
    namespace: str
    source: str
    current: bool
    problem: str | None


class Clusters:
    """Brings the client of a cluster by its alias, with connections that are shared and kept."""

    def __init__(
        self,
        accounts: Accounts[ClusterAccount],
        credentials: Credentials,
        *,
        current: str = "",
        exec_plugins: bool = False,
        insecure_tls: bool = False,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._accounts = accounts
        self._credentials = credentials
        self._current = current
        self._exec_plugins = exec_plugins
        self._insecure_tls = insecure_tls
        self._clock = clock
        self._links: dict[str, Link] = {}
        self._kinds: dict[str, Kinds] = {}
        self._locks: dict[str, asyncio.Lock] = {}
        self._retired: list[tuple[float, Link]] = []
        self._kubeconfigs: dict[str, tuple[Stamp, Kubeconfig]] = {}
        self._stale: set[str] = set()

    def __len__(self) -> int:
        return len(self._accounts)

    async def client(self, cluster: str | None = None) -> Cluster:
        """The cluster that a call means; see Accounts.chosen for what is meant by None.

        Raises NotFound, InvalidArgument, NotConfigured.
        """
        alias, entry = self._accounts.chosen(cluster)
        async with self._locks.setdefault(alias, asyncio.Lock()):
            link = self._links.get(alias)
            if link is None or alias in self._stale or link.stamp != _stamp(entry, link.access):
                access = await asyncio.to_thread(self._access, alias, entry)
                fresh = await Link.open(alias, access)
                fresh.stamp = _stamp(entry, access)
                self._stale.discard(alias)
                if link is not None:
                    self._retired.append((self._clock(), link))
                self._links[alias] = link = fresh
        await self._close_idle()
        return Cluster(alias, link, self._kinds.setdefault(alias, Kinds()))

    def known(self) -> list[Known]:
        """All clusters, in the order of the files, with what keeps one from being used."""
        return [self._told(alias, entry) for alias, entry in self._accounts]

    def secret_changed(self, name: str) -> None:
        """Connections that were made with a certificate or key of that name are made anew."""
        for alias, entry in self._accounts:
            if name in entry.secrets():
                self._stale.add(alias)

    @asynccontextmanager
    async def open(self) -> AsyncGenerator[None]:
        """Closes all connections at the end."""
        try:
            yield
        finally:
            for link in (*self._links.values(), *(link for _, link in self._retired)):
                await link.close()
            self._links.clear()
            self._retired.clear()

    async def _close_idle(self) -> None:
        # A call that began before may still make requests on it, one after the other.
        before = self._clock() - RETIRED_S
        idle = [each for each in self._retired if each[0] < before and each[1].idle]
        for each in idle:
            self._retired.remove(each)
        for _, link in idle:
            await link.close()

    def _access(self, alias: str, entry: ClusterAccount) -> Access:
        return judged(alias, self._said(entry), insecure_tls=self._insecure_tls)

    def _said(self, entry: ClusterAccount) -> Access:
        if entry.kubeconfig:
            kubeconfig = self._kubeconfig(entry.kubeconfig)
            return kubeconfig.access(
                entry.context or kubeconfig.current, exec_plugins=self._exec_plugins
            )
        token = entry.token
        named = secret_named(token) if token else None
        return Access(
            server=entry.server,
            authority=Pem(file=entry.ca_file),
            certificate=self._pem(entry.client_certificate),
            key=self._pem(entry.client_key),
            tokens=FromSecret(named, self._credentials)
            if named
            else FromFile(Path(token))
            if token
            else None,
            namespace=entry.namespace,
            tls_server_name=entry.tls_server_name,
            proxy=entry.proxy_url,
            insecure=entry.insecure_skip_tls_verify,
        )

    def _kubeconfig(self, files: str) -> Kubeconfig:
        """As the files are now; read again only where they have changed."""
        paths = files.split(":")
        stamp = stamp_of(paths)
        kept = self._kubeconfigs.get(files)
        if kept is None or kept[0] != stamp:
            kept = (stamp, Kubeconfig.read([Path(path) for path in paths]))
            self._kubeconfigs[files] = kept
        return kept[1]

    def _pem(self, place: str | None) -> Pem:
        if place is None:
            return Pem()
        named = secret_named(place)
        return Pem(text=self._credentials.get(named)) if named else Pem(file=place)

    def _told(self, alias: str, entry: ClusterAccount) -> Known:
        problem = None
        server, namespace = entry.server, entry.namespace
        try:
            access = self._access(alias, entry)
            server, namespace = access.server, access.namespace
        except (FlotillaError, Misconfigured) as error:
            problem = str(error)
        source = "kubeconfig" if entry.kubeconfig else "k8s.yaml"
        return Known(
            cluster=alias,
            server=without_user(server),
            namespace=namespace,
            source=IN_CLUSTER if alias == IN_CLUSTER else source,
            current=bool(self._current) and entry.context == self._current,
            problem=problem,
        )


def found_accounts(
    file: Path, kubeconfigs: tuple[Path, ...], env: Mapping[str, str], own: Path = SERVICE_ACCOUNT
) -> tuple[Accounts[ClusterAccount], str]:
    """All clusters by alias, and the kubeconfig's current context.

    k8s.yaml goes first; a context of the same name is left out. The cluster that this service runs
    in is there only where neither names any. Raises Misconfigured for a file that is broken.
    """
    listed = Accounts[ClusterAccount].load("cluster", file, ClusterAccount)
    entries = dict(listed)
    kubeconfig = Kubeconfig.read(kubeconfigs)
    together = ":".join(str(path.absolute()) for path in kubeconfigs)
    for context in kubeconfig.contexts:
        entries.setdefault(context, ClusterAccount(kubeconfig=together, context=context))
    host, port = env.get("KUBERNETES_SERVICE_HOST"), env.get("KUBERNETES_SERVICE_PORT", "443")
    if not entries and host and (own / "token").is_file():
        bracketed = f"[{host}]" if ":" in host else host
        entries[IN_CLUSTER] = ClusterAccount(
            server=f"https://{bracketed}:{port}",
            ca_file=str(own / "ca.crt"),
            token=str(own / "token"),
            namespace=_own_namespace(own),
        )
    return Accounts("cluster", file, entries), kubeconfig.current


def _own_namespace(own: Path) -> str:
    try:
        return (own / "namespace").read_text(encoding="ascii").strip() or "default"
    except (OSError, UnicodeDecodeError):
        return "default"


def _stamp(entry: ClusterAccount, access: Access) -> Stamp:
    files = entry.kubeconfig.split(":") if entry.kubeconfig else ()
    return (*stamp_of(files), *stamp_of(access.files()))
