"""Pages made to take time or memory are read in little of both, and break nothing."""

from time import process_time

import pytest

from web_browsing.reading.page import read_html

MOST_S = 8.0
"""Of processor time, on a slow machine; as measured, each takes less than 2 s."""

PAGES = {
    "nested divisions": "<div>" * 30_000 + "the words",
    "nested emphasis": "<b>" * 30_000 + "the words",
    "nested quotations": "<blockquote>" * 25_000 + "the words",
    "nested lists": "<ul><li>" * 15_000 + "the words",
    "nested tables": "<table><tr><td>" * 10_000 + "the words",
    "nested faded": "<div style='opacity:0.9'>" * 25_000 + "the words",
    "nested links": "<a href=/x><div>" * 15_000 + "the words",
    "attributes": "<p " + " ".join(f"a{i}=1" for i in range(150_000)) + ">the words",
    "one long attribute": f"<p title='{'x' * 4_000_000}'>the words",
    "one long paragraph": "<p>the words " + "word " * 250_000,
    "entities": "<p>the words" + "&lt;&#x41;&bogus;" * 100_000,
    "open brackets": "<p>the words" + "<" * 300_000,
    "comments": "<p>the words" + "<!--" * 250_000,
    "a sheet of braces": f"<style>{'{' * 250_000}</style><p>the words",
    "a sheet of no rules": f"<style>{'a' * 900_000}</style><p>the words",
    "half comments": f"<style>{'/*' * 250_000}</style><p>the words",
    "spaces in a colour": f"<p style='color:rgba(1{' ' * 1500}'>the words" * 500,
    "many rules": f"<style>{'.a{display:none}' * 25_000}</style><p>the words",
    "long style": f"<p style='{'a:b;' * 50_000}'>the words",
    "many classes": f"<p class='{'a ' * 50_000}'>the words" * 20,
    "wide cells": "<table>" + "<tr><td colspan=9999 rowspan=9999>the words" * 300 + "</table>",
    "many notes": "<p>the words" + "<li id=a>x<sup><a href=#a>1</a></sup>" * 4_000,
    "data uris": "<p>the words " + "data:" * 250_000,
    "backticks": "<pre>the words " + "`" * 250_000 + "</pre>",
    "breaks": "<p>the words" + "<br>" * 10_000,
    "nulls": "<p>the words" + "\0\ud800" * 150_000,
}


@pytest.mark.parametrize("name", PAGES)
def test_an_odd_page_is_read_in_bounded_time(name: str) -> None:
    started = process_time()
    read = read_html(PAGES[name], "https://a.example/")
    assert process_time() - started < MOST_S
    assert "the words" in read.text


def test_a_page_beyond_the_bound_of_elements_is_read_to_the_bound_and_says_so() -> None:
    read = read_html(f"<p>before{'<br>' * 100_050}after", "https://a.example/")
    assert read.notes == ("the page has more than 100000 elements; what follows was not read",)
    assert read.text == "before"
