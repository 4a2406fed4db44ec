"""`mcp.json` is read exactly, and what is wrong with it is said exactly."""

import json
from pathlib import Path
from typing import Any

import pytest

from flotilla import Misconfigured
from master.external.config import ServerEntry, check_server_name, load_config, parse_entry


def written(tmp_path: Path, content: Any) -> Path:
    file = tmp_path / "mcp.json"
    file.write_text(content if isinstance(content, str) else json.dumps(content))
    return file


def one(tmp_path: Path, entry: Any, name: str = "git") -> ServerEntry:
    return load_config(written(tmp_path, {"mcpServers": {name: entry}}))[name]


def test_without_a_file_there_are_no_external_servers(tmp_path: Path) -> None:
    assert load_config(tmp_path / "mcp.json") == {}


def test_an_entry_as_every_client_has_it_is_taken_with_safe_defaults(tmp_path: Path) -> None:
    entry = one(tmp_path, {"command": "uvx", "args": ["mcp-server-git"], "env": {"A": "b"}})
    assert (entry.type, entry.command, entry.args) == ("stdio", "uvx", ("mcp-server-git",))
    assert (entry.disabled, entry.approval, entry.network) == (False, "destructive", False)
    assert (entry.writable, entry.readable, entry.memory_mb) == ((), (), 1024)


@pytest.mark.parametrize(
    ("told", "kind"),
    [
        ({"url": "https://a.example/mcp"}, "http"),
        ({"type": "streamable-http", "url": "https://a.example/mcp"}, "http"),
        ({"type": "http", "url": "${DOCS_URL}"}, "http"),
        ({"type": "sse", "url": "http://a.example/sse"}, "sse"),
        ({"type": "openapi", "document": "/srv/api.yaml"}, "openapi"),
        ({"document": "/srv/api.yaml", "url": "https://a.example"}, "openapi"),
        ({"type": "stdio", "command": "a"}, "stdio"),
    ],
)
def test_the_kind_of_a_server_is_said_or_seen(
    tmp_path: Path, told: dict[str, Any], kind: str
) -> None:
    assert one(tmp_path, told).type == kind


def test_the_members_of_our_own_are_camel_case(tmp_path: Path) -> None:
    entry = one(
        tmp_path,
        {
            "command": "a",
            "disabled": True,
            "approval": "always",
            "timeoutS": 5,
            "longTimeoutS": 50,
            "network": ["api.example"],
            "writable": ["/srv/a"],
            "readable": ["/srv/b"],
            "memoryMb": 256,
            "roots": ["file:///srv/a"],
            "description": "what it does",
        },
    )
    assert (entry.timeout_s, entry.long_timeout_s, entry.memory_mb) == (5, 50, 256)
    assert (entry.network, entry.roots) == (("api.example",), ("file:///srv/a",))


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ({}, "needs a command (a program here) or a url"),
        ({"command": "a", "url": "https://b.example"}, "both a command and a url"),
        ({"type": "stdio"}, "a server of type stdio needs a command"),
        ({"type": "http"}, "a server of type http needs a url"),
        ({"type": "openapi", "url": "https://a.example"}, "needs a document"),
        ({"type": "websocket", "url": "https://a.example"}, "mcpServers.git.type: "),
        ({"url": "ftp://a.example"}, "mcpServers.git.url: it is not an http://"),
        ({"url": "https://a.example", "memoryMb": 100}, "memoryMb has no meaning for a server of"),
        ({"command": "a", "headers": {}}, "headers has no meaning for a server of type stdio"),
        ({"command": "a", "colour": "red"}, "mcpServers.git.colour is not a known key: known are"),
        ({"command": "a", "timeout": 5}, "is not a known key: the time limit is timeoutS"),
        ({"command": "a", "autoApprove": []}, "what needs a person is said by approval"),
        ({"command": "a", "timeoutS": 0}, "mcpServers.git.timeoutS: "),
        ({"command": "a", "timeoutS": 9, "longTimeoutS": 8}, "longTimeoutS is shorter"),
        ({"command": "a", "env": {"A B": ""}}, "mcpServers.git.env: 'A B' is not the name"),
        ({"command": "a", "env": {"A": 5}}, "mcpServers.git.env.A: "),
        ({"url": "http://a", "headers": {"A": "b\nC: d"}}, "mcpServers.git.headers: A holds a"),
        ({"url": "http://a", "headers": {"A:": "b"}}, "'A:' is not the name of an HTTP header"),
        ({"command": "a", "roots": ["/srv"]}, "mcpServers.git.roots: '/srv' is not a file://"),
        ({"command": "a\0b"}, "mcpServers.git.command: it holds a NUL"),
        ({"document": "/a", "include": {"tag": []}}, "git.include: unknown member 'tag'; there"),
        ({"document": "/a", "exclude": {"tags": "a"}}, "mcpServers.git.exclude.tags: "),
        ({"document": "/a", "credentials": {"k": 5}}, "mcpServers.git.credentials.k: "),
        ({"command": "a", "credentials": {}}, "credentials has no meaning for a server of type"),
        ({"url": "http://a", "tokenUrls": {}}, "tokenUrls has no meaning for a server of type"),
        ("uvx", "mcpServers.git is not a JSON object"),
    ],
)
def test_a_mistake_names_the_file_the_server_and_the_key(
    tmp_path: Path, entry: Any, said: str
) -> None:
    with pytest.raises(Misconfigured) as caught:
        one(tmp_path, entry)
    assert said in str(caught.value)
    assert str(caught.value).startswith(str(tmp_path / "mcp.json"))
    assert "mcpServers.git" in str(caught.value)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("{", "is not valid JSON: line 1"),
        ("[]", "is not a JSON object"),
        ("{}", "mcpServers is missing"),
        ('{"servers": {}}', "servers is not a known key, mcpServers is; write mcpServers for"),
        ('{"mcpServers": {}, "inputs": []}', "inputs is not a known key"),
        ('{"mcpServers": {"a": {"command": "b"}, "a": {}}}', "'a' is there twice"),
        ("[" * 100_000, "is not valid JSON"),
    ],
)
def test_a_file_that_is_no_such_file_is_refused(tmp_path: Path, content: str, said: str) -> None:
    with pytest.raises(Misconfigured, match=r"mcp\.json") as caught:
        load_config(written(tmp_path, content))
    assert said in str(caught.value)


