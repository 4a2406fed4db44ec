"""The hub's signing key is changed while it is in use, and nobody's call is refused for it."""

import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from flotilla import Misconfigured, Principal
from flotilla.identity import BadToken, Signer, Verifier, key_id
from flotilla.keyring import ANNOUNCED_S, CURRENT, LAST, NEXT, RETIRED_S, KeyRing

ANN = Principal("ann", ("admin",))
DAY_S = 86_400.0


class Clock:
    def __init__(self) -> None:
        self.now = time.time()

    def __call__(self) -> float:
        return self.now


def ring_in(folder: Path, clock: Clock, every_s: float | None = DAY_S) -> KeyRing:
    return KeyRing(folder, every_s=every_s, clock=clock)


def names(ring: KeyRing) -> str:
    return key_id(ring.key().public_key())


def test_tokens_of_every_moment_of_a_change_are_good(tmp_path: Path) -> None:
    clock = Clock()
    ring, verifier = ring_in(tmp_path, clock), Verifier(tmp_path / "public_key.pem", "cmdb")
    first = names(ring)
    steps: list[str] = []
    signed: list[str] = []
    for pause_s in (DAY_S + 1, ANNOUNCED_S - 1, 2, 30, RETIRED_S):
        clock.now += pause_s
        # A signer without a memory, as each process of the hub is one at some time.
        signed.append(Signer(ring.key).token("cmdb", ANN))
        if (step := ring.tend()) is not None:
            steps.append(step)
        signed.append(Signer(ring.key).token("cmdb", ANN))
        if step != "retired":
            assert all(verifier.verify(token).principal == ANN for token in signed)
    assert steps == ["announced", "changed", "retired"]
    assert names(ring) != first
    with pytest.raises(BadToken):
        verifier.verify(signed[0])
    assert verifier.verify(signed[-1]).principal == ANN


def test_a_new_key_signs_nothing_before_spokes_know_it(tmp_path: Path) -> None:
    clock = Clock()
    ring = ring_in(tmp_path, clock, every_s=None)
    first = names(ring)
    assert ring.tend() is None
    assert ring.rotate() == "announced"
    assert ring.rotate() is None
    assert names(ring) == first
    clock.now += ANNOUNCED_S + 1
    assert ring.tend() == "changed"
    assert names(ring) != first


def test_another_ring_on_the_folder_signs_with_the_same_key(tmp_path: Path) -> None:
    clock = Clock()
    one, other = ring_in(tmp_path, clock), ring_in(tmp_path, clock)
    clock.now += DAY_S + 1
    assert [one.tend(), other.tend()] == ["announced", None]
    clock.now += ANNOUNCED_S + 1
    assert [other.tend(), one.tend()] == ["changed", None]
    assert names(one) == names(other)


def test_a_ring_that_died_between_two_steps_goes_on_where_it_was(tmp_path: Path) -> None:
    clock = Clock()
    ring = ring_in(tmp_path, clock)
    clock.now += DAY_S + 1
    ring.tend()
    # It had kept the old key as the last one, and not yet begun to sign with the new one.
    (tmp_path / LAST).write_bytes((tmp_path / CURRENT).read_bytes())
    clock.now += ANNOUNCED_S + 1
    again = ring_in(tmp_path, clock)
    old = Signer(again.key).token("cmdb", ANN)
    assert again.tend() == "changed"
    verifier = Verifier(tmp_path / "public_key.pem", "cmdb")
    assert verifier.verify(old) and verifier.verify(Signer(again.key).token("cmdb", ANN))


def test_private_keys_stay_private_and_none_is_left_over(tmp_path: Path) -> None:
    clock = Clock()
    ring = ring_in(tmp_path, clock)
    for pause_s in (DAY_S + 1, ANNOUNCED_S + 1):
        clock.now += pause_s
        ring.tend()
        for file in tmp_path.iterdir():
            wanted = 0o644 if file.name == "public_key.pem" else 0o600
            assert stat.S_IMODE(file.stat().st_mode) == wanted, file.name
    clock.now += RETIRED_S + 1
    ring.tend()
    assert sorted(file.name for file in tmp_path.iterdir()) == [CURRENT, "public_key.pem"]
    assert not (tmp_path / NEXT).exists()


@pytest.mark.real
def test_processes_that_tend_one_folder_take_each_step_once(tmp_path: Path) -> None:
    KeyRing(tmp_path)
    code = f"""
from pathlib import Path
from flotilla.keyring import KeyRing
print(KeyRing(Path({str(tmp_path)!r})).rotate())
"""
    started = [
        subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    told = sorted(process.communicate(timeout=60)[0].strip() for process in started)
    assert told == ["None", "None", "announced"]


def test_a_broken_key_stops_the_start(tmp_path: Path) -> None:
    KeyRing(tmp_path)
    (tmp_path / NEXT).write_text("no key")
    with pytest.raises(Misconfigured, match=r"next_private_key\.pem is not a readable PEM key"):
        KeyRing(tmp_path)
