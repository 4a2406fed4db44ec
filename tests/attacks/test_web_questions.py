"""What a page wants to send, as a person is asked about it: no word of the page's is our own, and
nothing that goes out is read in two ways."""

from types import SimpleNamespace
from typing import Any, cast

import pytest

from flotilla.preview import Foreseen
from master.approvals.asking.foretold import foretold
from web_browsing.browser import foreseeing
from web_browsing.browser.forms import body_of
from web_browsing.browser.outcome import held_of
from web_browsing.browser.outcome import read as read_held
from web_browsing.browser.plans import Entry, Plan
from web_browsing.browser.sending import HeldRequest, Sending
from web_browsing.browser.session import Session
from web_browsing.gate.visitor import Outgoing

of_held = foreseeing._of_held  # pyright: ignore[reportPrivateUsage]
of_plan = foreseeing._of_plan  # pyright: ignore[reportPrivateUsage]
FORM, JSON = "application/x-www-form-urlencoded", "application/json"
MULTIPART = "multipart/form-data; boundary=b"
OURS = ("What happens:", "Target:", "Warning:", "Changes:", "Now:", "Diff:", "Monthly cost:")
LONG = "x" * 300
FORGERIES = (
    "\nWarning: none at all",
    "\r\nTarget: bank.test",
    '" (none) -> "1"\n    "amount": (none) -> "1"',
    "\u2028Diff:\u2029Now:",
    "\x85What happens: nothing",
    "\u202e001 :tnuoma\u202c",
    "\x1b[2J\x1b[HApproved by the owner",
    "\x00\x08\x7f",
    "| +amount: 1",
    "\U000e0041\U000e0070\u200b\ufeff",
)


def asked(
    body: bytes, kind: str = FORM, url: str = "https://bank.test/pay", **headers: str
) -> tuple[list[str], Foreseen]:
    """The lines that a person reads."""
    sending = Sending(())
    given = {"content-type": kind, "referer": "https://bank.test/", **headers}
    out = Outgoing(method="POST", url=url, headers=tuple(given.items()), body=body)
    held = HeldRequest(id="h1", outgoing=out, held_at=0)
    session = cast(Session, SimpleNamespace(sending=sending))
    foreseen = of_held(session, out, read_held(held, sending))
    # What the client is told has to be JSON, whatever it is of.
    held_of(held, sending).model_dump_json()
    foreseen.model_dump_json()
    return list(foretold(foreseen, lambda text: text)), foreseen


def quoted(text: str) -> bytes:
    return "".join(f"%{each:02X}" for each in text.encode()).encode()


def beginnings(lines: list[str]) -> list[str]:
    """Which of our own lines there are, in their order."""
    return [begin for line in lines for begin in OURS if line.startswith(begin)]


@pytest.mark.parametrize("forged", FORGERIES)
@pytest.mark.parametrize("pad", ["", LONG])
def test_no_name_or_value_of_a_field_speaks_in_our_voice(forged: str, pad: str) -> None:
    """Neither among the changes, nor in the list that stands for them where they are long."""
    plain, _ = asked(b"to=ann&amount=9999&pad=" + pad.encode())
    rest = b"&pad=" + pad.encode()
    for body in (
        b"to=ann&amount=9999" + quoted(forged) + rest,
        b"to=ann&amount" + quoted(forged) + b"=9999" + rest,
    ):
        lines, _ = asked(body)
        assert beginnings(lines) == beginnings(plain)
        assert len(lines) == len(plain), lines
        text = "\n".join(lines)
        assert not any(ord(each) < 32 and each != "\n" for each in text)
        assert not set(text) & set("\u202e\u2028\u2029\x85\u200b\ufeff\U000e0041")


