"""Where the hub publishes its public key."""

import stat
from pathlib import Path

import pytest

from flotilla import Misconfigured, Principal
from flotilla.identity import Signer, Verifier, open_signing_key


def test_the_public_key_goes_where_spokes_without_the_data_folder_can_read_it(
    tmp_path: Path,
) -> None:
    published = tmp_path / "public" / "public_key.pem"
    published.parent.mkdir()

    key = open_signing_key(tmp_path / "hub", published)

    token = Signer(key).token("cmdb", Principal("ada", ("admin",)))
    assert Verifier(published, "cmdb").verify(token).principal.name == "ada"
    assert [file.name for file in (tmp_path / "hub").iterdir()] == ["private_key.pem"]
    assert stat.S_IMODE(published.stat().st_mode) == 0o644


def test_a_key_that_was_replaced_is_published_again(tmp_path: Path) -> None:
    published = tmp_path / "public_key.pem"
    open_signing_key(tmp_path / "old", published)
    before = published.read_bytes()

    open_signing_key(tmp_path / "new", published)

    assert published.read_bytes() != before


def test_a_public_key_that_cannot_be_written_stops_the_start_with_its_path(tmp_path: Path) -> None:
    published = tmp_path / "missing" / "public_key.pem"

    with pytest.raises(Misconfigured, match=r"cannot write .*missing/public_key.pem"):
        open_signing_key(tmp_path / "hub", published)
