"""What a confined program can read when somebody puts links where it was judged."""

import subprocess
import sys
from pathlib import Path

import pytest

from linux_cli.local import confine

pytestmark = pytest.mark.skipif(
    confine.landlock_abi() == 0, reason="the kernel cannot confine programs"
)

READ_CONFINED = """
import runpy, sys
_, script, wanted, *opened = sys.argv
runpy.run_path(script)["confine"](opened)
try:
    print(open(wanted).read())
except PermissionError:
    print("closed")
"""


def read(wanted: Path, opened: Path) -> str:
    """What a process says that may read below `opened` alone."""
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", READ_CONFINED, confine.__file__, wanted, opened],
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_a_link_put_in_after_the_judgement_opens_nothing(tmp_path: Path) -> None:
    protected = tmp_path / "protected" / "below"
    protected.mkdir(parents=True)
    secret = protected / "secret"
    secret.write_text("canary")
    assert read(secret, protected) == "canary"
    assert read(secret, secret) == "canary"
    folder, file, above = (tmp_path / name for name in ("folder", "file", "above"))
    folder.symlink_to(protected)
    file.symlink_to(secret)
    above.symlink_to(tmp_path / "protected")
    for link in (folder, file, above, above / "below", folder / "secret"):
        assert read(secret, link) == "closed", link
