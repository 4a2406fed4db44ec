"""The threat model names tests: each exists, and the suite names what it leaves out."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

from .test_injection import LEFT_OUT

ROOT = Path(__file__).resolve().parents[2]
MODEL = (ROOT / "docs" / "threat-model.md").read_text(encoding="utf-8")
NAMED = sorted(set(re.findall(r"`(tests/[\w./-]+(?:::\w+)?)`", MODEL)))
ATTACKERS = (
    "stolen read-only token", "words for the model", "helpful", "providers", "web page",
    "external server", "spoke", "network", "disk",
)  # fmt: skip


@cache
def functions_of(file: Path) -> frozenset[str]:
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    tree = ast.parse(file.read_text(encoding="utf-8"))
    return frozenset(node.name for node in tree.body if isinstance(node, kinds))


@pytest.mark.parametrize("named", NAMED)
def test_a_test_that_the_threat_model_names_exists(named: str) -> None:
    path, _, name = named.partition("::")
    place = ROOT / path
    assert place.exists(), path
    assert not name or name in functions_of(place), named
    if place.is_dir():
        assert list(place.glob("**/test_*.py"))


def test_each_attacker_has_a_chapter_with_defences_and_with_what_is_not_defended() -> None:
    chapters = re.split(r"\n## ", MODEL)[3:-1]
    assert len(chapters) == len(ATTACKERS)
    for words, chapter in zip(ATTACKERS, chapters, strict=True):
        title = chapter.partition("\n")[0]
        assert words in title, (words, title)
        assert "tests/" in chapter and "\nNot defended:" in chapter, title


def test_every_test_of_the_attacks_is_named() -> None:
    files = {path.name for path in Path(__file__).parent.glob("test_*.py")} - {Path(__file__).name}
    assert {name for name in files if f"tests/attacks/{name}" not in MODEL} == set()


def test_what_is_left_out_is_said() -> None:
    for tool, argument in LEFT_OUT:
        assert f"`{argument}`" in MODEL and f"`{tool.rpartition('.')[2]}`" in MODEL
