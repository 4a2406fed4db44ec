"""The hub's signing key, changed from time to time without one call being refused for it.

A key is announced before it signs, and known for a while after it has: spokes read every key that
may have signed a token from one file. Several processes of a hub may share the folder.
"""

import fcntl
import os
import threading
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from flotilla.identity import (
    LEEWAY_S,
    LIFETIME_S,
    open_signing_key,
    pem_of,
    private_key_in,
    publish,
    write_once,
)

ANNOUNCED_S = 10.0
"""A key signs nothing before spokes could know it for this long."""
RETIRED_S = 2.0 * (LIFETIME_S + LEEWAY_S)
"""Spokes know a key for this long after it signed last: longer than any token lives."""
CURRENT, NEXT, LAST = "private_key.pem", "next_private_key.pem", "last_private_key.pem"

Step = Literal["announced", "changed", "retired"]


class KeyRing:
    """The keys in `folder`; the one that signs, the next one and the last one.

    `public_file` is where spokes read the public halves, in the folder by default. `every_s` is how
    long a key signs; None: until somebody calls `rotate`.
    """

    def __init__(
        self,
        folder: Path,
        public_file: Path | None = None,
        *,
        every_s: float | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """Misconfigured where the key cannot be read, made or published."""
        self._folder = folder
        self._public_file = public_file or folder / "public_key.pem"
        self._every_s = every_s
        self._clock = clock
        self._stamp: tuple[int, int] | None = None
        # The first key is published as it is, but never in the place of a ring that is there.
        if (folder / NEXT).exists() or (folder / LAST).exists():
            self._key = private_key_in(folder / CURRENT)
            self._publish()
        else:
            self._key = open_signing_key(folder, public_file)

    def key(self) -> Ed25519PrivateKey:
        """The one that signs now, whichever process changed it."""
        # A Path's own stat costs half of it again.
        status = os.stat(f"{self._folder}/{CURRENT}")  # noqa: PTH116
        stamp = status.st_mtime_ns, status.st_ino
        if stamp != self._stamp:
            self._key, self._stamp = private_key_in(self._folder / CURRENT), stamp
        return self._key

    def tend(self) -> Step | None:
        """Take the step that is due, if one is; blocks for a moment. OSError where it cannot."""
        with self._alone():
            return self._step(self._every_s)

    def rotate(self) -> Step | None:
        """Announce a new key now; `tend` does the rest. None where one is announced already."""
        with self._alone():
            return self._step(0.0)

    def _step(self, every_s: float | None) -> Step | None:
        folder = self._folder
        announced = self._age_s(folder / NEXT)
        if announced is not None:
            if announced < ANNOUNCED_S:
                return None
            self._write(folder / LAST, (folder / CURRENT).read_bytes())
            (folder / NEXT).replace(folder / CURRENT)
            # Its age counts from now, when it begins to sign.
            self._dated(folder / CURRENT)
            self._publish()
            return "changed"
        retired = self._age_s(folder / LAST)
        if retired is not None and retired >= RETIRED_S:
            (folder / LAST).unlink()
            self._publish()
            return "retired"
        age_s = self._age_s(folder / CURRENT)
        if retired is None and every_s is not None and age_s is not None and age_s >= every_s:
            self._write(folder / NEXT, pem_of(Ed25519PrivateKey.generate()))
            self._publish()
            return "announced"
        return None

    def _publish(self) -> None:
        names = (CURRENT, NEXT, LAST)
        files = [self._folder / name for name in names if (self._folder / name).exists()]
        publish([private_key_in(file) for file in files], self._public_file)

    def _write(self, file: Path, content: bytes) -> None:
        file.unlink(missing_ok=True)
        write_once(file, content, mode=0o600)
        self._dated(file)

    def _dated(self, file: Path) -> None:
        now = self._clock()
        os.utime(file, (now, now))

    def _age_s(self, file: Path) -> float | None:
        try:
            return max(0.0, self._clock() - file.stat().st_mtime)
        except FileNotFoundError:
            return None

    @contextmanager
    def _alone(self) -> Generator[None]:
        """One process and one thread at a time."""
        with _IN_PROCESS:
            descriptor = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX)
                yield
            finally:
                os.close(descriptor)


_IN_PROCESS = threading.Lock()
"""A lock of the kernel's holds processes apart; the threads of one are held apart by this."""
