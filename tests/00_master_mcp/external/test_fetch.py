"""What npx and uvx would fetch is fetched beforehand, and only that."""

import pytest

from master.external.fetch import fetch_of, forwarded


@pytest.mark.parametrize(
    ("args", "fetched", "pinned"),
    [
        (
            ("-y", "@a/server@1.2.3", "/srv"),
            ("-y", "--package=@a/server@1.2.3", "-c", "true"),
            True,
        ),
        (("server",), ("-y", "--package=server", "-c", "true"), False),
        (("-y", "server@latest"), ("-y", "--package=server@latest", "-c", "true"), False),
        (
            ("--yes", "-p", "a@1.0.0", "--package=b@2.0.0-rc.1", "bin", "--flag"),
            ("-y", "--package=a@1.0.0", "--package=b@2.0.0-rc.1", "-c", "true"),
            True,
        ),
        (("-y", "--", "a@1.0.0"), ("-y", "--package=a@1.0.0", "-c", "true"), True),
    ],
)
def test_npx_fetches_the_package_and_runs_nothing_of_it(
    args: tuple[str, ...], fetched: tuple[str, ...], pinned: bool
) -> None:
    found = fetch_of("/usr/bin/npx", args)
    assert found is not None
    assert (found.args, found.pinned) == (fetched, pinned)
    assert found.offline["npm_config_offline"] == "true"


@pytest.mark.parametrize(
    ("args", "fetched", "pinned"),
    [
        (("a==1.2", "--flag"), ("--from", "a==1.2", "python", "-c", ""), True),
        (("a",), ("--from", "a", "python", "-c", ""), False),
        (("a@latest",), ("--from", "a@latest", "python", "-c", ""), False),
        (("a[x]==1.0", "b"), ("--from", "a[x]==1.0", "python", "-c", ""), True),
        (("--from", "a==1.0", "bin"), ("--from", "a==1.0", "python", "-c", ""), True),
        (
            ("--with", "b", "--python=3.12", "a==1.0"),
            ("--from", "a==1.0", "--with", "b", "--python", "3.12", "python", "-c", ""),
            False,
        ),
    ],
)
def test_uvx_makes_the_environment_and_runs_nothing_of_it(
    args: tuple[str, ...], fetched: tuple[str, ...], pinned: bool
) -> None:
    found = fetch_of("uvx", args)
    assert found is not None
    assert (found.args, found.pinned, found.offline) == (fetched, pinned, {"UV_OFFLINE": "1"})


@pytest.mark.parametrize(
    ("command", "args"),
    [
        ("node", ("server.js",)),
        ("npx", ()),
        ("npx", ("-c", "anything")),
        ("npx", ("--unknown", "a")),
        ("uvx", ("--refresh", "a")),
        ("uvx", ("--from",)),
    ],
)
def test_what_is_not_understood_is_not_fetched(command: str, args: tuple[str, ...]) -> None:
    assert fetch_of(command, args) is None


def test_the_fetch_knows_where_packages_come_from_and_no_secret() -> None:
    env = {
        "npm_config_registry": "a",
        "UV_INDEX_URL": "b",
        "HTTPS_PROXY": "c",
        "GITHUB_TOKEN": "secret",
        "HTTPS_PROXY_PASSWORD": "secret",
    }
    assert forwarded(env) == {"npm_config_registry": "a", "UV_INDEX_URL": "b", "HTTPS_PROXY": "c"}
