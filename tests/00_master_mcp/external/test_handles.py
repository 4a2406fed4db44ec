"""Secrets by handle are found late, known to the redactor, and never the fleet's own."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from flotilla import NotConfigured
from master.external.config import parse_entry
from master.external.handles import Resolved, resolve

TOKEN = "tok-1234567890-abc"


def resolved(
    told: Any, env: Mapping[str, str] | None = None, closed: Path | None = None
) -> Resolved:
    return resolve("a", parse_entry("a", told), env or {}, (closed,) if closed else ())


def test_each_kind_of_handle_is_replaced_wherever_it_may_stand(tmp_path: Path) -> None:
    (tmp_path / "token").write_text(f"{TOKEN}\n")
    found = resolved(
        {
            "command": "${PROGRAM:-npx}",
            "args": ["--dir=${env:DIR}", "$${DIR}", "plain"],
            "env": {"A": f"${{file:{tmp_path}/token}}", "B": "${NONE:-}"},
            "writable": ["${DIR}"],
        },
        {"DIR": "/srv/a"},
    )
    assert (found.command, found.args) == ("npx", ("--dir=/srv/a", "${DIR}", "plain"))
    assert (dict(found.env), found.writable) == ({"A": TOKEN, "B": ""}, ("/srv/a",))


def test_everything_that_is_missing_is_named_at_once(tmp_path: Path) -> None:
    with pytest.raises(NotConfigured) as caught:
        resolved(
            {
                "command": "a",
                "args": ["${env:ONE}"],
                "env": {"B": "${TWO}", "C": f"${{file:{tmp_path}/none}}", "D": "${input:key}"},
                "readable": ["relative"],
            }
        )
    said = str(caught.value)
    assert "external server a: " in said
    assert "args[0] needs the environment variable ONE" in said
    assert "env.B needs the environment variable TWO" in said
    assert f"env.C: cannot read {tmp_path}/none" in said
    assert "env.D: ${input:key} is not a handle" in said
    assert "readable: 'relative' is not an absolute path" in said


@pytest.mark.parametrize("variable", ["FLOTILLA_METRICS_TOKEN", "FLOTILLA_DATABASE_URL"])
def test_the_fleets_own_settings_are_not_handed_out(variable: str) -> None:
    with pytest.raises(NotConfigured, match="is the fleet's own") as caught:
        resolved({"command": "a", "env": {"X": f"${{{variable}}}"}}, {variable: TOKEN})
    assert TOKEN not in str(caught.value)


@pytest.mark.parametrize("way", ["data/owner_token", "link", "data/../data/owner_token"])
def test_the_fleets_own_files_are_not_handed_out(tmp_path: Path, way: str) -> None:
    data = tmp_path / "data"
    data.mkdir()
    (data / "owner_token").write_text(TOKEN)
    (tmp_path / "link").symlink_to(data / "owner_token")
    told = {"command": "a", "env": {"X": f"${{file:{tmp_path}/{way}}}"}}
    with pytest.raises(NotConfigured, match="belongs to the fleet"):
        resolved(told, closed=data)


def test_what_came_by_a_handle_is_redacted_but_a_folder_is_not(tmp_path: Path) -> None:
    found = resolved(
        {"command": "a", "args": ["${DIR}"], "env": {"T": "${T}", "API_KEY": "literal-key-99"}},
        {"DIR": str(tmp_path), "T": TOKEN},
    )
    redactor = found.redactor(("another-secret",))
    for secret in (TOKEN, "literal-key-99", "another-secret"):
        assert secret not in redactor.text(f"it was {secret}.")
        assert secret not in repr(found)
    assert redactor.text(str(tmp_path)) == str(tmp_path)


def test_a_bearer_token_written_into_a_header_is_known_without_its_scheme() -> None:
    found = resolved({"url": "http://a", "headers": {"Authorization": f"Bearer {TOKEN}"}})
    assert found.secrets == {TOKEN}


def test_a_secret_cannot_bring_a_second_header_or_another_scheme() -> None:
    told = {"url": "${URL}", "headers": {"X": "${X}"}}
    with pytest.raises(NotConfigured) as caught:
        resolved(told, {"URL": "file:///etc/passwd", "X": "a\r\nHost: b"})
    assert "url: it is not" in str(caught.value)
    assert "headers.X: the value holds a line break" in str(caught.value)


def test_the_credentials_of_an_api_are_secret_however_they_are_given(tmp_path: Path) -> None:
    found = resolved(
        {
            "document": "${DOCUMENT}",
            "credentials": {"key": "${env:KEY}", "basic": "user:written-here-4711"},
            "tokenUrls": {"key": "https://${HOST}/token"},
            "serverVariables": {"region": "${REGION:-eu}"},
        },
        {"DOCUMENT": "/srv/api.yaml", "KEY": TOKEN, "HOST": "login.example"},
    )
    assert found.document == "/srv/api.yaml"
    assert dict(found.credentials) == {"key": TOKEN, "basic": "user:written-here-4711"}
    assert dict(found.token_urls) == {"key": "https://login.example/token"}
    assert dict(found.server_variables) == {"region": "eu"}
    assert {TOKEN, "written-here-4711"} <= found.secrets
    assert TOKEN not in repr(found)
    assert "written-here-4711" not in repr(found)


def test_a_file_of_the_fleets_data_is_no_document(tmp_path: Path) -> None:
    with pytest.raises(NotConfigured, match="belongs to the fleet and is not read"):
        resolved({"document": f"{tmp_path}/data/../token"}, closed=tmp_path)
