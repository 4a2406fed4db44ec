"""What web_search.yaml may say, and which mistake is told how."""

from pathlib import Path

import pytest

from flotilla.settings import Misconfigured
from web_search.configured import engines_of
from web_search.engines.built_in import BUILT_IN
from web_search.settings import Settings


def names(text: str, folder: Path) -> list[str]:
    (folder / "web_search.yaml").write_text(text)
    return [engine.name for engine in engines_of(Settings(), folder)[0]]


def test_without_a_file_there_are_those_that_need_no_setting_up(tmp_path: Path) -> None:
    engines, credentials = engines_of(Settings(), tmp_path)
    assert [engine.name for engine in engines] == list(BUILT_IN)
    assert credentials.needs == ()
    assert all(engine.missing is None for engine in engines)


def test_every_engine_of_the_installed_ddgs_for_what_we_ask_is_there() -> None:
    from ddgs.engines import ENGINES

    kinds = {"text": "web", "news": "news", "images": "images"}
    theirs = {(name, kinds[kind]) for kind in kinds for name in ENGINES[kind]}
    ours = {(name, kind) for name, pages in BUILT_IN.items() for kind in pages}
    assert theirs == ours


def test_what_the_file_sets_up_comes_first_and_order_before_all(tmp_path: Path) -> None:
    text = """
order: [mojeek, own]
engines:
  tavily: {kind: tavily, key: "secret:search/tavily"}
  own: {kind: searxng, url: "http://searx.internal:8080"}
  grokipedia: {enabled: false}
"""
    found = names(text, tmp_path)
    assert found[:4] == ["mojeek", "own", "tavily", "duckduckgo"]
    assert "grokipedia" not in found


def test_an_engine_that_is_switched_off_needs_no_key(tmp_path: Path) -> None:
    text = "engines: {t: {kind: tavily, key: 'secret:a/b', enabled: false}}"
    (tmp_path / "web_search.yaml").write_text(text)
    engines, credentials = engines_of(Settings(), tmp_path)
    assert credentials.needs == ()
    assert "t" not in [engine.name for engine in engines]


def test_a_weight_is_the_engines(tmp_path: Path) -> None:
    text = "engines: {yahoo: {weight: 0.5}, own: {kind: searxng, url: 'http://a', weight: 2}}"
    (tmp_path / "web_search.yaml").write_text(text)
    weights = {engine.name: engine.weight for engine in engines_of(Settings(), tmp_path)[0]}
    assert (weights["yahoo"], weights["own"], weights["brave"]) == (0.5, 2, 1)


def test_a_key_file_that_is_not_there_stops_its_engine_alone(tmp_path: Path) -> None:
    text = f"engines: {{t: {{kind: tavily, key: {tmp_path}/nothing}}}}"
    (tmp_path / "web_search.yaml").write_text(text)
    engines, _ = engines_of(Settings(), tmp_path)
    missing = {engine.name: engine.missing for engine in engines}
    assert missing["t"] is not None and "nothing" in missing["t"]
    assert missing["brave"] is None


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("engines: [a]", "engines: must be a map"),
        ("[]", "it must be a map"),
        ("engine: {}", "engine: there is"),
        ("engines: {own: {url: 'http://a'}}", "engines.own.kind: is missing"),
        ("engines: {own: {kind: google}}", "engines.own.kind: must be one of searxng"),
        ("engines: {brave: {kind: brave, key: 'secret:a/b'}}", "engines.brave.kind: brave needs"),
        ("engines: {own: {kind: searxng}}", "engines.own.url: Field required"),
        ("engines: {own: {kind: searxng, url: 'ftp://a'}}", "engines.own.url: give http"),
        ("engines: {own: {kind: searxng, url: 'http://u:p@a'}}", "engines.own.url: give http"),
        ("engines: {own: {kind: searxng, url: 'http://[::1'}}", "engines.own.url: give http"),
        ("engines: {b: {kind: brave, key: plain-key-5up3r}}", "engines.b.key: give secret:"),
        (
            "engines: {b: {kind: brave, key: 'secret:a/b', url: 'http://10.0.0.1'}}",
            "engines.b.url: a key travels by https only",
        ),
        ("engines: {yahoo: {weight: 0}}", "engines.yahoo.weight: "),
        ("engines: {yahoo: {enabeld: false}}", "engines.yahoo.enabeld: "),
        ("engines: {'Big One': {kind: searxng, url: 'http://a'}}", "engines.Big One: a name is"),
        ("order: [duckgo]", "order: must be a list of names"),
        ("order: brave", "order: must be a list of names"),
        ("ca_file: /nowhere.pem", "ca_file: there is no such file"),
        ("engines: {", "is not valid YAML"),
    ],
)
def test_a_mistake_names_its_key_and_no_value(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(Misconfigured) as raised:
        names(text, tmp_path)
    assert told in str(raised.value)
    assert "5up3r" not in str(raised.value)
    assert "web_search.yaml" in str(raised.value)


def test_a_file_that_is_named_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match="WEB_SEARCH_CONFIG"):
        engines_of(Settings(config=tmp_path / "other.yaml"), tmp_path)


@pytest.mark.parametrize("proxy", ["socks5://u:geheim@h:1", "geheim", "http://[::1geheim"])
def test_a_proxy_that_cannot_be_used_is_told_without_its_address(
    tmp_path: Path, proxy: str
) -> None:
    with pytest.raises(Misconfigured, match="WEB_SEARCH_PROXY") as raised:
        engines_of(Settings(proxy=proxy), tmp_path)
    assert "geheim" not in str(raised.value)
