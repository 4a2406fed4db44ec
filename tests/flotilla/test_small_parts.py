"""Backoff, correlation, logs, metrics: each too small for a file of its own."""

import contextvars
import io
import json
import logging
import re
from collections.abc import Generator
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.exposition import choose_encoder

from flotilla import Misconfigured, correlation
from flotilla.backoff import delay_s
from flotilla.logs import bound, set_up_logs
from flotilla.metrics import Metrics
from flotilla.redaction import Redactor


@given(st.integers(-5, 10**6), st.floats(0, 1))
def test_a_backoff_doubles_within_its_cap(attempt: int, dice: float) -> None:
    wait = delay_s(attempt, base_s=0.1, cap_s=5, jitter=lambda: dice)
    assert 0 <= wait <= 5
    assert attempt > 0 or wait == 0
    if 1 <= attempt <= 5:
        assert 0.05 * 2 ** (attempt - 1) <= wait <= 0.1 * 2 ** (attempt - 1)


def test_a_correlation_id_is_a_uuid_of_version_7_and_sorts_by_time() -> None:
    made = [correlation.new_correlation_id() for _ in range(100)]
    assert all(UUID(each).version == 7 and UUID(each).variant for each in made)
    assert len(set(made)) == 100
    assert [each[:13] for each in made] == sorted(each[:13] for each in made)


@pytest.mark.parametrize("given_id", ["", " ", "a b", "a\nb", "é", "x" * 129, "-a", None, '"'])
def test_an_id_that_could_harm_a_header_or_log_is_not_accepted(given_id) -> None:
    assert correlation.accepted(given_id) is None
    assert correlation.accepted("ticket-42:a.b_c") == "ticket-42:a.b_c"


@pytest.fixture
def log_lines():
    stream = io.StringIO()
    root, before = logging.getLogger(), logging.getLogger().handlers[:]
    level = root.level
    set_up_logs("INFO", Redactor(["hunter2hunter2"]), stream)
    yield lambda: [json.loads(line) for line in stream.getvalue().splitlines()]
    root.handlers = before
    root.setLevel(level)
    structlog.reset_defaults()


def test_every_line_is_json_with_the_correlation_id_and_no_secret(log_lines) -> None:
    with structlog.contextvars.bound_contextvars(correlation_id="c-7"):
        structlog.get_logger("ours").info("said", password="hunter2hunter2", n=5)
        logging.getLogger("theirs").warning("login with %s", "hunter2hunter2")
        try:
            raise ValueError("hunter2hunter2")
        except ValueError:
            structlog.get_logger("ours").exception("broke")
    lines = log_lines()
    assert [line["event"] for line in lines] == ["said", "login with [redacted]", "broke"]
    assert all(line["correlation_id"] == "c-7" for line in lines)
    assert "ValueError" in lines[2]["exception"]
    assert "hunter2" not in json.dumps(lines)


def test_bound_fields_stand_in_each_line_within_and_the_nearest_word_counts(log_lines) -> None:
    ours, theirs = structlog.get_logger("ours"), logging.getLogger("theirs")
    with bound(service="hub", correlation_id="c-1"):
        with bound(correlation_id="c-2", principal="ann"):
            ours.info("inner", principal="bob")
            theirs.warning("theirs")
        ours.info("outer")
        with structlog.contextvars.bound_contextvars(correlation_id="c-3"):
            ours.info("structlog's")
    ours.info("after")
    shown = [
        {key: line.get(key) for key in ("service", "correlation_id", "principal")}
        for line in log_lines()
    ]
    assert shown == [
        {"service": "hub", "correlation_id": "c-2", "principal": "bob"},
        {"service": "hub", "correlation_id": "c-2", "principal": "ann"},
        {"service": "hub", "correlation_id": "c-1", "principal": None},
        {"service": "hub", "correlation_id": "c-3", "principal": None},
        {"service": None, "correlation_id": None, "principal": None},
    ]


def test_what_was_bound_is_given_up_quietly_where_another_context_closes_it(log_lines) -> None:
    def bind() -> Generator[None]:
        with bound(correlation_id="c-1"):
            yield

    given_up = bind()
    contextvars.copy_context().run(next, given_up)
    given_up.close()
    structlog.get_logger("ours").info("after")
    assert "correlation_id" not in log_lines()[0]


