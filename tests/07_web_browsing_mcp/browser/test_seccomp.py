"""Chromium, its sandbox and its namespace do with the system calls that its container may make."""

import asyncio
import ctypes
import json
import os
import platform
import re
import struct
import sys
from pathlib import Path

import pytest

from tools.seccomp import HEADERS, PROFILE

pytestmark = [pytest.mark.anyio, pytest.mark.real]
HERE = Path(__file__).parent
ROOT = HERE.parents[2]
ALLOW, ERRNO = 0x7FFF0000, 0x00050000
LOAD, JUMP_EQUAL, RETURN = 0x20, 0x15, 0x06
PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP = 38, 22


def filter_of(profile_file: Path) -> bytes:
    """The profile as a program of seccomp's (seccomp(2)), without its rule on sockets."""
    names = re.findall(r"^#define __NR_(\w+) (\d+)$", HEADERS[0].read_text(), re.MULTILINE)
    numbers = {name: int(number) for name, number in names}
    written = json.loads(profile_file.read_text())
    code = [struct.pack("HBBI", LOAD, 0, 0, 0)]
    for rule in written["syscalls"]:
        verdict = ALLOW if rule["action"] == "SCMP_ACT_ALLOW" else ERRNO | rule["errnoRet"]
        for number in sorted(numbers[name] for name in rule["names"] if name in numbers):
            code.append(struct.pack("HBBI", JUMP_EQUAL, 0, 1, number))
            code.append(struct.pack("HBBI", RETURN, 0, 0, verdict))
    code.append(struct.pack("HBBI", RETURN, 0, 0, ERRNO | written["defaultErrnoRet"]))
    return b"".join(code)


@pytest.mark.skipif(platform.machine() != "x86_64", reason="the numbers are those of x86_64")
async def test_a_browser_starts_with_all_its_walls_under_the_profile(tmp_path: Path) -> None:
    code = filter_of(PROFILE)
    kept = ctypes.create_string_buffer(code)
    program = ctypes.create_string_buffer(
        struct.pack("HxxxxxxP", len(code) // 8, ctypes.addressof(kept))
    )
    libc = ctypes.CDLL(None, use_errno=True)

    def confine() -> None:
        libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
        if libc.prctl(PR_SET_SECCOMP, 2, program, 0, 0) != 0:
            os._exit(99)

    paths = os.pathsep.join((str(ROOT), str(ROOT / "07_web_browsing_mcp")))
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        str(HERE / "session_once.py"),
        str(tmp_path / "downloads"),
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": paths},
        preexec_fn=confine,
    )
    async with asyncio.timeout(60):
        told, _ = await child.communicate()
    assert child.returncode == 0
    assert "apart=None read=Quay" in told.decode()
