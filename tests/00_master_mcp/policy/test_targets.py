"""What arguments say of a call's target, whichever way they are written."""

from typing import Any

import pytest

from master.policy.target import (
    MAX_ARGUMENTS,
    MAX_LENGTH,
    MAX_VALUES,
    Parameters,
    Unclear,
    named_numbers,
    named_texts,
    targets_of,
)


def taking(*names: str, **defaults: Any) -> Parameters:
    properties = {name: {} for name in names} | {
        name: {"default": value} for name, value in defaults.items()
    }
    return Parameters.of({"properties": properties})


def targets(arguments: dict[str, Any], *wanted: str) -> dict[str, tuple[str, ...]]:
    parameters = taking(*arguments)
    return dict(targets_of(parameters.completed(arguments), wanted, parameters))


@pytest.mark.parametrize(
    "name", ["resourceGroup", "resource_group", "resource-group", "RESOURCEGROUP", "resourcegroups"]
)
def test_a_parameter_is_known_however_its_name_is_written(name: str) -> None:
    assert targets({name: "web"}, "resourceGroup") == {"resourceGroup": ("web",)}


@pytest.mark.parametrize("host", ["prod-1", "PROD-1", " prod-1 ", "prod-1.", "ｐrod-1"])
def test_one_host_is_one_text_however_it_is_spelled(host: str) -> None:
    assert targets({"host": host}, "host") == {"host": ("prod-1",)}


@pytest.mark.parametrize("path", ["/etc//shadow", "/etc/./shadow", "//etc/shadow", "/etc/shadow/"])
def test_one_path_is_one_text_however_it_is_written(path: str) -> None:
    assert targets({"path": path}, "path") == {"path": ("/etc/shadow",)}


@pytest.mark.parametrize("path", ["etc/shadow", "../etc/shadow", "/srv/../etc/shadow", "~/x", ""])
def test_a_path_that_depends_on_more_than_itself_is_unclear(path: str) -> None:
    with pytest.raises(Unclear):
        targets({"path": path}, "path")


@pytest.mark.parametrize(
    ("url", "site"),
    [
        ("https://docs.example.com/a?b=https://elsewhere.example/", "docs.example.com"),
        ("HTTP://Docs.Example.COM.:8080", "docs.example.com"),
        ("https://bücher.example/", "xn--bcher-kva.example"),
        ("http://[2001:db8::1]:8443/", "[2001:db8::1]"),
    ],
)
def test_a_url_says_its_site(url: str, site: str) -> None:
    assert targets({"url": url}, "site") == {"site": (site,)}
    assert targets({"urls": [url, url]}, "site", "url") == {"site": (site,), "url": (url,)}


@pytest.mark.parametrize(
    "url",
    [
        "https://example.com@elsewhere.example/",
        "https://example.com\\@elsewhere.example/",
        "https:/example.com/",
        "//example.com/",
        "ftp://example.com/",
        "https://example.com:99999999/",
        "https://exa mple.com/",
        "https://example.com\n.elsewhere.example/",
        "https://ex%61mple.com/",
        "",
    ],
)
def test_a_url_that_two_programs_read_differently_has_no_site(url: str) -> None:
    with pytest.raises(Unclear):
        targets({"url": url}, "site")


def test_all_of_a_list_and_of_several_parameters_are_targets() -> None:
    found = targets({"hosts": ["a", "B", "a"], "hostname": "c"}, "host")
    assert found == {"host": ("a", "b", "c")}


@pytest.mark.parametrize("value", [{"name": "a"}, [["a"]], ["a", {"b": 1}], "x" * (MAX_LENGTH + 1)])
def test_what_is_no_short_text_is_unclear(value: Any) -> None:
    with pytest.raises(Unclear, match="short text"):
        targets({"host": value}, "host")


def test_too_many_targets_are_unclear() -> None:
    with pytest.raises(Unclear, match="at most"):
        targets({"hosts": [str(number) for number in range(MAX_VALUES + 1)]}, "host")


def test_a_flood_of_arguments_or_values_is_unclear_before_it_costs_anything() -> None:
    with pytest.raises(Unclear, match="at most"):
        targets({"hosts": ["a"] * (MAX_VALUES + 1)}, "host")
    with pytest.raises(Unclear, match="at most"):
        taking().completed({str(number): 1 for number in range(MAX_ARGUMENTS + 1)})


def test_null_and_nothing_are_no_target() -> None:
    assert targets({"host": None, "zones": []}, "host", "zone") == {"host": (), "zone": ()}


def test_what_the_tool_takes_by_default_is_the_target() -> None:
    parameters = taking(host="local")
    for arguments, found in (({}, "local"), ({"host": None}, "local"), ({"Host": "web"}, "web")):
        completed = parameters.completed(arguments)
        assert targets_of(completed, ["host"], parameters) == {"host": (found,)}


def test_an_argument_that_the_tool_does_not_have_is_no_ground_to_permit_it() -> None:
    with pytest.raises(Unclear, match="no parameter"):
        targets_of({"host": "web-1"}, ["host"], taking("server"))


def test_an_id_of_azure_says_its_subscription_and_group() -> None:
    name = "/subscriptions/AAA/resourceGroups/Prod/providers/Microsoft.Compute/virtualMachines/x"
    found = targets({"id": name}, "subscription", "resourceGroup")
    assert found == {"subscription": ("aaa",), "resourceGroup": ("prod",)}


def test_an_id_of_google_says_its_project_and_zone() -> None:
    name = "https://www.googleapis.com/compute/v1/projects/shop/zones/europe-west1-b/instances/x"
    found = targets({"selfLink": name}, "project", "zone")
    assert found == {"project": ("shop",), "zone": ("europe-west1-b",)}


def test_only_a_parameter_for_ids_is_read_as_one() -> None:
    assert targets({"title": "projects/shop"}, "project") == {"project": ()}


def test_an_id_and_a_parameter_that_differ_are_two_targets() -> None:
    found = targets({"id": "/subscriptions/a", "subscription": "b"}, "subscription")
    assert set(found["subscription"]) == {"a", "b"}


@pytest.mark.parametrize(
    ("value", "number"), [(3, 3), ("3", 3), (" 3 ", 3), (3.0, 3), (-4, -4), ("+5", 5)]
)
def test_a_whole_number_is_one_however_it_comes(value: Any, number: int) -> None:
    assert named_numbers({"count": value}, ["count"], taking("count")) == {"count": number}


@pytest.mark.parametrize("value", [3.5, "3.0", "0x3", True, [3], {}, "", 2**63, "9" * 30, "٣"])
def test_what_may_be_another_number_to_the_tool_is_unclear(value: Any) -> None:
    with pytest.raises(Unclear):
        named_numbers({"count": value}, ["count"], taking("count"))


@pytest.mark.parametrize(("value", "text"), [("a", "a"), (1, "1"), (True, "true"), (1.5, "1.5")])
def test_an_argument_is_told_as_text(value: Any, text: str) -> None:
    assert named_texts({"mode": value}, ["mode"], taking("mode")) == {"mode": text}


@pytest.mark.parametrize("value", [["a"], {"a": 1}, "x" * (MAX_LENGTH + 1)])
def test_an_argument_that_is_no_one_short_text_is_unclear(value: Any) -> None:
    with pytest.raises(Unclear):
        named_texts({"mode": value}, ["mode"], taking("mode"))


def test_an_argument_that_is_given_twice_is_unclear() -> None:
    with pytest.raises(Unclear, match="more than once"):
        named_texts({"dryRun": "true", "dry_run": "false"}, ["dryRun"], taking("dryRun"))
