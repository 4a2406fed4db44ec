"""Who may talk to the hub, and the tokens by which it knows them."""

import stat
from pathlib import Path
from typing import Any

import pytest

from flotilla import Misconfigured
from flotilla.redaction import Redactor
from flotilla.serving.gates import Admitted, Refused
from master.principals import ADMIN, OWNER, Principals, clients_only, open_token_book


def test_the_first_start_makes_two_tokens_that_only_their_owner_can_read(tmp_path: Path) -> None:
    book = open_token_book(tmp_path / "data")
    for name, principal in (("admin_token", ADMIN), ("owner_token", OWNER)):
        file = tmp_path / "data" / name
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        token = file.read_text().strip()
        assert len(token) > 40
        assert book.principal(token) == principal
        assert token not in repr(book)
    assert book.principal("flt_guess") is None
    assert book.principal("") is None


def test_a_restart_keeps_the_tokens_and_closes_files_that_stand_open(tmp_path: Path) -> None:
    open_token_book(tmp_path)
    file = tmp_path / "admin_token"
    token = file.read_text().strip()
    file.chmod(0o644)
    assert open_token_book(tmp_path).principal(token) == ADMIN
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_an_empty_token_file_stops_the_start(tmp_path: Path) -> None:
    (tmp_path / "admin_token").write_text("\n")
    with pytest.raises(Misconfigured, match="admin_token"):
        open_token_book(tmp_path)


def asking(path: str, *authorization: str) -> dict[str, Any]:
    headers = [(b"authorization", each.encode("latin-1")) for each in authorization]
    return {"type": "http", "method": "POST", "path": path, "headers": headers}


async def receive() -> Any:
    raise AssertionError("a token is judged without the body")


@pytest.fixture
def tokens(tmp_path: Path) -> dict[str, str]:
    open_token_book(tmp_path)
    return {name: (tmp_path / f"{name}_token").read_text().strip() for name in ("admin", "owner")}


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("path", "who", "status"),
    [
        ("/mcp", "admin", None),
        ("/servers/git/mcp", "admin", None),
        ("/mcp/servers", "admin", None),
        ("/mcp/servers", "owner", None),
        ("/mcp/servers/git/start", "owner", None),
        ("/mcp", "owner", 403),
        ("/sse", "owner", 403),
        ("/servers/git/mcp", "owner", 403),
        ("/", "owner", 403),
    ],
)
async def test_the_owner_manages_servers_and_is_no_client(
    tmp_path: Path, tokens: dict[str, str], path: str, who: str, status: int | None
) -> None:
    authenticate = clients_only(Principals(open_token_book(tmp_path)), owners=("/mcp/servers",))
    verdict = await authenticate(asking(path, f"Bearer {tokens[who]}"), receive)
    if status is None:
        assert isinstance(verdict, Admitted)
        assert verdict.caller.principal == {"admin": ADMIN, "owner": OWNER}[who]
        assert verdict.caller.interactive
    else:
        assert isinstance(verdict, Refused)
        assert (verdict.status, verdict.code) == (status, "not_allowed")
        assert tokens[who] not in verdict.message + verdict.hint


@pytest.mark.anyio
async def test_whoever_has_no_token_of_ours_is_refused_and_told_how_to_have_one(
    tmp_path: Path, tokens: dict[str, str]
) -> None:
    authenticate = clients_only(Principals(open_token_book(tmp_path)), owners=("/mcp/servers",))
    admin = tokens["admin"]
    for given in (
        (),
        ("",),
        ("Bearer",),
        ("Bearer ",),
        ("Bearer flt_guess",),
        (f"Basic {admin}",),
        (f"Bearer {admin}x",),
        (f"Bearer {admin[:-1]}",),
        (f"Bearer {admin.upper()}",),
        ("Bearer \xe9\xe9",),
    ):
        verdict = await authenticate(asking("/mcp", *given), receive)
        assert isinstance(verdict, Refused), given
        assert verdict.status == 401
        assert "admin_token" in verdict.hint
        assert admin not in verdict.message + verdict.hint


def test_the_two_tokens_differ_and_each_first_start_makes_its_own(tmp_path: Path) -> None:
    found: set[str] = set()
    for folder in ("one", "two"):
        open_token_book(tmp_path / folder)
        found |= {file.read_text().strip() for file in (tmp_path / folder).iterdir()}
    assert len(found) == 4
    assert all(token.startswith("flt_") for token in found)


def test_a_token_of_ones_own_choice_counts(tmp_path: Path) -> None:
    (tmp_path / "admin_token").write_text("a-token-that-a-person-chose\n")
    assert open_token_book(tmp_path).principal("a-token-that-a-person-chose") == ADMIN


def test_the_first_tokens_are_told_to_whoever_hides_them(tmp_path: Path) -> None:
    redactor = Redactor()
    open_token_book(tmp_path, redactor.learn)
    for name in ("admin_token", "owner_token"):
        token = (tmp_path / name).read_text().strip()
        # Glued to other letters it has the shape of no token.
        assert token not in redactor.text(f"x{token}y")