@pytest.mark.parametrize("name", ["a", "git", "brave-search", "x" * 32, "s3"])
def test_a_good_name_is_taken(name: str) -> None:
    assert check_server_name(name, ("linux_cli",)) == name


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("GitHub", "'github' would do"),
        ("my_server", "'my-server' would do"),
        ("a.b", "'a-b' would do"),
        ("", "1 to 32 lower-case letters"),
        ("3d", "a letter first"),
        ("x" * 33, "1 to 32"),
        ("git\n", "'git' would do"),
        ("linux-cli", "a service of the fleet has this name"),
        ("cmdb", "a service of the fleet has this name; choose another, say cmdb-ext"),
    ],
)
def test_a_bad_name_is_refused_with_a_better_one(name: str, said: str) -> None:
    with pytest.raises(Misconfigured) as caught:
        check_server_name(name, ("linux_cli", "cmdb"))
    assert said in str(caught.value)


def test_an_api_is_described_by_members_of_its_own(tmp_path: Path) -> None:
    entry = one(
        tmp_path,
        {
            "document": "/srv/api.yaml",
            "include": {"tags": ["pets"]},
            "exclude": {"methods": ["delete"], "paths": ["/admin"]},
            "credentials": {"key": "${env:KEY}"},
            "tokenUrls": {"oauth": "https://login.example/token"},
            "serverVariables": {"region": "eu"},
            "outputSchemas": False,
        },
    )
    assert dict(entry.include) == {"tags": ("pets",)}
    assert dict(entry.exclude) == {"methods": ("delete",), "paths": ("/admin",)}
    assert dict(entry.server_variables) == {"region": "eu"}
    assert entry.output_schemas is False
    assert entry.shown()["credentials"] == ["key"]
    assert entry.shown()["tokenUrls"] == {"oauth": "https://login.example/token"}


def test_what_may_hold_a_secret_is_neither_printed_nor_shown() -> None:
    canary = "canary-4711-secret"
    program = parse_entry("a", {"command": "a", "args": [canary], "env": {"KEY": canary}})
    remote = parse_entry(
        "b",
        {"url": f"https://me:{canary}@b.example/mcp?key={canary}", "headers": {"X": canary}},
    )
    assert canary not in repr(program)
    assert canary not in repr(remote)
    assert canary not in json.dumps(remote.shown())
    api = parse_entry(
        "d",
        {
            "document": "/srv/api.yaml",
            "credentials": {"key": canary},
            "tokenUrls": {"key": f"https://me:{canary}@b.example/token"},
        },
    )
    assert canary not in repr(api)
    assert canary not in json.dumps(api.shown())
    assert program.shown()["env"] == ["KEY"]
    assert remote.shown() == {
        "type": "http",
        "url": "https://b.example/mcp?...",
        "headers": ["X"],
    }
    with pytest.raises(Misconfigured) as caught:
        parse_entry("c", {"command": "c", "env": {"KEY": canary}, "headers": {"X": canary}})
    assert canary not in str(caught.value)
