"""Which arguments a tool declares secret, wherever in its schema that stands."""

from typing import Any

from flotilla import Context, Model, writes
from flotilla.redaction import Redactor
from flotilla.secret_text import SecretText
from flotilla.toolbox import Toolbox
from master.entry import Entry, Origin
from master.handles.spots import secret_places, without_secrets

STORED = "secret://0123"


class Pair(Model):
    name: str
    value: SecretText
    inner: list["Pair"] | None = None


class Done(Model):
    ok: bool


async def use(
    password: SecretText,
    plain: str = "",
    pairs: list[Pair] | None = None,
    by_name: dict[str, SecretText] | None = None,
    either: int | SecretText = 0,
    *,
    context: Context,
) -> Done:
    """Use secrets of every shape."""
    return Done(ok=True)


def entry(origin: Origin = Origin(), schema: Any = None) -> Entry:  # noqa: B008  frozen
    (listed,) = Toolbox([writes("test.shop.use", use)], Redactor()).listing()
    listed = listed if schema is None else {**listed, "inputSchema": schema}
    return Entry("test.shop.use", "shop", listed, given="test.shop.use", origin=origin)


ARGUMENTS = {
    "password": "hunter2",
    "plain": "as it is",
    "pairs": [{"name": "a", "value": "v", "inner": [{"name": "b", "value": STORED}]}],
    "byName": {"x": "y"},
    "either": "z",
}


def test_secrets_are_found_wherever_the_schema_has_them() -> None:
    assert secret_places(entry(), ARGUMENTS) == {
        ("password",),
        ("pairs", 0, "value"),
        ("pairs", 0, "inner", 0, "value"),
        ("byName", "x"),
        ("either",),
    }


def test_values_are_hidden_and_handles_stay() -> None:
    assert without_secrets(entry(), ARGUMENTS) == {
        "password": "(secret)",
        "plain": "as it is",
        "pairs": [
            {"name": "a", "value": "(secret)", "inner": [{"name": "b", "value": STORED}]},
        ],
        "byName": {"x": "(secret)"},
        "either": "(secret)",
    }


def test_a_secret_of_the_wrong_type_is_hidden_all_the_same() -> None:
    assert without_secrets(entry(), {"password": {"a": ["b"]}}) == {"password": "(secret)"}


def test_the_marks_of_a_stranger_count_for_nothing() -> None:
    assert not secret_places(entry(Origin(external=True)), ARGUMENTS)


def test_a_schema_that_multiplies_hides_everything_rather_than_to_take_for_ever() -> None:
    twice: dict[str, Any] = {"anyOf": [{"$ref": "#/$defs/a"}, {"$ref": "#/$defs/a"}]}
    schema = {"$defs": {"a": twice}, "properties": {"p": twice, "q": {"x-flotilla-secret": True}}}
    assert without_secrets(entry(schema=schema), {"p": 1, "q": 2}) == {
        "p": "(secret)",
        "q": "(secret)",
    }
