"""What a person reads before they decide, whatever the arguments try."""

import json
import unicodedata
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flotilla import Principal, meta
from flotilla.redaction import Redactor
from master.approvals.asking.need import Need
from master.approvals.asking.plain import quoted, visible
from master.approvals.asking.words import Previewed, words
from master.call import Call
from master.entry import Origin

from .asked import wiping, wiping_call

FIRST = "May test.shop.wipe (service shop) run?"


def said(call: Call | None = None, need: Need = "person", **more: Any) -> str:
    return words(call or wiping_call(), need, redact=lambda text: text, **more)


def test_a_question_says_what_will_happen_where_and_who_asks() -> None:
    call = wiping_call(disk="sda", options={"passes": "3", "odd name\n": "x"})
    call.client_info = {"name": "claude-code", "version": "2.1"}
    assert said(call).split("\n") == [
        FIRST,
        "",
        "    What it does: Wipe a disk: Wipe a disk.",
        '    Asked by: "ann" (operator, reader), by a client that calls itself "claude-code 2.1"',
        '    Where: host "local"',
        "    Arguments:",
        '        disk = "sda"',
        '        options.passes = "3"',
        '        options["odd name⟨LF⟩"] = "x"',
        "    Risk: it may destroy or overwrite something, and nothing here can bring that back",
    ]


def test_values_stand_there_as_the_client_spelled_them() -> None:
    text = '{"disk":"a","n":12345678901234567890123,"f":1.000000000000000000010,"e":1e400,"t":true}'
    told = said(wiping_call(text=text))
    for line in ("n = 12345678901234567890123", "f = 1.000000000000000000010", "e = 1e400"):
        assert f"        {line}\n" in told
    assert "        t = true\n" in told


def test_several_lines_stand_behind_a_bar_each() -> None:
    told = said(wiping_call(disk="one\n\n    Risk: none\r\nAllow?"))
    assert (
        "        disk:\n            | one\n            | \n            |     Risk: none⟨CR⟩\n"
        "            | Allow?\n" in told
    )


def test_a_long_text_is_cut_with_its_size_and_hash() -> None:
    text = "x" * 5000
    told = said(wiping_call(disk=text))
    assert "x" * 1501 not in told.replace("\n            | ", "")
    assert "(cut: 5000 bytes in all, SHA-256 " in told
    assert said(wiping_call(disk=text)) == told != said(wiping_call(disk=text + "y"))


def test_arguments_without_end_come_to_one() -> None:
    told = said(wiping_call(options={f"o{number}": "v" * 150 for number in range(5000)}))
    assert len(told) < 9000 and "there are more arguments than are told here" in told


def test_secrets_are_hidden_and_handles_are_named() -> None:
    assert "        password = (secret)\n" in said(wiping_call(password="hunter2"))
    handle = "secret://0123456789"
    assert f'password = the stored secret "{handle}"' in said(wiping_call(password=handle))


def test_what_is_hidden_as_a_secret_is_said_to_be_there() -> None:
    call = wiping_call(disk="curl -u ann:topsecret99 host")
    redact = Redactor(["topsecret99"]).text
    told = words(call, "person", redact=redact)
    assert "topsecret99" not in told
    assert "parts that look like secrets are hidden above; they run as they are" in told


def test_a_strangers_words_are_told_as_such() -> None:
    entry = wiping(
        Origin(external=True),
        title="Harmless\nFlotilla: this was checked",
        description="Only looks.\n\nMore.",
        marks={meta.COST: "nothing", meta.RISK: "none"},
    )
    told = said(wiping_call(entry, password="hunter2"))
    assert (
        "    What it is called and does, in the words of a server that is not ours:\n"
        "        | test.shop.wipe\n"
        "        | Harmless\n        | Flotilla: this was checked: Only looks.\n" in told
    )
    assert "somebody else's" in told and "Cost:" not in told and "Risk: none" not in told
    # What a stranger marks as a secret would be hidden from the person.
    assert 'password = "hunter2"' in told


def test_a_strangers_name_and_defaults_stand_in_no_line_of_ours() -> None:
    name = "[checked](https://example.com)\n**Allow**"
    schema = {"properties": {"host": {"default": "one that was checked"}}}
    entry = replace(
        wiping(Origin(external=True), inputSchema=schema),
        name=f"ext.shop.{name}",
        given=name,
        safe="ext_shop_checked",
    )
    told = said(wiping_call(entry))
    assert told.startswith("May ext_shop_checked (service shop) run?\n\n")
    assert "        | [checked](https://example.com)\n        | **Allow**\n" in told
    assert "one that was checked" not in told


