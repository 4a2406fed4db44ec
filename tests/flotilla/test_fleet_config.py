from pathlib import Path

import pytest

from flotilla import Misconfigured
from flotilla.fleet import FleetConfig, HubLimits
from flotilla.resilience import RATES, Breaker, Places, RateLimit, Resilience

SHIPPED = Path(__file__).parents[2] / "config" / "services.yaml"
GOOD = """
services:
  master: {number: 0, port: 8000, namespaces: [master]}
  linux_cli: {number: 1, port: 8001, namespaces: [os.linux, os.ssh], timeout_s: 5}
"""


@pytest.fixture
def write(tmp_path: Path):
    def written(text: str) -> Path:
        file = tmp_path / "services.yaml"
        file.write_text(text)
        return file

    return written


def test_ports_come_from_the_file_and_move_by_the_environment(write) -> None:
    file = write(GOOD)
    assert FleetConfig.load(file, {}).port("linux_cli") == 8001
    assert FleetConfig.load(file, {"MCP_PORT_BASE": "9100"}).port("linux_cli") == 9101
    moved = FleetConfig.load(file, {"MCP_PORT_BASE": "9100", "MCP_PORT_LINUX_CLI": "77"})
    assert (moved.port("master"), moved.port("linux_cli")) == (9100, 77)


def test_urls_follow_the_pattern_with_dashes_for_container_names(write) -> None:
    file = write(GOOD)
    assert FleetConfig.load(file, {}).url("linux_cli") == "http://127.0.0.1:8001"
    inside = FleetConfig.load(file, {"FLOTILLA_SPOKE_URL": "http://{name}:{port}"})
    assert inside.url("linux_cli") == "http://linux-cli:8001"


def test_services_are_chosen_by_number_or_name(write) -> None:
    config = FleetConfig.load(write(GOOD), {})
    assert config.chosen(None) == config.chosen("") == ["master", "linux_cli"]
    assert config.chosen("01, master") == ["master", "linux_cli"]
    with pytest.raises(Misconfigured, match="'07'"):
        config.chosen("00,07")


@pytest.mark.parametrize(
    ("text", "env", "told"),
    [
        ("services: [", {}, "not valid YAML"),
        ("", {}, "the file"),
        ("servics: {}", {}, "servics"),
        (GOOD + "    timeout: 5", {}, "not valid YAML"),
        (GOOD.replace("timeout_s: 5", "timeout_s: fast"), {}, "services.linux_cli.timeout_s"),
        (GOOD.replace("timeout_s: 5", "timeout_s: -1"), {}, "services.linux_cli.timeout_s"),
        (GOOD.replace("os.ssh", "ssh"), {}, "'ssh'"),
        (GOOD.replace("os.ssh", "master"), {}, "belongs to master and to linux_cli"),
        (GOOD.replace("8001", "8000"), {}, "port 8000 is that of master and of linux_cli"),
        (GOOD.replace("number: 1", "number: 0"), {}, "number 0"),
        (GOOD, {"MCP_PORT_BASE": "low"}, "MCP_PORT_BASE"),
        (GOOD, {"MCP_PORT_BASE": "65535"}, "65536"),
        (GOOD, {"MCP_PORT_LINUX_CLI": "70000"}, "MCP_PORT_LINUX_CLI"),
    ],
)
def test_a_mistake_is_told_by_file_and_key(write, text, env, told) -> None:
    with pytest.raises(Misconfigured, match=r"services\.yaml") as raised:
        FleetConfig.load(write(text), env)
    assert told in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match=r"cannot read .*services\.yaml"):
        FleetConfig.load(tmp_path / "services.yaml", {})


LAYERS = """
defaults:
  timeout_s: 20
  breaker: {failures: 7}
services:
  master: {number: 0, port: 8000, namespaces: [master]}
  linux_cli:
    number: 1
    port: 8001
    namespaces: [os.linux]
    breaker: {open_s: 5}
  web_search: {number: 2, port: 8002, namespaces: [web.search]}
  ai_models:
    number: 3
    port: 8003
    namespaces: [ai.models]
    rate_limit: {burst: 2}
external:
  "*": {places: {calls: 4}}
  github: {breaker: {open_s: 9}, timeout_s: 7}
"""


def test_a_service_has_its_own_values_before_the_defaults_and_those_before_the_built_in(
    write,
) -> None:
    config = FleetConfig.load(write(LAYERS), {})
    linux = config.resilience("linux_cli")
    assert (linux.breaker.failures, linux.breaker.open_s, linux.timeout_s) == (7, 5, 20)
    master = config.resilience("master")
    assert (master.breaker.failures, master.breaker.open_s) == (7, 60)
    assert FleetConfig.load(write(GOOD), {}).resilience("master").breaker == Breaker()


