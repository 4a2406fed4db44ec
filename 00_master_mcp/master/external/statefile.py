"""What the hub remembers of external servers, as small JSON files that are replaced whole."""

import json
import os
import secrets
from pathlib import Path
from typing import Any, cast

from flotilla import Misconfigured


def read_state(path: Path) -> dict[str, Any]:
    """The object in the file, empty when there is none; Misconfigured when it cannot be read."""
    try:
        state: Any = json.loads(path.read_bytes())
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise Misconfigured(f"cannot read {path}: {error.strerror}") from None
    except ValueError:
        raise Misconfigured(f"{path} is not JSON; mend it, or delete it to start anew") from None
    if not isinstance(state, dict):
        raise Misconfigured(f"{path} is not a JSON object; mend it, or delete it to start anew")
    return cast("dict[str, Any]", state)


def write_state(path: Path, state: dict[str, Any]) -> None:
    """Replace the file at once and for good: a crash leaves the old one or the new one, mode 0600.

    Raises OSError when the folder cannot be written.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(6)}")
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(fd, "wb") as file:
            file.write(json.dumps(state, indent=1, ensure_ascii=False).encode())
            file.flush()
            os.fsync(fd)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
