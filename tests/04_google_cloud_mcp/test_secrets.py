"""Nothing secret leaves: metadata, serial output, keys and tokens, with canaries in all of them."""

import json
from pathlib import Path

import pytest

from google_cloud.instance_shapes import entry_of, ssh_keys, windows_users
from google_cloud.serial import LOOK_BACK_BYTES, piece_of

from .conftest import PROD, Estate

pytestmark = pytest.mark.anyio
ZONE = "europe-west1-b"
CANARY = "canary-Zx9-Qm4-Wv7-Lk2"
PEM = (
    "-----BEGIN RSA PRIVATE KEY-----\n"
    + "\n".join(f"MIIEpAIBAAKCAQEA{number:03}canarykeyline" for number in range(40))
    + "\n-----END RSA PRIVATE KEY-----\n"
)


async def test_no_value_of_the_metadata_leaves_but_for_harmless_switches(estate: Estate) -> None:
    items = [
        {"key": "startup-script", "value": f"#!/bin/sh\nexport TOKEN={CANARY}"},
        {"key": "user-data", "value": CANARY},
        {"key": "db-password", "value": CANARY},
        {"key": "ENABLE-OSLOGIN", "value": "TRUE"},
        {"key": "ssh-keys", "value": f"ada:ssh-ed25519 AAAAC3Nz {CANARY}"},
        {
            "key": "windows-keys",
            "value": json.dumps({"userName": "bob", "modulus": CANARY, "email": "b@acme"}),
        },
    ]
    estate.world.instance(PROD, ZONE, "web-1", metadata={"items": items})
    shown = await estate.call("getInstance", instance="web-1")
    assert CANARY not in json.dumps(shown)
    values = {each["key"]: each.get("value") for each in shown["metadata"]}
    assert values["ENABLE-OSLOGIN"] == "TRUE"
    assert values["startup-script"] is None
    assert shown["windowsUsers"] == ["bob"]
    assert shown["sshKeys"][0]["fingerprint"].startswith("SHA256:")
    for action in ("stopInstance", "deleteInstance", "setInstanceLabels"):
        told = await estate.foreseen(action, instance="web-1", labels={"a": "b"})
        assert CANARY not in json.dumps(told)


async def test_a_list_does_not_even_ask_google_for_the_metadata(estate: Estate) -> None:
    items = [{"key": "startup-script", "value": CANARY}]
    estate.world.instance(PROD, ZONE, "web-1", metadata={"items": items})
    assert CANARY not in json.dumps(await estate.call("listInstances"))
    (path,) = estate.google.paths("GET", "/aggregated/instances")
    assert "fields=" in path
    assert "metadata" not in path


async def test_serial_output_is_read_in_pieces_without_secrets(estate: Estate) -> None:
    estate.world.instance(PROD, ZONE, "web-1")
    lines = [f"[{number:5}.000] kernel: line {number}\n" for number in range(900)]
    lines[300] = f"cloud-init: password={CANARY}\n"
    lines[600] = f"export DB_PASSWORD={CANARY}\n"
    lines[700] = PEM
    whole = "".join(lines)
    estate.world.serial[PROD, ZONE, "web-1"] = whole.encode()
    text, start = "", 0
    for _ in range(40):
        piece = await estate.call("getSerialOutput", instance="web-1", start=start, maxBytes=4096)
        text += piece["text"]
        start = piece["nextStart"]
        if not piece["more"]:
            break
    assert start == len(whole)
    assert CANARY not in text
    assert "canarykeyline" not in text
    assert [line for line in text.splitlines() if "kernel: line" in line] == [
        line.strip() for line in lines if "kernel: line" in line
    ]
    last = await estate.call("getSerialOutput", instance="web-1", maxBytes=1024)
    assert last["text"].endswith("kernel: line 899\n")
    assert last["nextStart"] == len(whole)


@pytest.mark.parametrize("wanted", range(0, len(PEM), 61))
def test_no_place_to_begin_or_end_shows_a_part_of_a_private_key(wanted: int) -> None:
    raw = f"before\n{PEM}after\n".encode()
    for max_bytes in (64, 512, 4096):
        for at in (0, 10):
            piece = piece_of(raw[at:], at, wanted, max_bytes)
            assert "canarykeyline" not in piece.text
    # Where only the end of the key is there at all.
    tail = piece_of(raw[300:], 300, 300, 4096)
    assert "canarykeyline" not in tail.text
    assert "after" in tail.text


def test_a_line_whose_beginning_nobody_saw_is_not_shown() -> None:
    raw = (b"x" * LOOK_BACK_BYTES) + CANARY.encode() + b"\nnext line\n"
    piece = piece_of(raw, 5000, 5000, 20_480)
    assert CANARY not in piece.text
    assert piece.text.endswith("next line\n")


def test_a_prompt_is_shown_and_half_a_line_comes_once_it_is_whole() -> None:
    assert piece_of(b"boot\nweb-1 login: ", 0, 0, 4096).text == "boot\nweb-1 login: "
    half = piece_of(b"boot\npassword=hun", 0, 0, 4096)
    assert (half.text, half.end, half.more) == ("boot\n", 5, False)
    rest = piece_of(b"boot\npassword=hunter2secret\n", 0, half.end, 4096)
    assert "hunter2" not in rest.text


def test_a_terminals_colours_neither_show_nor_hide_a_secret() -> None:
    raw = b"\x1b[1;32mok\x1b[0m\npass\x1b[1mword=hunter2\x00secret\n" + b'"' * 19_000 + b"\n"
    piece = piece_of(raw, 0, 0, 20 * 1024)
    assert piece.text.startswith("ok\n")
    assert "hunter2" not in piece.text
    assert not piece.more


def test_a_stray_end_of_a_key_hides_no_log() -> None:
    raw = b"boot\n" * 10 + b"-----END RSA PRIVATE KEY-----\n"
    assert piece_of(raw, 0, 0, 4096).text.startswith("boot\nboot\n")
    long = b"boot\n" * 10_000 + b"-----END RSA PRIVATE KEY-----\n"
    assert piece_of(long, 99, 40_000, 4096).text.startswith("boot\n")


def test_only_short_values_of_known_switches_are_shown() -> None:
    assert entry_of("enable-oslogin", "TRUE").value == "TRUE"
    assert entry_of("enable-oslogin", "x" * 65).value is None
    assert entry_of("anything", "TRUE").value is None
    assert ssh_keys("broken\nada:ssh-rsa !!!\n:\n")[0].fingerprint is None
    assert windows_users('not json\n{"userName": "bob"}\n[1]') == ["bob"]


async def test_keys_and_tokens_are_in_no_answer_and_no_log(
    estate: Estate, capfd: pytest.CaptureFixture[str]
) -> None:
    estate.world.instance(PROD, ZONE, "web-1")
    key = json.loads((estate.google.folder / "default.json").read_text())
    body = "".join(key["private_key"].splitlines()[2:5])
    said = json.dumps(await estate.call("getInstance", instance="web-1"))
    estate.world.tokens.clear()
    said += json.dumps(await estate.call("listInstances"))
    estate.google.faults.fail("/zones/", 401, times=None)
    error = await estate.fails("listInstances", zone=ZONE)
    assert (error["code"], error["upstreamStatus"]) == ("not_configured", 401)
    logs = "".join(capfd.readouterr())
    for text in (said, json.dumps(error), logs):
        assert body not in text
        assert "ya29." not in text
        assert "PRIVATE KEY" not in text
    assert Path(estate.google.folder / "default.json").exists()
