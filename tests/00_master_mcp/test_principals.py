import stat
from pathlib import Path

import pytest

from flotilla import Misconfigured
from master.principals import ADMIN, OWNER, open_token_book


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
