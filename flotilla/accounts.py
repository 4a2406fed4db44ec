"""`config/<service>.yaml`: the accounts of a provider by alias, several side by side.

A call names one by its alias, never by an address; where there is one alone, or one called
`default`, it may be left out. Secrets stand as `secret:<name>` and are brought by the hub.
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Generic, Self, TypeVar, cast

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, ValidationError

from flotilla.credentials import secret_named
from flotilla.errors import InvalidArgument, NotConfigured, NotFound
from flotilla.settings import Misconfigured

DEFAULT = "default"
_ALIAS = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def _secret_or_file(value: str) -> str:
    if secret_named(value) or value.startswith("/"):
        return value
    raise ValueError("give secret:<name of a stored secret> or the absolute path of a file")


SecretPlace = Annotated[str, AfterValidator(_secret_or_file)]
"""`secret:<name of a stored secret>`, or the absolute path of a file that holds it."""


class Account(BaseModel):
    """Base of what the file says of one account; unknown keys are mistakes."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    def secrets(self) -> tuple[str, ...]:
        """The names of the stored secrets that it needs: all values that begin with `secret:`."""
        texts = (value for _, value in self if isinstance(value, str))
        return tuple(name for text in texts if (name := secret_named(text)))


Entry = TypeVar("Entry", bound=Account)


class Accounts(Generic[Entry]):
    """The accounts of one provider by alias, in the file's order.

    `word` is what the provider calls one (`account`, `vcenter`, `cluster`): the key of the file is
    its plural, the parameter of tools its own name.
    """

    def __init__(self, word: str, file: Path, entries: Mapping[str, Entry]) -> None:
        self._word = word
        self._file = file
        self._entries = dict(entries)

    @classmethod
    def load(cls, word: str, file: Path, entry: type[Entry]) -> Self:
        """Read the file; none at all means no accounts.

        Raises Misconfigured with the file and the key that is wrong.
        """
        try:
            text = file.read_text(encoding="utf-8")
        except FileNotFoundError:
            return cls(word, file, {})
        except (OSError, UnicodeDecodeError) as error:
            raise Misconfigured(f"cannot read {file}: {error}") from None
        try:
            return cls(word, file, _read(yaml.safe_load(text), f"{word}s", entry))
        except yaml.YAMLError as error:
            where = " ".join(str(error).split())
            raise Misconfigured(f"{file} is not valid YAML: {where}") from None
        except Misconfigured as error:
            raise Misconfigured(f"{file}: {error}") from None

    def __iter__(self) -> Iterator[tuple[str, Entry]]:
        return iter(self._entries.items())

    def __len__(self) -> int:
        return len(self._entries)

    def chosen(self, alias: str | None) -> tuple[str, Entry]:
        """The one that a call means.

        Raises NotFound for an unknown alias, InvalidArgument where several could be meant,
        NotConfigured where there is none.
        """
        names = ", ".join(self._entries)
        if not self._entries:
            raise NotConfigured(f"no {self._word} is set up", hint=f"Add one to {self._file.name}.")
        if alias is None:
            if DEFAULT in self._entries:
                alias = DEFAULT
            elif len(self._entries) == 1:
                (alias,) = self._entries
            else:
                raise InvalidArgument(
                    f"say which {self._word} is meant",
                    hint=f"Pass `{self._word}`, one of: {names}.",
                )
        found = self._entries.get(alias)
        if found is None:
            raise NotFound(f"there is no {self._word} {alias!r}", hint=f"There are: {names}.")
        return alias, found

    def needs(self) -> tuple[str, ...]:
        """The stored secrets that they need, for `Credentials`."""
        return tuple(dict.fromkeys(name for _, entry in self for name in entry.secrets()))


def _read(parsed: Any, key: str, entry: type[Entry]) -> dict[str, Entry]:
    if parsed is None:
        return {}
    if not isinstance(parsed, dict) or set(cast("dict[Any, Any]", parsed)) - {key}:
        raise Misconfigured(f"it must be a map with the one key `{key}`")
    listed: Any = cast("dict[str, Any]", parsed).get(key) or {}
    if not isinstance(listed, dict):
        raise Misconfigured(f"{key}: must be a map of alias to settings")
    found: dict[str, Entry] = {}
    for alias, value in cast("dict[Any, Any]", listed).items():
        if not isinstance(alias, str) or not _ALIAS.fullmatch(alias):
            raise Misconfigured(f"{key}.{alias}: an alias is letters, digits and `._-`")
        try:
            found[alias] = entry.model_validate(value or {})
        except ValidationError as error:
            raise Misconfigured(_told(f"{key}.{alias}", error)) from None
    return found


def _told(where: str, error: ValidationError) -> str:
    first = error.errors(include_url=False, include_input=False)[0]
    place = ".".join(str(part) for part in (where, *first["loc"]))
    return f"{place}: {first['msg'].removeprefix('Value error, ')}"