@pytest.mark.parametrize("forged", FORGERIES)
def test_what_a_page_calls_its_forms_and_itself_is_no_warning_of_ours(forged: str) -> None:
    fields = (
        Entry(name=f"csrf{forged}", value="1", kind="hidden"),
        Entry(name="note", value=forged, kind="text"),
        Entry(name="file", file=f"a{forged}.txt", size=3),
    )
    plan = Plan(
        page="https://bank.test/",
        title=f"Bank{forged}",
        method="POST",
        url="https://bank.test/pay",
        enctype=FORM,
        fields=fields,
        is_form=True,
    )
    lines = list(foretold(of_plan(Sending(()), plan), lambda text: text))
    warnings = [line for line in lines if line.startswith("Warning:")]
    assert len(warnings) == 2, warnings
    assert beginnings(lines).count("Target:") == 1
    assert lines[1] == 'Target: "bank.test"'


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        # Servers differ in which name of a part they take.
        (MULTIPART, b'--b\r\nContent-Disposition: form-data; x=" name="; name="to"\r\n\r\neve'),
        (
            MULTIPART,
            b'--b\r\nContent-Disposition: form-data; name="a"\r\n'
            b'Content-Disposition: form-data; name="to"\r\n\r\neve',
        ),
        (
            MULTIPART,
            b'--b\r\nX: ; name="a"\r\nContent-Disposition: form-data; name="to"\r\n\r\neve',
        ),
        (MULTIPART, b'--b\r\nContent-Disposition: form-data; name="a"; name="to"\r\n\r\neve'),
        (
            MULTIPART,
            b"--b\r\nContent-Disposition: form-data; name=\"a\"; name*=UTF-8''to\r\n\r\neve",
        ),
        (
            MULTIPART,
            b"--b\r\nContent-Disposition: form-data; name=\"a\"; filename*=UTF-8''e.php\r\n\r\neve",
        ),
        (MULTIPART, b'--b\r\nContent-Disposition: form-data; name="a\\"; name=\\"to"\r\n\r\neve'),
        (
            MULTIPART,
            b'--b\r\nContent-Disposition: form-data; name="a"\r\n'
            b"Content-Transfer-Encoding: base64\r\n\r\nZXZl",
        ),
        (
            MULTIPART,
            b'--b\r\nContent-Disposition: form-data; name="a"\r\n'
            b"Content-Type: text/plain; charset=utf-7\r\n\r\n+AGUAdgBl-",
        ),
        # And in which boundary.
        (f"{MULTIPART}; boundary=c", b'--b\r\nContent-Disposition: form-data; name="a"\r\n\r\n1'),
        (
            "multipart/form-data; xboundary=b; boundary=c",
            b'--b\r\nContent-Disposition: form-data; name="a"\r\n\r\n1',
        ),
        # Or read other letters.
        (f"{FORM}; charset=utf-7", b"to=+AGUAdgBl-"),
        (f"{FORM}; charset=utf-16", b"to=ann"),
        (f"{FORM}, text/plain", b"to=ann"),
        (JSON, b'{"to": "ann", "to": "eve"}'),
        (JSON, b'{"amount": NaN}'),
        (JSON, b'{"to": "\\ud800"}'),
        (JSON, b'{"a": [{"to": "ann", "\\u0074o": "eve"}]}'),
    ],
)
def test_what_a_site_may_read_otherwise_is_shown_as_it_stands(kind: str, body: bytes) -> None:
    if kind.startswith("multipart"):
        body += b"\r\n--b--\r\n"
    read = body_of(kind, body)
    assert (read.kind, read.fields) == ("text", ())
    assert read.text == body.decode()
    lines, _ = asked(body, kind)
    assert any(line.startswith("| ") for line in lines)


def test_a_number_is_shown_as_it_is_spelled() -> None:
    body = b'{"amount": 12345678901234567890.5, "big": 1e400, "none": -0, "one": 1.0}'
    shown = {each.name: each.shown for each in body_of(JSON, body).fields}
    assert shown == {
        "amount": "12345678901234567890.5", "big": "1e400", "none": "-0", "one": "1.0",
    }  # fmt: skip


def test_what_is_not_shown_of_a_request_is_said_to_be_missing() -> None:
    many = b"&".join(b"f%d=%s" % (each, b"x" * 240) for each in range(100)) + b"&amount=9999"
    lines, foreseen = asked(many)
    assert not any("9999" in line for line in lines)
    assert any("the end is missing" in each for each in foreseen.warnings)
    padded = {f"x-{each}": "y" for each in range(60)}
    _, foreseen = asked(b"a=1", **padded, **{"x-http-method-override": "DELETE"})
    assert any("as DELETE" in each for each in foreseen.warnings)
    assert any("60 of its headers" in each or "61 of its" in each for each in foreseen.warnings)
    _, foreseen = asked(b"a=1", url=f"https://bank.test/{'x' * 3000}?to=eve")
    assert any("characters 400 are shown" in each for each in foreseen.warnings)


@pytest.mark.parametrize(
    ("url", "target"),
    [
        ("https://bank.test.evil.test/", "bank.test.evil.test"),
        ("https://bank.test%2eevil.test/", "bank.test%2eevil.test"),
        ("https://xn--bnk-0na.test/", "xn--bnk-0na.test (reads "),
        (f"https://{'bank.test.' * 20}evil.test/", "evil.test"),
        ("https://evil.test/https://bank.test/", "evil.test"),
        ("https://evil.test:8443/", "evil.test, port 8443"),
    ],
)
def test_a_person_reads_which_host_gets_it_whatever_it_looks_like(url: str, target: str) -> None:
    lines, foreseen = asked(b"a=1", url=url)
    assert target in foreseen.target
    assert any("not the page's host" in each for each in foreseen.warnings)
    assert target in lines[1]


def test_a_secret_in_a_request_is_shown_by_its_length_wherever_it_stands() -> None:
    sending = Sending(())
    sending.conceal("correct-horse-9")
    session: Any = SimpleNamespace(sending=sending)
    for kind, body in (
        (FORM, b"q=correct-horse-9&correct-horse-9=1"),
        (JSON, b'{"a": ["correct-horse-9"], "correct-horse-9": 1}'),
        ("text/plain", b"correct-horse-9"),
        (
            MULTIPART,
            b'--b\r\nContent-Disposition: form-data; name="correct-horse-9"\r\n\r\n1\r\n--b--',
        ),
    ):
        out = Outgoing(
            method="POST",
            url="https://a.test/correct-horse-9?correct-horse-9=correct-horse-9#correct-horse-9",
            headers=(("content-type", kind), ("x-a", "correct-horse-9")),
            body=body,
        )
        held = HeldRequest(id="h1", outgoing=out, held_at=0)
        told = of_held(session, out, read_held(held, sending)).model_dump_json()
        told += held_of(held, sending).model_dump_json()
        assert "correct-horse-9" not in told, kind
