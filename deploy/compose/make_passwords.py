"""Make the passwords of the fleet's databases, once, each where its owners alone can read it.

/passwords/postgres and /passwords/redis are mounted by the servers, which read with the group;
/passwords/<service> is mounted by that service and holds the addresses that it connects to.
"""

import secrets
from pathlib import Path

from flotilla.identity import write_once

ROOT = Path("/passwords")
SERVICES = ("master", "cmdb", "secrets")
"""The services that keep state in PostgreSQL, each in a database of its own."""


def main() -> None:
    password(ROOT / "postgres" / "postgres")
    for service in SERVICES:
        word = password(ROOT / "postgres" / service)
        url = f"postgresql://{service}:{word}@postgres:5432/{service}"
        put(ROOT / service / "database_url", url, mode=0o400)
    word = password(ROOT / "redis" / "password")
    put(ROOT / "redis" / "valkey.conf", f"requirepass {word}", mode=0o440)
    put(ROOT / "master" / "redis_url", f"redis://:{word}@redis:6379/0", mode=0o400)


def password(file: Path) -> str:
    """The password in `file`, made when missing; its letters need no quoting in a URL."""
    write_once(file, f"{secrets.token_urlsafe(32)}\n".encode(), mode=0o440)
    return file.read_text().strip()


def put(file: Path, text: str, mode: int) -> None:
    """Write what follows from a password: anew, should its volume alone have been removed."""
    if not file.exists() or file.read_text() != f"{text}\n":
        file.unlink(missing_ok=True)
        write_once(file, f"{text}\n".encode(), mode)


if __name__ == "__main__":
    main()
