"""A spoke whose effects outlive it: each is a line of the file FLOTILLA_DATA_DIR/effects.

A line is `<what> <key> <correlation ID> <principal>`, on the disk before the tool answers.
"""

import hashlib
import os
from pathlib import Path
from typing import Annotated

from pydantic import Field

from flotilla import CommonSettings, Context, Model, Spoke, destroys, reads, writes
from flotilla.secret_text import SecretText
from flotilla.serving import serve

NAME = "shredder"
NAMESPACE = "test.shredder"
EFFECTS = "effects"

Key = Annotated[str, Field(max_length=100, pattern=r"^[a-z0-9.-]+$")]


class Done(Model):
    key: str


class Shredder:
    def __init__(self, file: Path) -> None:
        self._file = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    async def shred(self, key: Key, context: Context) -> Done:
        """Destroy something; a person is asked before."""
        assert context.approved
        return self._written(f"shred {key}", context)

    async def mark(self, key: Key, context: Context) -> Done:
        """Write something, which nobody is asked about."""
        return self._written(f"mark {key}", context)

    async def spend(self, key: Key, secret: SecretText, context: Context) -> Done:
        """Write down the SHA-256 of a secret."""
        del key
        return self._written(f"spend {hashlib.sha256(secret.encode()).hexdigest()}", context)

    async def look(self, key: Key) -> Done:
        """Change nothing."""
        return Done(key=key)

    def _written(self, what: str, context: Context) -> Done:
        line = f"{what} {context.correlation_id} {context.principal.name}\n"
        os.write(self._file, line.encode())
        os.fsync(self._file)
        return Done(key=what.split()[1])


def build(folder: Path) -> Spoke:
    folder.mkdir(parents=True, exist_ok=True)
    shredder = Shredder(folder / EFFECTS)
    return Spoke(
        name=NAME,
        version="1",
        instructions="Shreds.",
        namespaces=(NAMESPACE,),
        tools=(
            destroys(f"{NAMESPACE}.shred", shredder.shred),
            writes(f"{NAMESPACE}.mark", shredder.mark),
            writes(f"{NAMESPACE}.spend", shredder.spend),
            reads(f"{NAMESPACE}.look", shredder.look),
        ),
    )


if __name__ == "__main__":
    serve(build(CommonSettings.from_env().data_dir))
