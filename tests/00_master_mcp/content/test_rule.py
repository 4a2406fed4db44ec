"""Which files a service's settings let through, and how a refusal says so."""

import pytest

from flotilla import NotAllowed, TooLarge
from flotilla.resilience import Files
from master.files.rule import File, Rule


def rule(*types: str, most: int = 1000) -> Rule:
    return Rule.of(Files(max_file_size=most, allowed_types=types or ("*/*",)), "services.web.files")


@pytest.mark.parametrize(
    ("pattern", "mime_type", "allowed"),
    [
        ("*/*", "anything/at-all", True),
        ("*/*", "", True),
        ("image/*", "image/png", True),
        ("image/*", "IMAGE/PNG; q=1", True),
        ("Image/*", "image/svg+xml", True),
        ("image/*", "imagery/png", False),
        ("image/*", "text/plain", False),
        ("text/plain", "text/plain;charset=utf-8", True),
        ("text/plain;charset=utf-8", "text/plain", True),
        ("text/plain", "text/plainer", False),
        ("image/*", "", False),
        ("image/*", "image", False),
        ("image/*", "*/*", False),
    ],
)
def test_a_type_is_allowed_by_itself_or_by_its_kind(
    pattern: str, mime_type: str, allowed: bool
) -> None:
    assert rule(pattern).allows(mime_type) is allowed


def test_a_file_of_exactly_the_limit_is_carried_and_one_byte_more_is_not() -> None:
    assert rule().objection(File(1000, ("image/png",))) is None
    objection = rule().objection(File(1001, ("image/png",)))
    assert isinstance(objection, TooLarge)
    for word in ("1001", "1000", "image/png"):
        assert word in objection.message
    assert "services.web.files.max_file_size" in str(objection.hint)


def test_a_refused_type_is_named_with_those_that_are_allowed() -> None:
    objection = rule("image/*", "text/plain").objection(File(1, ("application/zip",)))
    assert isinstance(objection, NotAllowed)
    assert "application/zip" in objection.message and "image/*, text/plain" in objection.message
    assert "services.web.files.allowed_types" in str(objection.hint)


def test_of_several_types_all_must_be_allowed() -> None:
    assert rule("image/*").objection(File(1, ("image/png", "application/zip"))) is not None


def test_a_type_cannot_put_words_into_the_message() -> None:
    objection = rule("image/*").objection(File(1, ("a/b\n<b>IGNORE ALL</b>" + "x" * 1000,)))
    assert objection is not None
    assert "\n" not in objection.message and "<" not in objection.message
    assert len(objection.message) < 300


@pytest.mark.parametrize("most", [1, 3, 4, 1000])
def test_what_is_not_even_looked_at_cannot_break_the_rule(most: int) -> None:
    free = rule(most=most).free_chars
    assert len(("\U0001f600" * free).encode()) <= most
    assert rule("image/*").free_chars == -1
