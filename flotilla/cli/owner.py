"""The hub's own interface, `/api`, asked with the owner's token. It blocks: for commands alone."""

import http.client
import json
import os
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast
from urllib.parse import urlencode, urlsplit

import typer

from flotilla.fleet import HUB, FleetConfig
from flotilla.launch.checks import environment, hub_url_of
from flotilla.settings import CommonSettings, Misconfigured, read_secret

ROOT = Path(__file__).resolve().parents[2]
ANSWER_S = 60.0
_ERROR_LINE = b'{"error":'


class CommandFailed(Exception):
    """The command could not be carried out; the message is for the person at the terminal."""

    def __init__(self, message: str, *, code: str = "internal", hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.code = code
        self.hint = hint


class Owner:
    """Speaks for the owner; CommandFailed says what went wrong and what to do."""

    def __init__(self, address: str, token: str) -> None:
        self._address = address
        self._token = token

    @classmethod
    def of(cls, env: Mapping[str, str] | None = None) -> "Owner":
        """The hub that the environment and `.env` name: FLOTILLA_HUB_URL, or that of this machine.

        The token is in FLOTILLA_OWNER_TOKEN_FILE, or in the data folder.
        """
        try:
            known = environment(ROOT, env if env is not None else os.environ)
            common = CommonSettings.from_env(known)
            url = known.get("FLOTILLA_HUB_URL")
            if url is None:
                fleet = FleetConfig.load(_below(common.config_dir) / "services.yaml", known)
                url = hub_url_of(common.bind, fleet.port(HUB))
            file = known.get("FLOTILLA_OWNER_TOKEN_FILE")
            token_file = Path(file) if file else _below(common.data_dir) / "owner_token"
            token = read_secret(token_file, "the owner's token").strip()
        except Misconfigured as error:
            raise CommandFailed(
                str(error), code="not_configured", hint="Start the fleet once; it writes the token."
            ) from None
        return cls(urlsplit(url).netloc, token)

    def get(self, path: str, **query: Any) -> Any:
        asked = {key: value for key, value in query.items() if value is not None}
        return self._json("GET", f"{path}?{urlencode(asked)}" if asked else path, None)

    def post(self, path: str, body: Mapping[str, Any] | None = None) -> Any:
        return self._json("POST", path, body or {})

    def delete(self, path: str) -> Any:
        return self._json("DELETE", path, None)

    def lines(self, path: str, **query: Any) -> Iterator[bytes]:
        """The lines of a long answer as they come, each of them JSON."""
        asked = {key: value for key, value in query.items() if value is not None}
        if asked:
            path = f"{path}?{urlencode(asked)}"
        with self._response("GET", path, None) as response:
            if response.status >= 400:
                self._told(response.status, response.read())
            for line in response:
                if line.startswith(_ERROR_LINE):
                    self._told(500, line)
                yield line

    def _json(self, method: str, path: str, body: Mapping[str, Any] | None) -> Any:
        with self._response(method, path, body) as response:
            return self._told(response.status, response.read())

    @contextmanager
    def _response(
        self, method: str, path: str, body: Mapping[str, Any] | None
    ) -> Generator[http.client.HTTPResponse]:
        connection = http.client.HTTPConnection(self._address, timeout=ANSWER_S)
        headers = {
            "authorization": f"Bearer {self._token}",
            "content-type": "application/json",
            # The hub serves this name at whatever address it listens on.
            "host": "localhost",
        }
        try:
            text = None if body is None else json.dumps(body)
            connection.request(method, f"/api{path}", text, headers)
            yield connection.getresponse()
        except (OSError, http.client.HTTPException) as error:
            raise CommandFailed(
                f"the hub at {self._address} cannot be reached ({error})",
                code="unavailable",
                hint="Is the fleet running? `python3 run_fleet.py` starts it.",
            ) from None
        finally:
            connection.close()

    def _told(self, status: int, raw: bytes) -> Any:
        try:
            told: Any = json.loads(raw)
        except ValueError:
            raise CommandFailed(f"the hub answered {status} without JSON") from None
        if status < 400:
            return told
        members = cast("dict[str, Any]", told) if isinstance(told, dict) else {}
        error = cast("dict[str, Any]", members.get("error") or {})
        raise CommandFailed(
            str(error.get("message", f"the hub answered {status}")),
            code=str(error.get("code", "internal")),
            hint=error.get("hint"),
        )


def failed(error: CommandFailed) -> typer.Exit:
    """Tell the person what went wrong, on standard error; to be raised."""
    typer.echo(f"flotilla: {error.message}", err=True)
    if error.hint:
        typer.echo(f"  {error.hint}", err=True)
    return typer.Exit(2 if error.code in ("invalid_argument", "not_configured") else 1)


def _below(path: Path) -> Path:
    """A folder as the fleet sees it, which runs in the project's folder."""
    return path if path.is_absolute() else ROOT / path
