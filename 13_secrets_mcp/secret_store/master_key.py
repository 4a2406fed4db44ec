"""Where the master key comes from: a file of ours, a given key, or a passphrase."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from flotilla import Misconfigured
from flotilla.identity import write_once
from flotilla.settings import read_secret
from secret_store.sealing import Argon2, id_of, new_key, read_key, written_key

FILE_NAME = "master_key"
NEXT_FILE_NAME = "master_key.next"
_WHAT_A_KEY_IS = "32 bytes in base64 or hexadecimal, say from `openssl rand -base64 32`"


@dataclass(frozen=True, slots=True)
class MasterKey:
    """The key that seals the data keys; `derived` is there where a passphrase made it."""

    key: bytes = field(repr=False)
    derived: Argon2 | None = None

    @property
    def id(self) -> str:
        return id_of(self.key)


class MasterFile:
    """A key in a file of ours, mode 0600, made when the store is new."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / FILE_NAME
        self._next = folder / NEXT_FILE_NAME
        self.called = str(self._file)

    def made(self) -> MasterKey:
        """The key of a store that has none yet."""
        write_once(self._file, f"{written_key(new_key())}\n".encode(), mode=0o600)
        return self._read(self._file)

    def known(self, derivations: Sequence[Argon2]) -> list[MasterKey]:
        """Every key that may be the store's: after a crash in a rotation, also the next one."""
        del derivations
        return [self._read(file) for file in (self._file, self._next) if file.exists()]

    def begin_next(self) -> MasterKey:
        """A new key, on the disk before anything is sealed with it."""
        self._next.unlink(missing_ok=True)
        write_once(self._next, f"{written_key(new_key())}\n".encode(), mode=0o600)
        _sync(self._next.parent)
        return self._read(self._next)

    def settle(self, master_id: str) -> None:
        """Make the next key the key, if the store is sealed with it by now."""
        if self._next.exists() and self._read(self._next).id == master_id:
            self._next.replace(self._file)
            _sync(self._file.parent)

    def _read(self, file: Path) -> MasterKey:
        return given_key(read_secret(file, str(file)), str(file))


class GivenKey:
    """A key that the operator keeps; the store never writes it."""

    def __init__(self, text: str, key: str) -> None:
        self._master = given_key(text, key)
        self.called = key

    def made(self) -> MasterKey:
        return self._master

    def known(self, derivations: Sequence[Argon2]) -> list[MasterKey]:
        del derivations
        return [self._master]


class Passphrase:
    """A key derived from words that the operator keeps."""

    def __init__(self, words: str, key: str) -> None:
        self._words = words
        self.called = key

    def made(self) -> MasterKey:
        """A key with a salt of its own; takes a tenth of a second."""
        fresh = Argon2.fresh()
        return MasterKey(fresh.derive(self._words), fresh)

    def known(self, derivations: Sequence[Argon2]) -> list[MasterKey]:
        return [MasterKey(each.derive(self._words), each) for each in derivations]


Source = MasterFile | GivenKey | Passphrase


def given_key(text: str, called: str) -> MasterKey:
    """The key in `text`; Misconfigured names where it stands."""
    key = read_key(text)
    if key is None:
        raise Misconfigured(f"{called} holds no master key: {_WHAT_A_KEY_IS}")
    return MasterKey(key)


def _sync(folder: Path) -> None:
    # A renamed or made file is on the disk once its folder is.
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
