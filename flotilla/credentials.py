"""What a spoke needs to reach other systems, which the hub brings it from the secrets spoke.

A setting names a stored secret (`secret:ssh/web1`) instead of holding a value; the spoke says which
names it needs, and the hub, once connected, gives it the values, again after every rotation.
"""

from collections.abc import Callable, Iterable, Mapping

from flotilla.errors import NotConfigured

NAMED = "secret:"
"""How a setting begins that names a stored secret."""


def secret_named(setting: str) -> str | None:
    """The name of the stored secret that a setting names: `secret:ssh/web1` -> `ssh/web1`."""
    return setting.removeprefix(NAMED) if setting.startswith(NAMED) else None


class Credentials:
    """The values of a spoke's secrets by their names, as far as the hub has brought them."""

    def __init__(self, needs: Iterable[str] = ()) -> None:
        self.needs = tuple(dict.fromkeys(needs))
        self._values: dict[str, str] = {}
        self.changed: Callable[[str], None] = lambda _name: None
        """Told the name of a secret whose value is another now: what was built on it is stale."""

    def get(self, name: str) -> str:
        """The value; NotConfigured while the hub has not brought it."""
        value = self._values.get(name)
        if value is None:
            raise NotConfigured(
                f"the stored secret {name!r} has not been brought to this service",
                hint=f"Store it with `python3 -m flotilla secrets write {name}` and allow this "
                "service to use it.",
            )
        return value

    def missing(self) -> tuple[str, ...]:
        return tuple(name for name in self.needs if name not in self._values)

    def give(self, values: Mapping[str, str]) -> None:
        """Take over what the hub brings; names that the spoke did not ask for are left out."""
        for name in self.needs:
            value = values.get(name)
            if value is not None and value != self._values.get(name):
                self._values[name] = value
                self.changed(name)
