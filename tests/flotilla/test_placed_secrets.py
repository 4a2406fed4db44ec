"""The values at the places that settings give, from the store or from files."""

from pathlib import Path

import pytest

from flotilla import NotConfigured
from flotilla.credentials import Credentials
from flotilla.placed_secrets import PlacedSecrets, secret_at

VALUE, SECOND = "canary-Zx81", "canary-Zx82"
STORED = "secret:shop/key"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    placed = tmp_path / "key"
    placed.write_text(f"{VALUE}\n")
    return placed


def test_a_stored_secret_is_asked_for_by_its_name_and_is_there_once_it_was_brought() -> None:
    placed = PlacedSecrets({STORED: "shop.yaml", "secret:shop/other": "shop.yaml"})
    assert placed.credentials.needs == ("shop/key", "shop/other")
    with pytest.raises(NotConfigured) as raised:
        placed.get(STORED)
    assert raised.value.details["reason"] == "not_brought"
    assert "shop/key" in (placed.missing(STORED) or "")

    for value in (VALUE, SECOND):
        placed.credentials.give({"shop/key": value})
        assert placed.get(STORED) == value
    assert placed.missing(STORED) is None
    placed.credentials.give({}, {"shop/key": "service_not_allowed"})
    assert "service_not_allowed" in (placed.missing(STORED) or "")
    assert placed.from_files == ()


def test_a_file_is_read_at_start_alone_and_the_hub_is_not_asked_for_it(file: Path) -> None:
    placed = PlacedSecrets({str(file): "shop.yaml"})
    file.write_text(SECOND)
    assert (placed.get(str(file)), placed.missing(str(file))) == (VALUE, None)
    assert placed.from_files == (VALUE,)
    assert placed.credentials.needs == ()


def test_a_file_that_cannot_be_read_stops_what_asks_for_it_alone(file: Path) -> None:
    nothing = str(file.with_name("nothing"))
    placed = PlacedSecrets({nothing: "shop.yaml: east", str(file): "shop.yaml: west"})
    told = f"shop.yaml: east: cannot read {nothing}: No such file or directory"
    with pytest.raises(NotConfigured) as raised:
        placed.get(nothing)
    assert (raised.value.message, placed.missing(nothing)) == (told, told)
    assert raised.value.hint == "Mend the file and start again."
    assert placed.get(str(file)) == VALUE


def test_a_file_of_a_secret_that_is_asked_for_now_is_read_anew(file: Path) -> None:
    credentials = Credentials()
    assert secret_at(str(file), credentials, "password") == VALUE
    file.write_text(SECOND)
    assert secret_at(str(file), credentials, "password") == SECOND

    file.write_text(" \n")
    with pytest.raises(NotConfigured) as raised:
        secret_at(str(file), credentials, "password", hint="Mend the file.")
    assert raised.value.message == f"password: {file} is empty"
    assert raised.value.hint == "Mend the file."


def test_a_stored_secret_that_is_asked_for_now_is_what_the_hub_brought_last() -> None:
    credentials = Credentials(["shop/key"])
    with pytest.raises(NotConfigured, match="not_brought"):
        secret_at(STORED, credentials, "password")
    for value in (VALUE, SECOND):
        credentials.give({"shop/key": value})
        assert secret_at(STORED, credentials, "password") == value
