import pytest
from hypothesis import given
from hypothesis import strategies as st

from flotilla.names import (
    BadName,
    check_distinct,
    check_namespace,
    check_tool_name,
    namespace_of,
    safe_name,
    service_of_folder,
)


@pytest.mark.parametrize(
    "name",
    ["os.linux.runCommand", "data.cmdb.getItem", "master.listServices", "master.tools.search"],
)
def test_a_canonical_name_is_taken(name: str) -> None:
    assert check_tool_name(name) == name


@pytest.mark.parametrize(
    "name",
    [
        "",
        "runCommand",
        "os.linux",
        "os.linux.run.command",
        "os.linux.RunCommand",
        "os.linux.run_command",
        "OS.linux.runCommand",
        "os.linux.runCommand\n",
        "os..runCommand",
        "os.linux.läuft",
        "master",
        "master.a.b.c",
        "os.linux." + "x" * 60,
    ],
)
def test_a_name_that_breaks_the_rules_is_refused_by_name(name: str) -> None:
    with pytest.raises(BadName):
        check_tool_name(name)


def test_the_namespace_is_the_first_two_parts_or_the_hubs() -> None:
    assert namespace_of("os.linux.runCommand") == "os.linux"
    assert namespace_of("master.tools.search") == "master"
    assert namespace_of("master.listServices") == "master"


def test_a_namespace_has_two_parts() -> None:
    assert check_namespace("os.linux") == "os.linux"
    with pytest.raises(BadName, match="os"):
        check_namespace("os")


def test_no_service_takes_the_names_of_external_servers() -> None:
    with pytest.raises(BadName, match="external"):
        check_namespace("ext.github")


def test_safe_names_fit_every_model_api() -> None:
    assert safe_name("os.linux.runCommand") == "os_linux_runCommand"


def test_two_tools_whose_safe_names_meet_are_found() -> None:
    check_distinct(["os.linux.read", "os.ssh.read"])
    with pytest.raises(BadName, match="safe name"):
        check_distinct(["a.b.c", "a.b_c"])
    with pytest.raises(BadName, match="twice"):
        check_distinct(["a.b.c", "".join(["a.b", ".c"])])


def test_a_folder_says_number_and_name() -> None:
    assert service_of_folder("01_linux_cli_mcp") == (1, "linux_cli")
    with pytest.raises(BadName):
        service_of_folder("linux_cli")


@given(st.text(max_size=80))
def test_no_text_makes_the_check_fail_otherwise_than_by_its_own_error(text: str) -> None:
    try:
        assert check_tool_name(text) == text
    except BadName:
        return
    assert len(text) <= 64
