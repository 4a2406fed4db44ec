"""What a spoke needs to reach other systems, which the hub brings it from the secrets spoke.

A setting names a stored secret (`secret:ssh/web1`) instead of holding a value; the spoke says which
names it needs, and the hub, once connected, gives it the values, again after every rotation.
"""

from collections.abc import Callable, Iterable, Mapping

from pydantic import Field

from flotilla.errors import NotConfigured
from flotilla.model import Model
from flotilla.operations import HUB_ROLE, Operation

NAMED = "secret:"
"""How a setting begins that names a stored secret."""
NEEDS = "credentials.needs"
GIVE = "credentials.give"


def secret_named(setting: str) -> str | None:
    """The name of the stored secret that a setting names: `secret:ssh/web1` -> `ssh/web1`."""
    return setting.removeprefix(NAMED) if setting.startswith(NAMED) else None


class Credentials:
    """The values of a spoke's secrets by their names, as far as the hub has brought them."""

    def __init__(self, needs: Iterable[str] = ()) -> None:
        self.needs = tuple(dict.fromkeys(needs))
        self._values: dict[str, str] = {}
        self._refused: dict[str, str] = {}
        self.changed: Callable[[str], None] = lambda _name: None
        """Told the name of a secret whose value is another now: what was built on it is stale."""

    def get(self, name: str) -> str:
        """The value; NotConfigured while the hub has not brought it."""
        value = self._values.get(name)
        if value is None:
            why = self._refused.get(name, "not_brought")
            raise NotConfigured(
                f"the stored secret {name!r} has not been brought to this service ({why})",
                hint=f"Store it with `python3 -m flotilla secrets write {name}` and allow this "
                "service to use it.",
                details={"reason": why},
            )
        return value

    def missing(self) -> tuple[str, ...]:
        return tuple(name for name in self.needs if name not in self._values)

    def give(
        self, values: Mapping[str, str], refused: Mapping[str, str] | None = None
    ) -> tuple[str, ...]:
        """Take over what the hub brings, give up what is refused; which are others than before.

        `refused` says why, by names. Names that the spoke did not ask for are left out.
        """
        self._refused = dict(refused or {})
        now = {name: values.get(name) for name in self.needs if name in {**values, **self._refused}}
        changed = tuple(name for name, value in now.items() if value != self._values.get(name))
        for name in changed:
            value = now[name]
            if value is None:
                del self._values[name]
            else:
                self._values[name] = value
        for name in changed:
            self.changed(name)
        return changed


class Nothing(Model):
    """No body."""


class Needs(Model):
    """The names of all secrets that a spoke needs, and of those that it has not been brought."""

    names: tuple[str, ...]
    missing: tuple[str, ...]


class Brought(Model):
    """Values by their names, and why there are no others."""

    values: dict[str, str] = Field(repr=False)
    refused: dict[str, str] = Field(default_factory=dict[str, str])


class Taken(Model):
    """Which values are others now, and what is still missing."""

    changed: tuple[str, ...]
    missing: tuple[str, ...]


def credential_operations(
    credentials: Credentials, learn: Callable[[Iterable[str]], None]
) -> tuple[Operation, Operation]:
    """How the hub asks what a spoke needs, and gives it. `learn` hears every value first."""

    async def needs(_: Nothing) -> Needs:
        return Needs(names=credentials.needs, missing=credentials.missing())

    async def give(brought: Brought) -> Taken:
        learn(brought.values.values())
        changed = credentials.give(brought.values, brought.refused)
        return Taken(changed=changed, missing=credentials.missing())

    return (
        Operation(name=NEEDS, takes=Nothing, run=needs, role=HUB_ROLE),
        Operation(name=GIVE, takes=Brought, run=give, role=HUB_ROLE),
    )
