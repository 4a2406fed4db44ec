"""KV version 2: what is asked of it, and how its answers are read.

Source: Vault API documentation, page "KV secrets engine - version 2".
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, cast

import structlog

from flotilla import NotConfigured, UpstreamError
from secret_store.backend import Broken, Found, Value
from secret_store.stamps import Clock, Time, written
from secret_store.vault.speaking import Answer, Speaker, told
from secret_store.vault.tickets import Tickets

log = structlog.get_logger(__name__)

FIELD = "value"
"""The member of a secret's data that is its value."""


class LostRace(Exception):
    """The newest version was not the one that the write said."""


@dataclass(frozen=True, slots=True)
class VersionHeld:
    number: int
    created_at: Time
    readable: bool
    destroyed: bool


@dataclass(frozen=True, slots=True)
class Held:
    """What Vault knows of a path; `current` counts on when versions are deleted or destroyed."""

    current: int
    created_at: Time
    max_versions: int
    versions: tuple[VersionHeld, ...]
    """The newest first."""

    @property
    def readable(self) -> tuple[VersionHeld, ...]:
        """None where the newest was deleted: an older one must not come to the fore by that."""
        if not self.versions or not self.versions[0].readable:
            return ()
        return tuple(each for each in self.versions if each.readable)

    @property
    def newest(self) -> int:
        """The newest version, 0 where there is no such secret."""
        return self.current if self.readable else 0


class Kv:
    """One KV engine of one Vault; paths are those of our secrets."""

    def __init__(
        self, speaker: Speaker, tickets: Tickets, *, mount: str, folder: str, clock: Clock
    ) -> None:
        self._speaker = speaker
        self._tickets = tickets
        self._mount = mount
        self._below = "" if folder.strip("/") == "" else f"{folder.strip('/')}/"
        self._clock = clock
        self._is_checked = False

    async def check(self) -> None:
        """Raise unless the mount is a KV engine of version 2: in one of version 1, a write would
        land beside where it is looked for, and without versions.
        """
        answer = await self._get(f"sys/internal/ui/mounts/{self._mount}")
        if answer.status != 200 or not _is_kv_2(answer.data):
            raise NotConfigured(
                f"there is no KV engine of version 2 at {self._mount} in Vault",
                hint="Let SECRETS_VAULT_MOUNT and SECRETS_VAULT_NAMESPACE name one.",
                details={"reason": "vault_mount"},
            )
        self._is_checked = True

    async def held(self, path: str) -> Held | None:
        answer = await self._get(self._at("metadata", path))
        if _is_absent(answer, self._mount):
            return None
        return held_of(answer.data, self._clock.now())

    async def value(self, path: str, version: int | None) -> Found:
        query = None if version is None else {"version": str(version)}
        answer = await self._get(self._at("data", path), query)
        if _is_absent(answer, self._mount):
            return None
        return found_of(answer.data, path)

    async def keys(self, folder: str) -> Sequence[str]:
        """What is directly in a folder (`db/`, or none for all): secrets, and folders with /."""
        answer = await self._get(f"{self._at('metadata', folder)}", {"list": "true"})
        if _is_absent(answer, self._mount):
            return ()
        keys: Any = answer.data.get("keys")
        if not isinstance(keys, list):
            raise _garbage("a folder without keys")
        return [each for each in cast("list[object]", keys) if isinstance(each, str)]

    async def bound(self, path: str, versions: int) -> None:
        """Let that many versions of a secret be kept."""
        await self._check_once()
        body = {"max_versions": versions}
        _done(await self._post(self._at("metadata", path), body), "update", "metadata")

    async def write(self, path: str, value: str, newest: int) -> VersionHeld:
        """Add a version after `newest`, of which it is told whether it was; LostRace if not."""
        await self._check_once()
        body = {"options": {"cas": newest}, "data": {FIELD: value}}
        answer = await self._post(self._at("data", path), body)
        if answer.status == 400 and any("check-and-set" in each for each in answer.errors):
            raise LostRace
        _done(answer, "create and update", "data")
        return read_as("a write", lambda: _version(answer.data, int(answer.data["version"]), ""))

    async def destroy(self, path: str, numbers: Sequence[int]) -> None:
        body = {"versions": list(numbers)}
        _done(await self._post(self._at("destroy", path), body), "update", "destroy")

    async def _check_once(self) -> None:
        if not self._is_checked:
            await self.check()

    def _at(self, kind: str, path: str) -> str:
        return f"{self._mount}/{kind}/{self._below}{path}"

    async def _get(self, path: str, query: Mapping[str, str] | None = None) -> Answer:
        token = await self._tickets.token()
        answer = await self._speaker.read(path, query, token=token)
        if answer.status == 403 and await self._tickets.again(token):
            token = await self._tickets.token()
            answer = await self._speaker.read(path, query, token=token)
        return _allowed(answer, path)

    async def _post(self, path: str, body: Mapping[str, Any]) -> Answer:
        token = await self._tickets.token()
        answer = await self._speaker.write(path, body, token=token)
        # What is forbidden was not done, so it may be asked again.
        if answer.status == 403 and await self._tickets.again(token):
            token = await self._tickets.token()
            answer = await self._speaker.write(path, body, token=token)
        return _allowed(answer, path)


