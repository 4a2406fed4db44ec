"""What the MCP Registry publishes becomes an entry, and a list of what a person must still set."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flotilla import FlotillaError
from master.external.config import check_server_name, parse_entry
from master.external.registry import SCHEMAS, BadServer, Registered, read_server


def server(**members: Any) -> dict[str, Any]:
    return {
        "$schema": "https://static.modelcontextprotocol.io/schemas/2025-12-11/server.schema.json",
        "name": "io.github.someone/weather",
        "description": "Tells the weather.",
        "version": "1.2.3",
        **members,
    }


def package(**members: Any) -> dict[str, Any]:
    stdio = {"type": "stdio"}
    return {
        "registryType": "npm",
        "identifier": "@someone/weather",
        "version": "1.2.3",
        "transport": stdio,
        **members,
    }


def with_package(**members: Any) -> Registered:
    return read_server(server(packages=[package(**members)]))


def test_an_npm_package_is_run_by_npx_at_its_version() -> None:
    offer = with_package().offer()
    assert offer.name == "weather"
    assert offer.entry == {"command": "npx", "args": ["-y", "@someone/weather@1.2.3"]}
    assert offer.needs == ()


def test_a_pypi_package_is_run_by_uvx_at_its_version() -> None:
    offer = with_package(registryType="pypi", identifier="weather-mcp", version="0.5.0").offer()
    assert offer.entry == {"command": "uvx", "args": ["weather-mcp==0.5.0"]}


@pytest.mark.parametrize(
    ("identifier", "more", "image"),
    [
        ("ghcr.io/someone/weather:1.2.3", {"version": ""}, "ghcr.io/someone/weather:1.2.3"),
        ("someone/weather", {}, "someone/weather:1.2.3"),
        (
            "someone/weather",
            {"registryBaseUrl": "https://ghcr.io"},
            "ghcr.io/someone/weather:1.2.3",
        ),
        ("localhost:5000/weather", {}, "localhost:5000/weather:1.2.3"),
    ],
)
def test_an_image_is_run_by_docker_and_gets_its_environment_by_name(
    identifier: str, more: dict[str, Any], image: str
) -> None:
    environment = [{"name": "UNITS", "default": "metric"}]
    offer = with_package(
        registryType="oci", identifier=identifier, environmentVariables=environment, **more
    ).offer("oci")
    assert offer.entry == {
        "command": "docker",
        "args": ["run", "--rm", "-i", "-e", "UNITS", image],
        "env": {"UNITS": "metric"},
    }


def test_an_image_that_reaches_outside_its_container_is_told() -> None:
    arguments = [
        {"type": "named", "name": "--network", "value": "host"},
        {"type": "named", "name": "--mount", "value": "type=bind,src=/,dst=/host"},
        {"type": "positional", "value": "-v/:/host"},
    ]
    offer = with_package(
        registryType="oci",
        identifier="someone/weather",
        runtimeHint="docker",
        runtimeArguments=arguments,
    ).offer()
    assert offer.entry["args"] == [
        *("run", "--rm", "-i", "--network", "host", "--mount", "type=bind,src=/,dst=/host"),
        *("-v/:/host", "someone/weather:1.2.3"),
    ]
    assert offer.notes == ("its container reaches outside itself by --mount, --network, -v",)


def test_environment_variables_are_handles_values_and_needs() -> None:
    offer = with_package(
        environmentVariables=[
            {"name": "API_KEY", "isSecret": True, "isRequired": True, "description": "The key."},
            {"name": "REGION", "isRequired": True, "choices": ["eu", "us"]},
            {"name": "UNITS", "default": "metric", "isRequired": True},
            {"name": "MODE", "value": "mcp"},
            {"name": "PROXY", "description": "Maybe."},
            {"name": "OLD_KEY", "isSecret": True, "default": "changeme"},
        ]
    ).offer()
    assert offer.entry["env"] == {
        "API_KEY": "${env:API_KEY}",
        "REGION": "${env:REGION}",
        "UNITS": "metric",
        "MODE": "mcp",
    }
    told = [(need.variable, need.required, need.secret, need.choices) for need in offer.needs]
    assert told == [
        ("API_KEY", True, True, ()),
        ("REGION", True, False, ("eu", "us")),
        ("PROXY", False, False, ()),
        ("OLD_KEY", False, True, ()),
    ]
    assert offer.needs[0].description == "The key."


def test_arguments_are_positional_named_flags_and_templates() -> None:
    offer = with_package(
        runtimeHint="npx",
        runtimeArguments=[{"type": "named", "name": "--quiet"}],
        packageArguments=[
            {"type": "positional", "value": "start"},
            {"type": "positional", "valueHint": "target_dir", "isRequired": True},
            {"type": "named", "name": "--port", "default": "8080"},
            {"type": "named", "name": "--verbose", "format": "boolean"},
            {
                "type": "named",
                "name": "--db",
                "value": "{user}@{host}/{literal}",
                "variables": {"user": {"isRequired": True}, "host": {"default": "localhost"}},
            },
        ],
    ).offer()
    assert offer.entry["args"] == [
        *("--quiet", "-y", "@someone/weather@1.2.3", "start", "${env:WEATHER_TARGET_DIR}"),
        *("--port", "8080", "--db", "${env:WEATHER_USER}@localhost/{literal}"),
    ]
    assert [(need.variable, need.required) for need in offer.needs] == [
        ("WEATHER_TARGET_DIR", True),
        ("WEATHER_VERBOSE", False),
        ("WEATHER_USER", True),
    ]


def test_remotes_become_addresses_with_headers_and_variables() -> None:
    registered = read_server(
        server(
            remotes=[
                {
                    "type": "streamable-http",
                    "url": "https://{tenant}.example.com/mcp",
                    "variables": {"tenant": {"isRequired": True, "description": "Yours."}},
                    "headers": [
                        {
                            "name": "Authorization",
                            "value": "Bearer {key}",
                            "variables": {"key": {"isSecret": True, "isRequired": True}},
                        },
                        {"name": "X-Region", "default": "eu"},
                    ],
                },
                {"type": "sse", "url": "https://example.com/sse"},
            ]
        )
    )
    offer = registered.offer()
    assert offer.entry == {
        "type": "http",
        "url": "https://${env:WEATHER_TENANT}.example.com/mcp",
        "headers": {"Authorization": "Bearer ${env:WEATHER_KEY}", "X-Region": "eu"},
    }
    assert [(need.variable, need.secret) for need in offer.needs] == [
        ("WEATHER_TENANT", False),
        ("WEATHER_KEY", True),
    ]
    assert registered.offer("sse").entry == {"type": "sse", "url": "https://example.com/sse"}


def test_a_secret_part_of_a_template_is_a_handle_whether_required_or_not() -> None:
    headers = [{"name": "X-Key", "value": "k {key}", "variables": {"key": {"isSecret": True}}}]
    remote = {"type": "sse", "url": "https://example.com", "headers": headers}
    offer = read_server(server(remotes=[remote])).offer()
    assert offer.entry["headers"] == {"X-Key": "k ${env:WEATHER_KEY}"}


def test_the_first_schema_in_snake_case_is_read_too() -> None:
    old = {
        "$schema": "https://static.modelcontextprotocol.io/schemas/2025-07-09/server.schema.json",
        "name": "io.github.someone/mcp",
        "description": "Old.",
        "status": "deprecated",
        "version_detail": {"version": "0.9.5"},
        "packages": [
            {
                "registry_type": "npm",
                "identifier": "weather",
                "version": "0.9.5",
                "environment_variables": [{"name": "K_1", "is_required": True, "is_secret": True}],
                "package_arguments": [
                    {"type": "positional", "value": "{a_b}", "variables": {"a_b": {"default": "x"}}}
                ],
            }
        ],
        "remotes": [{"transport_type": "sse", "url": "https://example.com/sse"}],
    }
    registered = read_server(json.dumps(old))
    offer = registered.offer("npm")
    assert registered.version == "0.9.5"
    assert offer.name == "someone"
    assert offer.entry == {
        "command": "npx",
        "args": ["-y", "weather@0.9.5", "x"],
        "env": {"K_1": "${env:K_1}"},
    }
    assert offer.notes == ("the registry says that it is deprecated",)
    assert registered.offer("sse").entry["url"] == "https://example.com/sse"


@pytest.mark.parametrize("version", SCHEMAS[1:])
def test_every_version_of_the_schema_since_camel_case_is_read(version: str) -> None:
    schema = f"https://static.modelcontextprotocol.io/schemas/{version}/server.schema.json"
    found = read_server({**server(packages=[package()]), "$schema": schema})
    assert found.offer().entry["command"] == "npx"


def test_the_answer_of_the_registry_is_unwrapped() -> None:
    wrapped = {"server": server(packages=[package()]), "_meta": {"x": {"status": "active"}}}
    assert read_server(json.dumps(wrapped).encode()).offer().kind == "npm"


@pytest.mark.parametrize(
    ("members", "reason"),
    [
        ({"registryType": "mcpb"}, r"packages\[0\]: an MCP bundle"),
        ({"registryType": "nuget"}, "'nuget' are not run here"),
        ({"transport": {"type": "sse", "url": "http://x"}}, "stdio alone"),
        (
            {"runtimeHint": "bunx", "runtimeArguments": [{"type": "named", "name": "-q"}]},
            "are for 'bunx'",
        ),
    ],
)
def test_what_cannot_be_run_says_why(members: dict[str, Any], reason: str) -> None:
    registered = with_package(**members)
    assert registered.offers == ()
    with pytest.raises(BadServer, match=reason):
        registered.offer()


@pytest.mark.parametrize(
    ("members", "place"),
    [
        ({"identifier": "--registry=http://evil"}, "identifier"),
        ({"identifier": "git+https://evil/x"}, "identifier"),
        ({"identifier": "../x"}, "identifier"),
        ({"version": "^1.0"}, "version"),
        ({"version": "latest"}, "version"),
        ({"version": "-1"}, "version"),
        ({"version": None}, "version"),
        ({"environmentVariables": [{"name": "A=B"}]}, r"environmentVariables\[0\]\.name"),
        ({"environmentVariables": [{"name": "NPM_CONFIG_REGISTRY", "value": "x"}]}, "may not set"),
        ({"environmentVariables": [{"name": "A", "value": "${env:AWS_KEY}"}]}, "may not refer"),
        ({"environmentVariables": [{"name": "A", "value": "x\ny"}]}, "control characters"),
        ({"environmentVariables": {}}, "must be an array"),
        ({"packageArguments": [{"type": "other"}]}, r"packageArguments\[0\]\.type"),
        (
            {"packageArguments": [{"type": "positional", "default": "c", "choices": ["a"]}]},
            "not among its choices",
        ),
        (
            # Two harmless halves of a handle.
            {
                "packageArguments": [
                    {
                        "type": "positional",
                        "value": "{b}{a}",
                        "variables": {"b": {"default": "$"}, "a": {"default": "{env:AWS_KEY}"}},
                    }
                ]
            },
            "may not refer",
        ),
    ],
)
def test_a_mistake_or_an_attack_is_told_with_its_place(members: dict[str, Any], place: str) -> None:
    with pytest.raises(BadServer, match=place):
        with_package(**members)


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("{", "no JSON"),
        ("[]", "must be an object"),
        (b"\xff", "no JSON"),
        ({"name": "weather"}, "not of the form"),
        ({"$schema": "https://example.com/x", "name": "a.b/c"}, "not known"),
        ({"name": "a.b/c", "remotes": [{"type": "sse", "url": "ftp://x/"}]}, "no http or https"),
        ({"name": "a.b/c", "remotes": [{"type": "sse", "url": "https://u:p@x/"}]}, "no http"),
        ("x" * 2**20 + "x", "read at most"),
    ],
)
def test_what_is_no_server_json_is_refused_in_words(source: Any, said: str) -> None:
    with pytest.raises(BadServer, match=said):
        read_server(source)


def test_a_server_without_packages_and_remotes_says_so() -> None:
    with pytest.raises(BadServer, match="neither packages nor remotes"):
        read_server(server()).offer()
    with pytest.raises(BadServer, match="it offers npm"):
        with_package().offer("pypi")


_texts = st.text(max_size=20)
_inputs = st.fixed_dictionaries(
    {},
    optional={
        "value": st.sampled_from(["x", "{a}", "{a}{b}", "${x}", "a b"]) | _texts,
        "default": _texts,
        "isRequired": st.booleans(),
        "isSecret": st.booleans(),
        "format": st.sampled_from(["string", "number", "boolean", "filepath"]),
        "variables": st.dictionaries(
            st.sampled_from(["a", "b"]),
            st.fixed_dictionaries(
                {}, optional={"default": st.sampled_from(["$", "{env:X}", "v"]) | _texts}
            ),
        ),
    },
)
_arguments = st.lists(
    st.builds(
        lambda kind, name, more: {**more, "type": kind, "name": name},
        st.sampled_from(["named", "positional"]),
        st.sampled_from(["--x", "-y", "--z"]) | _texts,
        _inputs,
    ),
    max_size=4,
)


@given(
    kind=st.sampled_from(["npm", "pypi", "oci"]),
    identifier=st.sampled_from(["weather", "a/b"]) | _texts,
    version=st.sampled_from(["1.0.0"]) | _texts,
    before=_arguments,
    after=_arguments,
    environment=st.lists(
        st.builds(lambda name, more: {**more, "name": name}, st.sampled_from(["A", "B"]), _inputs),
        max_size=3,
    ),
)
def test_whatever_is_read_is_an_entry_of_ours_and_names_no_variable_unasked(
    kind: str,
    identifier: str,
    version: str,
    before: list[dict[str, Any]],
    after: list[dict[str, Any]],
    environment: list[dict[str, Any]],
) -> None:
    try:
        offer = with_package(
            registryType=kind,
            identifier=identifier,
            version=version,
            runtimeArguments=before,
            packageArguments=after,
            environmentVariables=environment,
        ).offer()
    except FlotillaError as error:
        assert error.message
        return
    parse_entry(check_server_name(offer.name), offer.entry)
    text = json.dumps(offer.entry)
    for need in offer.needs:
        text = text.replace(f"${{env:{need.variable}}}", "")
    assert "${" not in text


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=8),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(
                    ["name", "packages", "remotes", "type", "url", "headers", "value", "variables"]
                ),
                inner,
                max_size=4,
            )
        ),
        max_leaves=25,
    )
)
def test_garbage_is_refused_in_words_and_never_breaks_the_reader(garbage: Any) -> None:
    try:
        read_server({"name": "a.b/c", "packages": garbage})
        read_server({"name": "a.b/c", "remotes": [garbage]})
        read_server({"name": "a.b/c", "remotes": [{"type": "sse", "url": garbage}]})
    except FlotillaError as error:
        assert error.message


def test_a_url_that_no_one_can_read_is_refused() -> None:
    with pytest.raises(BadServer, match="no http or https"):
        read_server({"name": "a.b/c", "remotes": [{"type": "sse", "url": "https://[x"}]})
