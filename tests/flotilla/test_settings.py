from pathlib import Path

import pytest
from pydantic import Field

from flotilla import CommonSettings, Misconfigured, ServiceSettings


class Example(ServiceSettings, env_prefix="EXAMPLE_"):
    page_size: int = 50
    token: str | None = None
    hosts: list[str] = Field(default_factory=list)


def test_fields_come_from_the_environment_with_their_prefix() -> None:
    read = Example.from_env({"EXAMPLE_PAGE_SIZE": "7", "PAGE_SIZE": "9", "EXAMPLE_HOSTS": "a, b"})
    assert (read.page_size, read.hosts) == (7, ["a", "b"])
    assert Example.from_env({"EXAMPLE_HOSTS": '["a,b"]'}).hosts == ["a,b"]
    assert Example.from_env({}) == Example()
    assert Example.from_env({"EXAMPLE_PAGE_SIZE": ""}).page_size == 50


def test_a_secret_comes_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("s3cret value\n")
    assert Example.from_env({"EXAMPLE_TOKEN_FILE": str(file)}).token == "s3cret value"


@pytest.mark.parametrize(
    ("env", "told"),
    [
        ({"EXAMPLE_PAGE_SIZE": "many"}, "EXAMPLE_PAGE_SIZE"),
        (
            {"EXAMPLE_TOKEN_FILE": "/nowhere/token"},
            "EXAMPLE_TOKEN_FILE: cannot read /nowhere/token",
        ),
        ({"EXAMPLE_TOKEN": "a", "EXAMPLE_TOKEN_FILE": "/b"}, "both set"),
        ({"EXAMPLE_HOSTS": "[broken"}, "EXAMPLE_HOSTS"),
    ],
)
def test_a_wrong_value_is_told_by_its_key(env, told) -> None:
    with pytest.raises(Misconfigured, match=told):
        Example.from_env(env)


def test_a_wrong_value_is_not_repeated_for_it_may_be_a_secret() -> None:
    with pytest.raises(Misconfigured) as raised:
        Example.from_env({"EXAMPLE_PAGE_SIZE": "hunter2"})
    assert "hunter2" not in str(raised.value)


def test_an_empty_or_binary_secret_file_is_refused(tmp_path: Path) -> None:
    for content in (b"", b"\n", b"\xff\xfe", b"x" * 70_000):
        (tmp_path / "token").write_bytes(content)
        with pytest.raises(Misconfigured, match="EXAMPLE_TOKEN_FILE"):
            Example.from_env({"EXAMPLE_TOKEN_FILE": str(tmp_path / "token")})


def test_the_scrape_token_never_prints(tmp_path: Path) -> None:
    common = CommonSettings.from_env({"FLOTILLA_METRICS_TOKEN": "hunter2hunter2"})
    assert "hunter2" not in repr(common)
    assert common.secret_values() == ("hunter2hunter2",)
    assert common.hub_public_key_path == Path("data/hub/public_key.pem")