def held_of(data: Mapping[str, Any], now: Time) -> Held:
    """The metadata of a secret, as Vault tells it; UpstreamError for what is none."""

    def read() -> Held:
        versions = [
            _version(each, int(number), now)
            for number, each in cast("dict[str, dict[str, Any]]", data["versions"] or {}).items()
        ]
        versions.sort(key=lambda each: each.number, reverse=True)
        return Held(
            current=int(data["current_version"]),
            created_at=stamp_of(data["created_time"]),
            max_versions=int(data.get("max_versions") or 0),
            versions=tuple(versions),
        )

    return read_as("metadata", read)


def found_of(data: Mapping[str, Any], path: str) -> Found:
    """The value in a secret's data: its member `value`, or the only one that there is."""

    def read() -> Found:
        members = cast("dict[str, Any] | None", data["data"])
        number = int(data["metadata"]["version"])
        if members is None:
            return None
        only = next(iter(members.values())) if len(members) == 1 else None
        value = members.get(FIELD, only)
        if isinstance(value, str) and value:
            return Value(value, number)
        return Broken(
            path,
            number,
            reason="not_one_value",
            why=f"it has several members in Vault, and none is a text called {FIELD}",
            hint=f"Write it there with one member, {FIELD}, or with `secrets write`.",
        )

    return read_as("a secret", read)


def stamp_of(given: str) -> Time:
    """Vault's time, RFC 3339 with up to nine decimals, in our form; ValueError for no time."""
    moment = datetime.fromisoformat(given)
    if moment.tzinfo is None:
        raise ValueError("a time without a zone")
    return written(moment)


def read_as(what: str, read: Callable[[], Any]) -> Any:
    """What is read of an answer; UpstreamError where the answer is not as it should be."""
    try:
        return read()
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError):
        raise _garbage(what) from None


def _version(data: Mapping[str, Any], number: int, now: Time) -> VersionHeld:
    deleted_at, destroyed = data.get("deletion_time") or "", data.get("destroyed") is True
    # It may lie ahead: `delete_version_after`.
    is_deleted = bool(deleted_at) and stamp_of(deleted_at) <= now
    return VersionHeld(
        number=number,
        created_at=stamp_of(data["created_time"]),
        readable=not destroyed and not is_deleted,
        destroyed=destroyed,
    )


def _is_kv_2(mount: Mapping[str, Any]) -> bool:
    options = mount.get("options")
    if mount.get("type") != "kv" or not isinstance(options, dict):
        return False
    return str(cast("dict[str, Any]", options).get("version")) == "2"


def _is_absent(answer: Answer, mount: str) -> bool:
    """Whether it says that there is nothing; NotConfigured where there is no such mount."""
    if answer.status == 200:
        return False
    if answer.status != 404:
        log.warning("vault_refused_to_read", status=answer.status, told=told(answer))
        raise _garbage(f"HTTP {answer.status}")
    if answer.errors:
        log.warning("vault_has_no_such_mount", mount=mount, told=told(answer))
        raise NotConfigured(
            f"Vault has nothing at {mount}",
            hint="Let SECRETS_VAULT_MOUNT and SECRETS_VAULT_NAMESPACE name a KV engine.",
            details={"reason": "vault_mount"},
        )
    return True


def _allowed(answer: Answer, path: str) -> Answer:
    if answer.status == 403:
        log.warning("vault_forbids", path=path, told=told(answer))
        raise UpstreamError(
            "Vault's policy does not let the secrets spoke do that",
            hint="The README of 13_secrets_mcp shows the policy that it needs.",
            details={"reason": "vault_denied"},
        )
    return answer


def _done(answer: Answer, capability: str, kind: str) -> None:
    if answer.status not in (200, 204):
        log.warning("vault_refused_to_write", status=answer.status, told=told(answer))
        raise UpstreamError(
            f"Vault refused a write (HTTP {answer.status})",
            hint=f"The token needs {capability} on {kind}/ of the mount.",
            details={"reason": "vault_refused"},
        )


def _garbage(what: str) -> UpstreamError:
    return UpstreamError(
        f"Vault's answer is not to be read ({what})", details={"reason": "vault_garbage"}
    )
