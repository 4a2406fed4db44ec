"""The values of secrets by the places that settings give: `secret:<name>`, or a file's path.

A stored one is brought by the hub and is another after its rotation. Of files there are two ways:
`PlacedSecrets` reads them at start, so that the redactor knows them, `secret_at` at every use.
"""

from collections.abc import Mapping
from pathlib import Path

from flotilla.credentials import Credentials, secret_named
from flotilla.errors import NotConfigured
from flotilla.settings import Misconfigured, read_secret


class PlacedSecrets:
    """The values at these places, files as they are at start.

    `places` says for each what its mistakes begin with: the setting, or whose it is. A file that
    cannot be read stops only what asks for it.
    """

    def __init__(self, places: Mapping[str, str]) -> None:
        names = (secret_named(place) for place in places)
        self.credentials = Credentials(name for name in names if name is not None)
        self._files: dict[str, str] = {}
        self._unread: dict[str, str] = {}
        for place, key in places.items():
            if secret_named(place) is None:
                try:
                    self._files[place] = read_secret(Path(place), key)
                except Misconfigured as error:
                    self._unread[place] = str(error)

    @property
    def from_files(self) -> tuple[str, ...]:
        """What was read from files and must never leave: for `Spoke(secrets=...)`."""
        return tuple(self._files.values())

    def get(self, place: str) -> str:
        """The value; NotConfigured where there is none, or not yet."""
        name = secret_named(place)
        if name is not None:
            return self.credentials.get(name)
        if place in self._unread:
            raise NotConfigured(self._unread[place], hint="Mend the file and start again.")
        return self._files[place]

    def missing(self, place: str) -> str | None:
        """Why there is no value; None where there is one."""
        try:
            self.get(place)
        except NotConfigured as error:
            return error.message
        return None


def secret_at(place: str, credentials: Credentials, key: str, hint: str | None = None) -> str:
    """The value as it is now: a file is read anew each time.

    Raises NotConfigured; where a file cannot be read, with `key` before the reason and with `hint`.
    """
    name = secret_named(place)
    if name is not None:
        return credentials.get(name)
    try:
        return read_secret(Path(place), key)
    except Misconfigured as error:
        raise NotConfigured(str(error), hint=hint) from None
