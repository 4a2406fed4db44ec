"""The way to Google: an account by its alias, a project that it may be used for, one call.

    found = await cloud.read(context.deadline, aim, lambda google, limit_s: ...)

The work runs on a thread, signed in, and gets the connection and how long a request may take.
"""

import importlib
import os
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, TypeVar
from uuid import uuid4

import structlog
from pydantic import Field

from flotilla import Deadline, FlotillaError, InvalidArgument, NotAllowed, TimedOut
from flotilla.accounts import DEFAULT, Accounts
from flotilla.credentials import Credentials
from flotilla.threads import Threads
from google_cloud.failures import DOUBTFUL, PROVIDER, translated
from google_cloud.settings import GoogleAccount, Settings

if TYPE_CHECKING:
    from google_cloud.connections import Connection

T = TypeVar("T")
Sdk = Literal["compute_v1", "storage", "resourcemanager_v3"]
Work = Callable[["Connection", float], T]
"""What is done on a thread: `(connection, timeout_s of each request)`."""

AccountName = Annotated[
    str | None,
    Field(max_length=64, description="An account's alias (listProjects names them)."),
]
Project = Annotated[
    str | None,
    Field(
        max_length=100,
        pattern=r"^(?:[a-z0-9.-]{1,60}:)?[a-z][a-z0-9-]{0,61}[a-z0-9]$",
        description="A project's ID, of listProjects; by default the account's own.",
    ),
]

