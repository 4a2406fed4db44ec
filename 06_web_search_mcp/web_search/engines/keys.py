"""The keys of engines: stored secrets that the hub brings, or files that are read at start."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from flotilla import NotConfigured
from flotilla.credentials import Credentials, secret_named
from flotilla.settings import Misconfigured, read_secret


class Keys:
    """Values by their place in the file: `secret:<name>`, or the path of a file.

    A file that cannot be read stops its engine only.
    """

    def __init__(self, places: Iterable[str]) -> None:
        listed = list(places)
        names = (secret_named(place) for place in listed)
        self.credentials = Credentials(name for name in names if name is not None)
        self._files, self._unread = _files(listed)

    @property
    def secrets(self) -> tuple[str, ...]:
        """What was read from files and must never leave."""
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


def _files(places: Iterable[str]) -> tuple[Mapping[str, str], Mapping[str, str]]:
    found, unread = dict[str, str](), dict[str, str]()
    for place in places:
        if secret_named(place) is None:
            try:
                found[place] = read_secret(Path(place), "the key")
            except Misconfigured as error:
                unread[place] = str(error)
    return found, unread