def test_each_line_has_its_time_level_and_logger(log_lines) -> None:
    before = datetime.now(UTC)
    structlog.get_logger("ours").info("one")
    logging.getLogger("theirs").warning("two")
    lines = log_lines()
    assert [(line["logger"], line["level"]) for line in lines] == [
        ("ours", "info"),
        ("theirs", "warning"),
    ]
    for line in lines:
        assert len(line["at"]) == len("2026-11-21T07:49:16.123456Z")
        told = datetime.fromisoformat(line["at"])
        # The stamp is cut to the microsecond.
        assert before - timedelta(microseconds=1) <= told <= datetime.now(UTC)


def test_a_line_says_its_own_level_logger_and_time_whatever_its_fields_say(log_lines) -> None:
    with bound(level="mine", at="then"):
        structlog.get_logger('a "hunter2hunter2" logger').info("one", logger="mine", n=1)
        logging.getLogger("theirs").warning("two")
    structlog.get_logger().error(None)
    one, two, three = log_lines()
    assert (one["level"], one["logger"], one["n"]) == ("info", 'a "[redacted]" logger', 1)
    assert (two["level"], two["logger"]) == ("warning", "theirs")
    assert three.keys() == {"level", "logger", "at"}
    assert "then" not in (one["at"], two["at"], three["at"])


def test_no_value_keeps_a_line_from_being_written(log_lines) -> None:
    for value in (2**200, "\ud800", object(), {1: {2}}, float("nan")):
        structlog.get_logger("ours").info("odd", value=value)
    assert len(log_lines()) == 5


def test_an_unknown_log_level_is_told() -> None:
    with pytest.raises(Misconfigured, match="FLOTILLA_LOG_LEVEL"):
        set_up_logs("LOUD", Redactor())


def test_calls_are_counted_with_their_correlation_as_exemplar() -> None:
    metrics = Metrics()
    metrics.answered("cmdb", "data.cmdb.getItem", 0.02, "not_found", "c-9")
    metrics.health("cmdb", healthy=True)
    plain, plain_type = metrics.exposition("text/plain")
    assert plain_type.startswith("text/plain")
    for line in (
        b'mcp_requests_total{service="cmdb",tool="data.cmdb.getItem"} 1.0',
        b'mcp_errors_total{error_type="not_found",service="cmdb"} 1.0',
        b'mcp_service_health{service="cmdb"} 1.0',
        b"mcp_request_duration_seconds_bucket",
    ):
        assert line in plain
    modern, modern_type = metrics.exposition("application/openmetrics-text; version=1.0.0")
    assert modern_type.startswith("application/openmetrics-text")
    assert b'correlation_id="c-9"' in modern


BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300)
CALLS = st.lists(
    st.tuples(
        st.sampled_from(["cmdb", "linux_cli"]),
        st.sampled_from(["data.cmdb.getItem", 'quoted"\\\n']),
        st.one_of(st.floats(0, 400), st.sampled_from([0.0, 0.001, 0.0025, 1.0, 300.0, 300.1])),
        st.text("abc-7", max_size=130),
    ),
    max_size=20,
)


@pytest.mark.parametrize(
    ("accept", "end"),
    [("text/plain", ""), ("application/openmetrics-text; version=1.0.0", "# EOF\n")],
)
@given(calls=CALLS)
def test_calls_are_told_as_a_counter_and_a_histogram_tell_them(
    accept: str, end: str, calls: list[tuple[str, str, float, str]]
) -> None:
    registry, metrics = CollectorRegistry(), Metrics()
    labels = ("service", "tool")
    counter = Counter("mcp_requests", "Tool calls answered.", labels, registry=registry)
    histogram = Histogram(
        "mcp_request_duration_seconds",
        "From a tool call's arrival to its answer.",
        labels,
        buckets=BUCKETS_S,
        registry=registry,
    )
    for service, tool, seconds, correlation_id in calls:
        metrics.answered(service, tool, seconds, None, correlation_id)
        counter.labels(service, tool).inc()
        exemplar = {"correlation_id": correlation_id[:100]}
        histogram.labels(service, tool).observe(seconds, exemplar)
    encode, _ = choose_encoder(accept)
    ours = timeless(metrics.exposition(accept)[0])
    theirs = timeless(encode(registry))
    assert ours[: ours.index("# HELP mcp_errors")] == theirs.removesuffix(end)


def timeless(exposition: bytes) -> str:
    """The text without the moments at which series began and exemplars were seen."""
    text = re.sub(r"(?m)(_created(?:\{.*\})?) .*$", r"\1", exposition.decode())
    return re.sub(r"(?m)(# \{.*\} \S+) \S+$", r"\1", text)