_LEAST_LEFT_S = 1.0
"""With less time than this, a request is not sent a second time."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Aim:
    """What a call is about: an account by its alias, and a project that it may be used for."""

    alias: str
    account: GoogleAccount
    project: str


class Cloud:
    """All accounts, each signed in at its first use and anew when its key changes."""

    def __init__(
        self, settings: Settings, accounts: Accounts[GoogleAccount], credentials: Credentials
    ) -> None:
        self.accounts = accounts
        self._credentials = credentials
        self._places = settings.max_requests
        self._limit_s = settings.request_timeout_s
        self._threads = Threads(settings.max_requests, PROVIDER)
        self._loading = threading.Lock()
        self._signing_in = {alias: threading.Lock() for alias, _ in accounts}
        self._connections: dict[str, Connection] = {}
        self._changes = 0
        credentials.changed = self._forget

    async def aim(self, due: Deadline, account: str | None, project: str | None) -> Aim:
        """What a call means by its account and project.

        Raises InvalidArgument where no project is known, NotAllowed for one that the account must
        not be used for.
        """
        alias, entry = self.accounts.chosen(account)
        chosen = project or entry.project
        if chosen is None:
            own = await self.signed_in(due, alias, entry, lambda google, _: google.own_project)
            chosen = own or (entry.projects[0] if len(entry.projects) == 1 else None)
        if chosen is None:
            names = ", ".join(entry.projects)
            raise InvalidArgument(
                f"account {alias!r} has no project of its own; say which is meant",
                hint=f"Pass `project`, one of: {names}." if names else "listProjects names them.",
            )
        check_project(alias, entry, chosen)
        return Aim(alias, entry, chosen)

    async def read(self, due: Deadline, aim: Aim, work: Work[T], sdk: Sdk = "compute_v1") -> T:
        """What `work` returns; what Google or its SDK raises becomes an error of ours."""
        return await self.signed_in(due, aim.alias, aim.account, work, sdk)

    async def change(
        self, due: Deadline, aim: Aim, work: "Callable[[Connection, float, str], T]"
    ) -> T:
        """As `read` for what changes something: `work` also gets a request ID.

        Where the answer was lost it is sent once more with the same ID, by which Google knows it
        again and does not act twice. Source: AIP-155.
        """
        request_id = str(uuid4())
        for attempt in (1, 2):
            try:
                return await self.read(due, aim, lambda google, s: work(google, s, request_id))
            except FlotillaError as error:
                doubtful = error.details.get("reason") in DOUBTFUL or error.code == "timeout"
                if attempt == 1 and not doubtful:
                    raise
                if attempt == 2 or due.remaining_s() < _LEAST_LEFT_S:
                    error.details.update(mayHaveHappened=True, requestId=request_id)
                    error.hint = (
                        "Nobody knows whether it was done: look at the target before you repeat it."
                    )
                    raise
                log.info("google_request_repeated", request_id=request_id, code=error.code)
        raise AssertionError("unreachable")

    async def signed_in(
        self,
        due: Deadline,
        alias: str,
        account: GoogleAccount,
        work: Work[T],
        sdk: Sdk = "compute_v1",
    ) -> T:
        """`read` for what is about no project."""
        left = threading.Event()
        try:
            return await self._threads.run(
                due, partial(self._on_thread, due, left, alias, account, work, sdk)
            )
        finally:
            left.set()

    def close(self) -> None:
        while self._connections:
            self._connections.popitem()[1].close()

    def _on_thread(
        self,
        due: Deadline,
        left: threading.Event,
        alias: str,
        account: GoogleAccount,
        work: Work[T],
        sdk: Sdk,
    ) -> T:
        try:
            connection = self._connected(alias, account, sdk)
            if left.is_set():
                # Nobody waits any more: what was not begun is not begun behind their back.
                raise TimedOut("the call was given up before Google was asked")
            return work(connection, max(0.05, min(self._limit_s, due.remaining_s())))
        except Exception as error:
            ours = translated(error)
            if ours is None or ours is error:
                raise
            # Not from it: what the SDK raised holds the request, with its token.
            raise ours from None

    def _connected(self, alias: str, account: GoogleAccount, sdk: Sdk) -> "Connection":
        # One thread loads, the others wait: packages that load one another from two threads at once
        # may see each other half-made.
        with self._loading:
            importlib.import_module(f"google.cloud.{sdk}")
        with self._signing_in[alias]:
            found = self._connections.get(alias)
            if found is None:
                from google_cloud.connections import Connection

                changes = self._changes
                found = Connection(account, self._credentials, self._places)
                if changes == self._changes:
                    self._connections[alias] = found
            return found

    def _forget(self, secret: str) -> None:
        """A key has changed: the accounts that it is of sign in anew at their next call."""
        self._changes += 1
        for alias, account in self.accounts:
            if secret not in account.secrets():
                continue
            # No lock: this runs in the loop, which must not wait for a sign-in; a single operation
            # on a dict needs none.
            if (before := self._connections.pop(alias, None)) is not None:
                before.close()


def check_project(alias: str, account: GoogleAccount, project: str) -> None:
    """Raise NotAllowed where the account's list of projects lacks this one."""
    if account.projects and project not in account.projects:
        raise NotAllowed(
            f"account {alias!r} must not be used for project {project!r}",
            hint=f"It is for: {', '.join(account.projects)}.",
            details={"reason": "project_not_allowed"},
        )


def accounts_of(
    settings: Settings, config_dir: Path, env: Mapping[str, str] | None = None
) -> Accounts[GoogleAccount]:
    """The accounts of the file; without one, `default` where this machine says that it has one.

    What says so is the environment or gcloud's file; the metadata server is not asked.
    """
    file = settings.config or config_dir / "google_cloud.yaml"
    accounts = Accounts[GoogleAccount].load("account", file, GoogleAccount)
    if len(accounts) or not has_default_credentials(os.environ if env is None else env):
        return accounts
    return Accounts("account", file, {DEFAULT: GoogleAccount()})


def has_default_credentials(env: Mapping[str, str]) -> bool:
    """Whether Google's chain has something to find: a key, gcloud's file, or Google's own machine.

    Source: cloud.google.com/docs/authentication/application-default-credentials.
    """
    if any(env.get(key) for key in ("GOOGLE_APPLICATION_CREDENTIALS", "K_SERVICE")):
        return True
    if env.get("GCE_METADATA_HOST"):
        return True
    folder = env.get("CLOUDSDK_CONFIG") or f"{env.get('HOME', '')}/.config/gcloud"
    try:
        return (Path(folder) / "application_default_credentials.json").is_file()
    except OSError:
        return False
