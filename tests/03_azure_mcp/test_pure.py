"""The decisions that need no Azure: IDs, links, secrets, retries, sizes, prices, accounts."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from azure_cloud.api_versions import newest
from azure_cloud.arm import pause_before_retry
from azure_cloud.arm_errors import asked_pause, failure
from azure_cloud.continuation import following, kind_of, start_of
from azure_cloud.fitting import fitted, part_of
from azure_cloud.graph import quoted
from azure_cloud.ids import parsed
from azure_cloud.long_operations import begun, read, stood
from azure_cloud.prices import cost_of
from azure_cloud.resource_tools import tags_after
from azure_cloud.templates import checked, parameters_of, reads_keys
from azure_cloud.wire import Answer
from flotilla import (
    InvalidArgument,
    RateLimited,
    UpstreamError,
    encode_cursor,
)
from flotilla.json_text import to_json
from tests.backends.azure.estate import SUBSCRIPTION

HOME = "https://management.azure.com"
SUB = f"/subscriptions/{SUBSCRIPTION}"
VM = f"{SUB}/resourceGroups/web/providers/Microsoft.Compute/virtualMachines/web-1"


def test_an_id_is_read_with_its_type_group_and_name() -> None:
    nested = parsed(
        f"{SUB}/resourcegroups/a/providers/Microsoft.Network/virtualNetworks/v/subnets/s"
    )
    assert (nested.group, nested.type, nested.name) == (
        "a",
        "Microsoft.Network/virtualNetworks/subnets",
        "s",
    )
    hung = parsed(f"{VM}/providers/Microsoft.Authorization/locks/keep")
    assert (hung.type, hung.name) == ("Microsoft.Authorization/locks", "keep")
    assert parsed(f"{SUB}/resourceGroups/web").type == "Microsoft.Resources/resourceGroups"


@pytest.mark.parametrize(
    "text",
    [
        "",
        "/",
        "web-1",
        "/subscriptions/not-a-guid",
        f"{SUB}/resourceGroups",
        f"{SUB}/resourceGroups/../providers/Microsoft.Compute/disks/d",
        f"{SUB}/resourceGroups/a/providers/Microsoft.Compute/disks/..",
        f"{SUB}/resourceGroups/a/providers/Microsoft.Compute/disks/x?y=1",
        f"{SUB}/resourceGroups/a/providers/Microsoft.Compute/disks/x%2fy",
        f"{SUB}/resourceGroups/a/providers/Microsoft.Compute",
        f"{SUB}/resourceGroups/a/providers/Microsoft.Compute/virtualMachines/v/start",
        f"{SUB}/resourceGroups/a//providers/Microsoft.Compute/disks/x",
        f"https://evil.example{VM}",
    ],
)
def test_what_is_no_id_is_refused(text: str) -> None:
    with pytest.raises(InvalidArgument):
        parsed(text)


@given(st.text(max_size=60))
def test_no_text_makes_an_id_that_leaves_its_subscription(text: str) -> None:
    try:
        path = parsed(f"{SUB}/resourceGroups/{text}").path
    except InvalidArgument:
        return
    assert path.startswith(SUB)
    assert not {"?", "#", "\\", " "} & set(path)
    assert ".." not in path.split("/")


@pytest.mark.parametrize(
    "link",
    [
        "https://evil.example{path}?$skiptoken=x",
        "http://management.azure.com{path}?$skiptoken=x",
        "https://management.azure.com:8443{path}?$skiptoken=x",
        "https://management.azure.com@evil.example{path}?$skiptoken=x",
        "https://management.azure.com{path}/other?$skiptoken=x",
        "https://management.azure.com{path}/../../x?$skiptoken=x",
        "https://management.azure.com{path}?api-version=1",
        "https://management.azure.com:bad{path}?$skiptoken=x",
        "//evil.example{path}?$skiptoken=x",
        "{path}?$skiptoken=x",
        "https://management.azure.com{path}?$skiptoken=" + "x" * 5000,
    ],
)
def test_a_next_link_that_leads_astray_is_not_followed(link: str) -> None:
    with pytest.raises(UpstreamError):
        following(HOME, f"{SUB}/resources", {}, link.format(path=f"{SUB}/resources"))


def test_a_next_link_gives_what_it_adds() -> None:
    link = (
        f"https://management.azure.com:443{SUB.upper()}/Resources?api-version=9&%24skiptoken=a%3D"
    )
    assert following(HOME, f"{SUB}/resources", {"$filter": "f"}, link) == {"$skiptoken": "a="}
    assert following(HOME, f"{SUB}/resources", {}, None) is None
    own = link + "&$filter=f"
    assert following(HOME, f"{SUB}/resources", {"$filter": "f"}, own) == {"$skiptoken": "a="}


@pytest.mark.parametrize(
    "position",
    [None, [], [{}, -1], [{}, "1"], [{"a": 1}, 0], [[], 0], [{"a": "x" * 5000}, 0], [{}, 10**9]],
)
def test_a_cursor_of_another_shape_is_refused(position: Any) -> None:
    kind = kind_of("/list", {})
    with pytest.raises(InvalidArgument):
        start_of(kind, encode_cursor(kind, position))


def test_a_cursor_of_another_list_is_refused() -> None:
    with pytest.raises(InvalidArgument):
        start_of(kind_of("/one", {}), encode_cursor(kind_of("/other", {}), [{}, 0]))


def answer(status: int, body: Any = None, **headers: str) -> Answer:
    return Answer(status, {name.replace("_", "-"): each for name, each in headers.items()}, body)


def operation(**headers: str) -> str:
    told = answer(202, **headers)
    handle = begun("main", HOME, told, path=VM, version="2024-07-01", target=VM, action="start")
    return handle.operation_id


def test_azure_async_operation_goes_before_location() -> None:
    base = f"{HOME}{SUB}/providers/Microsoft.Compute/locations/westeurope/operations/1"
    followed = read(
        operation(azure_asyncoperation=f"{base}?api-version=1", location=f"{base}?api-version=2")
    )
    assert (followed.way, followed.account) == ("operation", "main")
    assert followed.path.endswith("api-version=1")
    results = f"{HOME}{SUB}/operationresults/eyJqb2IiOiJ4In0?api-version=1"
    assert read(operation(location=results)).way == "location"


@pytest.mark.parametrize(
    "place",
    [
        "https://evil.example/subscriptions/{sub}/operationresults/1?api-version=1",
        "http://management.azure.com/subscriptions/{sub}/operationresults/1?api-version=1",
        "https://management.azure.com/subscriptions/{sub}/resourceGroups/a?api-version=1",
        "https://management.azure.com/operationresults/1?api-version=1",
        "https://management.azure.com/subscriptions/{sub}/operationresults/1",
        "https://management.azure.com/subscriptions/{sub}/x/../operations/1?api-version=1",
    ],
)
def test_an_operation_that_lies_elsewhere_is_not_followed(place: str) -> None:
    with pytest.raises(UpstreamError):
        operation(location=place.format(sub=SUBSCRIPTION))


@pytest.mark.parametrize(
    "value",
    [
        ["main", "operation", f"{SUB}/resources?api-version=1", VM, "x", 1e9],
        ["main", "location", "/subscriptions/../operations/1?api-version=1", VM, "x", 1e9],
        ["main", "resource", f"{VM}", VM, "x", 1e9],
        ["main", "other", f"{SUB}/operationresults/1?api-version=1", VM, "x", 1e9],
        ["main", "operation", f"{SUB}/operationresults/1?api-version=1", VM, "x", "now"],
        ["main"],
        "text",
    ],
)
def test_an_operation_id_that_we_did_not_make_is_refused(value: Any) -> None:
    with pytest.raises(InvalidArgument):
        read(encode_cursor("azop", value))


@pytest.mark.parametrize(
    ("told", "status"),
    [
        ("InProgress", "running"),
        ("Updating", "running"),
        ("Succeeded", "succeeded"),
        ("Canceled", "canceled"),
        ("Failed", "failed"),
    ],
)
def test_the_status_of_an_operation_is_read(told: str, status: str) -> None:
    place = f"{HOME}{SUB}/providers/Microsoft.Compute/locations/w/operations/1?api-version=1"
    text = operation(azure_asyncoperation=place)
    error = {"code": "C", "message": "M"}
    state = stood(text, read(text), answer(200, {"status": told, "error": error}))
    assert state.status == status
    assert state.error == (error if status in ("failed", "canceled") else None)


def test_what_is_done_at_once_needs_no_following() -> None:
    body = {"properties": {"provisioningState": "Succeeded"}}
    done = begun("main", HOME, answer(200, body), path=VM, version="1", target=VM, action="delete")
    assert done.status == "succeeded"
    body = {"properties": {"provisioningState": "Creating"}}
    going = begun("main", HOME, answer(201, body), path=VM, version="1", target=VM, action="make")
    assert (going.status, read(going.operation_id).way) == ("running", "resource")


@pytest.mark.parametrize(
    ("reading", "status", "after", "tries", "left_s", "pause_s"),
    [
        (False, 429, "2", 1, 10, 2),
        (False, 429, None, 1, 10, 5),
        (True, 503, "1", 1, 10, 1),
        (False, 503, "1", 1, 10, None),
        (True, 503, None, 1, 10, None),
        (True, 500, "1", 1, 10, None),
        (False, 429, "20", 1, 10, None),
        (False, 429, "1", 3, 10, None),
    ],
)
def test_a_request_is_sent_again_only_where_it_can_do_no_harm(
    reading: bool, status: int, after: str | None, tries: int, left_s: float, pause_s: float | None
) -> None:
    assert pause_before_retry(reading, status, after, tries, left_s) == pause_s


def test_cost_management_says_in_its_own_header_how_long_to_wait() -> None:
    name = "x-ms-ratelimit-microsoft.costmanagement-entity-retry-after"
    headers = {name: "40", name.replace("entity", "tenant"): "9"}
    assert asked_pause(headers) == "40"
    error = failure(429, headers, {"error": {"code": "429", "message": "slow"}})
    assert isinstance(error, RateLimited)
    assert error.details["retryAfterMs"] == 40_000


def test_the_details_of_an_error_are_told() -> None:
    body = {
        "error": {
            "code": "InvalidTemplateDeployment",
            "message": "The template\nis not valid.",
            "details": [{"code": "SkuNotAvailable", "message": "No such size here."}],
        }
    }
    error = failure(400, {"x-ms-request-id": "r"}, body)
    assert error.message.endswith("The template is not valid. SkuNotAvailable: No such size here.")
    assert error.details["upstreamCode"] == "InvalidTemplateDeployment"
    assert failure(502, {}, None).code == "upstream_error"


@given(
    st.recursive(
        st.text(max_size=200) | st.integers(min_value=-(2**53), max_value=2**53) | st.none(),
        lambda inner: (
            st.lists(inner, max_size=8) | st.dictionaries(st.text(max_size=10), inner, max_size=8)
        ),
        max_leaves=40,
    )
)
def test_what_is_fitted_fits(value: Any) -> None:
    small, left_out = fitted(value, max_bytes=400)
    assert len(to_json(small)) <= 400
    assert bool(left_out) == (len(to_json(value)) > 400)


def test_a_part_is_found_by_its_path() -> None:
    value = {"properties": {"rules": [{"name": "a"}, {"name": "b"}]}}
    assert part_of(value, "properties.rules.1.name") == "b"
    with pytest.raises(KeyError):
        part_of(value, "properties.rules.2")


def test_a_literal_of_kql_cannot_be_left() -> None:
    assert quoted("a' or 1 == 1 | project 'x\\") == "'a\\' or 1 == 1 | project \\'x\\\\'"


def test_tags_after() -> None:
    now = {"a": "1", "b": "2"}
    assert tags_after(now, {"b": "3"}, "merge") == {"a": "1", "b": "3"}
    assert tags_after(now, {"b": "3"}, "replace") == {"b": "3"}
    assert tags_after(now, {"b": ""}, "delete") == {"a": "1"}


def test_the_price_is_that_of_the_plain_machine() -> None:
    def item(price: float, sku: str = "D2s v5", product: str = "Dsv5", **more: Any) -> Any:
        return {
            "retailPrice": price,
            "unitOfMeasure": "1 Hour",
            "currencyCode": "EUR",
            "skuName": sku,
            "meterName": sku,
            "productName": product,
            "type": "Consumption",
            **more,
        }

    items = [
        item(0.01, "D2s v5 Spot"),
        item(0.02, "D2s v5 Low Priority"),
        item(0.03, type="Reservation"),
        item(0.1),
        item(0.2, product="Dsv5 Windows"),
        item(9, unitOfMeasure="1 Month"),
        {"retailPrice": "free"},
    ]
    linux = cost_of({"Items": items}, "westeurope", "Standard_D2s_v5", windows=False)
    windows = cost_of({"Items": items}, "westeurope", "Standard_D2s_v5", windows=True)
    assert linux is not None
    assert windows is not None
    assert (linux.amount, windows.amount, linux.currency) == (73.0, 146.0, "EUR")
    for nothing in ({}, {"Items": []}, [], None, {"Items": [{}]}):
        assert cost_of(nothing, "westeurope", "x", windows=False) is None


def test_versions_that_are_previews_come_last() -> None:
    assert newest(["2030-01-01-preview", "2023-05-01", "2019-01-01"]) == "2023-05-01"
    assert newest(["2030-01-01-preview"]) == "2030-01-01-preview"
    assert newest([]) == ""


def test_parameters_are_compared_with_the_template() -> None:
    template = {
        "$schema": "s",
        "resources": [],
        "parameters": {"a": {"type": "string"}, "b": {"type": "SecureString"}},
    }
    given_b = parameters_of(template, {"a": 1}, {"b": "x"})
    assert given_b == {"a": {"value": 1}, "b": {"value": "x"}}
    assert parameters_of(template, {"a": 1}, {}, placeholder="p")["b"] == {"value": "p"}
    for parameters, secrets in (({"c": 1}, {}), ({"b": "x"}, {}), ({}, {"a": "x"})):
        with pytest.raises(InvalidArgument):
            parameters_of(template, parameters, secrets)
    with pytest.raises(InvalidArgument):
        checked({"resources": []})


@pytest.mark.parametrize(
    ("text", "reads"),
    [
        ("[listKeys('a', 'b')]", True),
        ("[concat('x', LISTSECRETS (parameters('a')))]", True),
        ("[list('a')]", True),
        ("[concat('list(', 'a')]", False),
        ("listKeys('a')", False),
        ("[resourceId('a', 'mylist')]", False),
    ],
)
def test_a_template_that_reads_keys_is_known(text: str, reads: bool) -> None:
    assert reads_keys({"resources": [{"properties": [{"a": text}]}]}) == reads