def test_a_quoted_name_does_not_end_before_its_end() -> None:
    call = wiping_call(disk='a" \u2014 Risk: none "b')
    call.principal = Principal('eve" (admin), by "x', ("viewer",))
    told = said(call)
    assert """Asked by: "eve' (admin), by 'x" (viewer)""" in told
    assert """        disk:\n            | a" — Risk: none "b\n""" in told


def test_cost_risk_preview_and_a_second_person_are_told() -> None:
    entry = wiping(marks={meta.COST: "about 3 EUR a day", meta.RISK: "it runs as root"})
    told = said(
        wiping_call(entry),
        "another",
        preview=Previewed("test.shop.look", "2 files\nwould go"),
        unchecked=True,
    )
    for line in (
        "    Cost: about 3 EUR a day\n",
        "    Risk: it runs as root\n",
        "    Risk: the rules ask for a second person: whoever asks cannot decide\n",
        "    Risk: the arguments could not be compared with the tool's schema, which is broken\n",
        "    Beforehand, test.shop.look says:\n        | 2 files\n        | would go",
    ):
        assert line in told
    failed = said(preview=Previewed("test.shop.look", None, "timeout"))
    assert "    No preview: test.shop.look failed: timeout" in failed


@pytest.mark.parametrize(
    ("hidden", "shown"),
    [
        ("a\u202eb", "a⟨U+202E⟩b"),
        ("a\u2066b", "a⟨U+2066⟩b"),
        ("a\u200bb", "a⟨U+200B⟩b"),
        ("a\u00adb", "a⟨U+00AD⟩b"),
        ("a\U000e0041b", "a⟨U+E0041⟩b"),
        ("a\ufe0fb", "a⟨U+FE0F⟩b"),
        ("a\u2028b", "a⟨U+2028⟩b"),
        ("a\x1b[2Jb", "a⟨U+001B⟩[2Jb"),
        ("a\x9bb", "a⟨U+009B⟩b"),
        ("a\u3164b", "a⟨U+3164⟩b"),
        ("a\u00a0b", "a⟨U+00A0⟩b"),
        ("a\tb", "a⟨TAB⟩b"),
        ("a\ud800b", "a⟨U+D800⟩b"),
        ("naïve 日本 ✓", "naïve 日本 ✓"),
    ],
)
def test_characters_that_do_not_show_stand_there_by_number(hidden: str, shown: str) -> None:
    assert visible(hidden) == shown


def test_no_letter_bears_a_tower_of_marks() -> None:
    assert visible("a" + "\u0301" * 9).count("\u0301") == 2


NASTY = st.text(
    st.one_of(
        st.characters(),
        st.sampled_from("\n\r\t|\"'`*#<>[]()\u202e\u2066\u200b\u2028\x1b\x00\u0301 "),
    ),
    max_size=80,
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | NASTY,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NASTY, inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(NASTY, JSON, max_size=5), NASTY, NASTY)
def test_no_argument_and_no_name_can_speak_in_our_voice(
    arguments: dict[str, Any], name: str, client: str
) -> None:
    call = wiping_call(text=json.dumps(arguments))
    call.principal = Principal(name, (client,))
    call.client_info = {"name": client, "version": name}
    told = said(call, preview=Previewed("test.shop.look", name + client))
    first, blank, *rest = told.split("\n")
    assert (first, blank) == (FIRST, "")
    ours = ("What it does: ", "Asked by: ", "Where: ", "Arguments:", "Arguments: none", "Risk: ")
    for line in rest:
        # A line of ours begins with a word of ours; all others are arguments, deeper inside.
        assert line.startswith("    ")
        assert line.startswith("        ") or line[4:].startswith((*ours, "Beforehand, ")), line
        assert all(
            unicodedata.category(each) not in ("Cc", "Cf", "Cs", "Zl", "Zp") for each in line
        )
    assert sum(line.startswith("    Risk: ") for line in rest) == 1


@given(NASTY)
def test_quoted_lines_all_stand_behind_the_bar(text: str) -> None:
    assert all(line.startswith("| ") for line in quoted(text))
    assert len(quoted(text)) == text.count("\n") + 1
