"""The accounts of a provider, read from a file and chosen by alias."""

from pathlib import Path

import pytest

from flotilla import InvalidArgument, Misconfigured, NotConfigured, NotFound
from flotilla.accounts import Account, Accounts, SecretPlace


class Login(Account):
    user: str
    password: SecretPlace


def accounts(tmp_path: Path, text: str) -> Accounts[Login]:
    file = tmp_path / "vmware.yaml"
    file.write_text(text, encoding="utf-8")
    return Accounts[Login].load("vcenter", file, Login)


TWO = """
vcenters:
  east: {user: ro, password: "secret:vc/east"}
  west: {user: ro, password: /run/secrets/west}
"""


def test_no_file_means_no_accounts_and_says_where_to_add_one(tmp_path: Path) -> None:
    none = Accounts[Login].load("vcenter", tmp_path / "vmware.yaml", Login)
    with pytest.raises(NotConfigured) as told:
        none.chosen(None)
    assert "vmware.yaml" in (told.value.hint or "")


def test_the_only_one_may_be_left_out_and_so_may_the_one_called_default(tmp_path: Path) -> None:
    one = accounts(tmp_path, "vcenters: {east: {user: a, password: /x}}")
    assert one.chosen(None)[0] == "east"
    several = accounts(tmp_path, TWO + "  default: {user: a, password: /x}\n")
    assert several.chosen(None)[0] == "default"


def test_of_several_one_must_be_named_and_be_there(tmp_path: Path) -> None:
    two = accounts(tmp_path, TWO)
    with pytest.raises(InvalidArgument, match="which vcenter"):
        two.chosen(None)
    with pytest.raises(NotFound) as told:
        two.chosen("north")
    assert "east, west" in (told.value.hint or "")


def test_the_secrets_that_they_need_are_those_that_stand_by_name(tmp_path: Path) -> None:
    assert accounts(tmp_path, TWO).needs() == ("vc/east",)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("hosts: {}", "one key `vcenters`"),
        ("vcenters: [a]", "map of alias"),
        ("vcenters: {east: {user: a, password: hunter2}}", "vcenters.east.password"),
        ("vcenters: {east: {user: a, password: /x, more: 1}}", "vcenters.east.more"),
        ("vcenters: {'a b': {user: a, password: /x}}", "an alias is"),
        ("vcenters: {", "not valid YAML"),
    ],
)
def test_a_mistake_is_told_with_its_file_and_key_and_never_its_value(
    tmp_path: Path, text: str, said: str
) -> None:
    with pytest.raises(Misconfigured) as told:
        accounts(tmp_path, text)
    assert said in str(told.value)
    assert "vmware.yaml" in str(told.value)
    assert "hunter2" not in str(told.value)
