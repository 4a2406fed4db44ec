"""From text to words: what is split, what is cut off, what was mistyped."""

import pytest

from master.search.vocabulary import MAX_GUESSED, MAX_WORDS, wanted_by, with_phrases
from master.search.words import is_near, stem, words_of


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("listVirtualMachines", ["list", "virtual", "machin", "listvirtualmachin"]),
        ("cloud.azure.getVM", ["cloud", "azur", "get", "vm", "getvm"]),
        ("os_linux_readFile", ["os", "linux", "read", "file", "readfil"]),
        ("topNodes, k8s (CPU)", ["top", "node", "topnod", "k8s", "cpu"]),
        ("HTTPServer", ["http", "server", "httpserver"]),
        ("what's in /etc/motd?", ["what", "s", "in", "etc", "motd"]),
        ("Größe der ПАМЯТЬ", ["grösse", "der", "память"]),
        ("  \n\t--", []),
    ],
)
def test_a_text_is_split_at_every_border_that_a_name_has(text: str, words: list[str]) -> None:
    assert words_of(text) == words


@pytest.mark.parametrize(
    "forms",
    [
        ("run", "runs", "running"),
        ("delete", "deletes", "deleted", "deleting"),
        ("list", "lists", "listed", "listing"),
        ("copy", "copies"),
        ("box", "boxes"),
        ("query", "queries"),
        ("stop", "stopped", "stopping"),
        ("install", "installs", "installed", "installing"),
        ("process", "processes"),
        ("change", "changes", "changed", "changing"),
    ],
)
def test_the_forms_of_a_word_are_one(forms: tuple[str, ...]) -> None:
    assert len({stem(word) for word in forms}) == 1


@pytest.mark.parametrize(
    "words", [("news", "new"), ("status", "state"), ("deployment", "deploy"), ("ping", "p")]
)
def test_different_words_stay_different(words: tuple[str, str]) -> None:
    assert stem(words[0]) != stem(words[1])


@pytest.mark.parametrize(
    ("word", "other", "near"),
    [
        ("resorce", "resource", True),
        ("snapshto", "snapshot", True),
        ("kuberntes", "kubernetes", True),
        ("staus", "status", True),
        ("pdos", "pods", True),
        ("node", "mode", True),
        ("list", "disk", False),
        ("delete", "create", False),
        ("virtualmachine", "virtualization", False),
        ("a", "abcd", False),
    ],
)
def test_a_slip_of_the_finger_is_near_and_another_word_is_not(
    word: str, other: str, near: bool
) -> None:
    assert is_near(word, other) is near
    assert is_near(other, word) is near


KNOWN = frozenset(words_of("list virtual machine vm snapshot kubernetes pod delete stop create"))


def best_of(request: str) -> list[str]:
    wanted = [each for each in wanted_by(request, KNOWN) if each]
    return [max(each, key=lambda word: each[word]) for each in wanted]


def test_fillers_go_and_phrases_stand_for_what_they_mean() -> None:
    assert best_of("please get rid of my pods") == ["pod", "delet"]
    assert "vm" in with_phrases(words_of("a virtual machine"))
    fillers = wanted_by("is it on", frozenset({"on"}))
    assert {"on": 1.0} in fillers, "a request of fillers alone is taken as it is"


def test_words_of_like_meaning_count_less_than_the_word_itself() -> None:
    (wanted,) = wanted_by("remove", KNOWN)
    assert 0 < wanted["delet"] < wanted["remov"] == 1


def test_what_nobody_has_is_taken_for_what_it_begins_or_mistypes() -> None:
    assert "snapshot" in wanted_by("snapsh", KNOWN)[0]
    assert "snapshot" in wanted_by("snpashot", KNOWN)[0]
    (wanted,) = wanted_by("kuberntes", frozenset({"k8s"}))
    assert "k8s" in wanted, "a mistyped synonym leads to the word that is there"
    assert wanted_by("zyzzyva", KNOWN) == [{}]


def test_a_long_request_costs_no_more_than_a_short_one() -> None:
    many = " ".join(f"word{number}" for number in range(200))
    wanted = wanted_by(many, frozenset(f"work{number}" for number in range(300)))
    assert len(wanted) == MAX_WORDS
    assert sum(1 for each in wanted if each) <= MAX_GUESSED
