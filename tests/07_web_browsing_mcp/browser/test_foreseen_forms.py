"""What a person is shown of a form, and whether what goes out is that. Without a browser."""

from dataclasses import replace
from typing import Any

import pytest

from flotilla import Conflict, TooLarge
from web_browsing.browser.foreseeing import readable, target_of
from web_browsing.browser.outcome import shown_url
from web_browsing.browser.plans import Entry, Plan, fits
from web_browsing.browser.sending import Sending
from web_browsing.browser.shown import MAX_SHOWN, SHOWN_S, Shown
from web_browsing.browser.sniffing import file_name, sniffed, warnings_of
from web_browsing.gate.visitor import Outgoing

FORM = "application/x-www-form-urlencoded"
PLAN = Plan(
    page="https://shop.test/",
    title="Shop",
    method="POST",
    url="https://shop.test/buy",
    enctype=FORM,
    is_form=True,
    fields=(Entry(name="n", value="1"), Entry(name="t", value="a\nb")),
)
SENT = Outgoing(
    method="POST",
    url="https://shop.test/buy",
    headers=(("content-type", FORM),),
    body=b"n=1&t=a%0D%0Ab",
)


def test_a_request_that_is_as_the_form_was_shown_fits() -> None:
    assert fits(SENT, PLAN)


@pytest.mark.parametrize(
    "change",
    [
        {"method": "PUT"},
        {"url": "https://shop.test/buy?x=1"},
        {"url": "https://evil.test/buy"},
        {"body": b"n=2&t=a%0D%0Ab"},
        {"body": b"t=a%0D%0Ab&n=1"},
        {"body": b"n=1&t=a%0D%0Ab&x=1"},
        {"body": b"n=1"},
        {"body": b""},
        {"body": b"n=1&t=a%FF"},
        {"headers": (("content-type", "application/json"),)},
        {"headers": ()},
        {"headers": (("content-type", FORM), ("content-encoding", "gzip"))},
    ],
    ids=str,
)
def test_a_request_that_is_any_other_does_not(change: dict[str, Any]) -> None:
    assert not fits(replace(SENT, **change), PLAN)


def test_a_file_fits_only_where_there_is_none() -> None:
    kind = "multipart/form-data; boundary=x"
    head = b'--x\r\nContent-Disposition: form-data; name="f"; filename="%b"\r\n\r\n%b\r\n--x--\r\n'
    plan = replace(PLAN, enctype="multipart/form-data", fields=(Entry(name="f", file=""),))
    sent = replace(SENT, headers=(("content-type", kind),), body=head % (b"", b""))
    assert fits(sent, plan)
    assert not fits(replace(sent, body=head % (b"", b"data")), plan)
    named = replace(plan, fields=(Entry(name="f", file="a", size=4),))
    assert not fits(replace(sent, body=head % (b"a", b"data")), named)


def test_the_digest_of_a_form_changes_with_whatever_would_be_sent() -> None:
    others = (
        replace(PLAN, url="https://shop.test/other"),
        replace(PLAN, method="GET"),
        replace(PLAN, enctype="text/plain"),
        replace(PLAN, page="https://other.test/"),
        replace(PLAN, fields=PLAN.fields[:1]),
        replace(PLAN, fields=(Entry(name="n", value="2"), PLAN.fields[1])),
    )
    assert len({PLAN.digest, *(each.digest for each in others)}) == 7


def test_what_was_shown_and_that_alone_is_sent() -> None:
    shown = Shown()
    key = ("e1", "", "")
    shown.check(key, "a")
    shown.begin(key)
    with pytest.raises(Conflict):
        shown.check(key, "a")
    shown.show(key, "a")
    shown.check(key, "a")
    with pytest.raises(Conflict):
        shown.check(key, "b")
    with pytest.raises(Conflict):
        # Once somebody is asked, what nobody was asked about is not sent.
        shown.check(("e2", "", ""), "a")


def test_two_things_shown_of_one_form_are_neither_sent_until_no_approval_lasts() -> None:
    now = 0.0
    shown = Shown(clock=lambda: now)
    key = ("e1", "", "")
    for digest in ("a", "b", "b"):
        shown.begin(key)
        shown.show(key, digest)
    for digest in ("a", "b"):
        with pytest.raises(Conflict):
            shown.check(key, digest)
    now = SHOWN_S
    shown.begin(key)
    shown.show(key, "b")
    shown.check(key, "b")


def test_what_was_shown_is_not_crowded_out_by_more() -> None:
    shown = Shown()
    for number in range(MAX_SHOWN):
        shown.begin((f"e{number}", "", ""))
        shown.show((f"e{number}", "", ""), "a")
    with pytest.raises(TooLarge):
        shown.begin(("f1e1", "", ""))
    with pytest.raises(Conflict):
        shown.check(("e0", "", ""), "b")


def test_a_target_reads_as_it_is_and_as_it_looks() -> None:
    assert target_of("https://shop.test/x") == "shop.test"
    assert target_of("http://shop.test:8080/x") == "shop.test, port 8080"
    assert target_of("https://xn--bcher-kva.test/") == "xn--bcher-kva.test (reads 'bücher.test')"
    assert readable("xn--.test") is None or readable("xn--.test") != "xn--.test"
    assert readable("shop.test") is None


def test_a_url_shows_no_secret_and_no_end() -> None:
    sending = Sending(())
    sending.conceal("hunter2 hunter2")
    url = "https://a.test/?q=hunter2+hunter2&password=abc&n=1"
    assert shown_url(url, sending) == (
        "https://a.test/?q=(15 characters)&password=(3 characters)&n=1"
    )
    assert len(shown_url("https://a.test/" + "x" * 9000, sending)) == 501


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ("report.pdf", "report.pdf"),
        ("../../etc/passwd", "passwd"),
        ("..\\..\\boot.ini", "boot.ini"),
        ("a\u202efdp.exe", "a_fdp.exe"),
        ("a\nb.txt", "a_b.txt"),
        (".", "download"),
        ("", "download"),
        ("x" * 300 + ".tar", "x" * 96 + ".tar"),
    ],
)
def test_a_file_gets_a_name_that_harms_nobody(given: str, name: str) -> None:
    assert file_name(given) == name


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"%PDF-1.4", "application/pdf"),
        (b"MZ\x90\x00", "application/vnd.microsoft.portable-executable"),
        (b"\x7fELF\x02", "application/x-elf"),
        (b"#!/bin/sh\n", "text/x-script"),
        (b"hello", "text/plain"),
        ("ø".encode() * 4000, "text/plain"),
        (b"<!DOCTYPE html><p>", "text/html"),
        (b"<?xml version='1.0'?>", "application/xml"),
        (b"\x00\x01", "application/octet-stream"),
        (b"\xff" * 9000, "application/octet-stream"),
        (b"", "text/plain"),
        (b"PK\x03\x04broken", "application/zip"),
    ],
)
def test_a_file_is_known_by_its_content(data: bytes, kind: str) -> None:
    assert sniffed(data) == kind


def test_a_file_that_may_do_harm_is_said_to() -> None:
    assert warnings_of("a.pdf", sniffed(b"MZ\x90"), b"MZ\x90") == [
        "it is a program, or a file that runs one: do not run it",
        "it is called .pdf, but reads as application/vnd.microsoft.portable-executable",
    ]
    assert warnings_of("a.docm", "application/zip", b"PK")
    assert warnings_of("notes.txt", "text/plain", b"hello") == []