def test_an_external_server_has_its_own_values_before_those_of_all_and_the_defaults(
    write,
) -> None:
    config = FleetConfig.load(write(LAYERS), {})
    github, other = config.resilience("github"), config.resilience("any.other")
    assert (github.breaker.failures, github.breaker.open_s, github.timeout_s) == (7, 9, 7)
    assert (other.breaker.failures, other.breaker.open_s, other.timeout_s) == (7, 60, 20)
    assert github.places.calls == other.places.calls == 4
    # Places of external servers are not those of the fleet's own services.
    assert config.resilience("linux_cli").places.calls == Places().calls
    assert FleetConfig.load(write(GOOD), {}).resilience("any.other") == Resilience()


def test_what_costs_somebody_elses_money_or_patience_has_a_lower_rate_from_the_start(
    write,
) -> None:
    config = FleetConfig.load(write(LAYERS), {})
    assert config.resilience("web_search").rate_limit.per_minute == 60
    assert config.resilience("ai_models").rate_limit == RateLimit(per_minute=10, burst=2)
    slower = LAYERS.replace("timeout_s: 20", "timeout_s: 20\n  rate_limit: {per_minute: 600}")
    config = FleetConfig.load(write(slower), {})
    assert config.resilience("web_search").rate_limit.per_minute == 60
    assert config.resilience("linux_cli").rate_limit.per_minute == 600
    own = LAYERS.replace("rate_limit: {burst: 2}", "rate_limit: {per_minute: 99}")
    assert FleetConfig.load(write(own), {}).resilience("ai_models").rate_limit.per_minute == 99


def test_what_the_hub_takes_is_read_and_has_defaults(write) -> None:
    assert FleetConfig.load(write(GOOD), {}).hub == HubLimits()
    assert FleetConfig.load(write("hub: {calls: 9}" + GOOD), {}).hub.calls == 9


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("defaults: {breaker: {failures: 0}}", "services.master.breaker.failures"),
        ("defaults: {breaker: {failure: 3}}", "services.master.breaker.failure"),
        ("external: {github: {retry: {factor: 0.5}}}", "external.github.retry.factor"),
        ("external: [github]", "external"),
        ("hub: {calls: none}", "hub.calls"),
    ],
)
def test_a_mistake_in_what_keeps_a_service_going_is_told_by_its_key(write, text, told) -> None:
    with pytest.raises(Misconfigured) as raised:
        FleetConfig.load(write(text + GOOD), {})
    assert told in str(raised.value)


def test_the_file_that_comes_with_the_fleet_says_what_the_defaults_are() -> None:
    config = FleetConfig.load(SHIPPED, {})
    for name in config.services:
        entry = config.resilience(name)
        default = Resilience(rate_limit=RATES.get(name, RateLimit()))
        built_in = {part: getattr(default, part) for part in Resilience.model_fields}
        assert {part: getattr(entry, part) for part in built_in} == built_in
    assert config.resilience("any.external") == Resilience()
    assert config.hub == HubLimits()


LIMITS = """
defaults: {timeout_s: 7, retry: {retries: 1}, rate_limit: {per_minute: 99}}
services:
  master: {number: 0, port: 8000, namespaces: [master]}
  ai_models: {number: 16, port: 8016, namespaces: [ai.models]}
  web_search: {number: 6, port: 8006, namespaces: [web.search], retry: {factor: 3}}
external:
  "*": {breaker: {failures: 2}}
  docs: {timeout_s: 1, cache: {ext.docs.find: 0}}
"""


def test_defaults_hold_where_an_entry_says_nothing_at_every_depth(write) -> None:
    fleet = FleetConfig.load(write(LIMITS), {})
    search = fleet.resilience("web_search")
    assert (search.timeout_s, search.retry.retries, search.retry.factor) == (7, 1, 3)
    assert fleet.resilience("docs").breaker.failures == 2
    assert (fleet.resilience("docs").timeout_s, fleet.resilience("other").timeout_s) == (1, 7)
    assert fleet.resilience("other").breaker.failures == 2


def test_models_and_searches_have_lower_rates_than_the_rest_from_the_start(write) -> None:
    fleet = FleetConfig.load(write(LIMITS), {})
    rates = {name: fleet.resilience(name).rate_limit.per_minute for name in fleet.services}
    assert rates == {"master": 99, "ai_models": 10, "web_search": 60}


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("timeout_s: 7", "timeout_s: soon", "timeout_s"),
        ("retries: 1", "retrys: 1", "retry.retrys"),
        ("ext.docs.find: 0", "ext.doc.find: 0", "external.docs.cache: ext.doc.find is no tool"),
        ("failures: 2", "failures: 0", "breaker.failures"),
        ("defaults: {", "default: {", "default"),
        (
            "defaults: {timeout_s: 7, retry: {retries: 1}, rate_limit: {per_minute: 99}}",
            "defaults: [1]",
            "defaults: must be a mapping",
        ),
    ],
)
def test_a_mistake_in_what_keeps_services_going_is_told(write, old, new, told) -> None:
    with pytest.raises(Misconfigured) as raised:
        FleetConfig.load(write(LIMITS.replace(old, new)), {})
    assert told in str(raised.value)
