"""Files of a host, read and written in blocks side by side."""

import asyncio
import gc
import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncssh
import pytest
from asyncssh.constants import FXF_APPEND, FXF_CREAT, FXF_READ, FXF_WRITE

from linux_cli.ssh.opened import opened
from tests.conftest import until

pytestmark = pytest.mark.anyio


class Host:
    """An SFTP server in this process, which may keep back what it is asked to read."""

    def __init__(self) -> None:
        self.reads = 0
        self.answers = asyncio.Event()
        self.answers.set()

    @asynccontextmanager
    async def session(self) -> AsyncGenerator[asyncssh.SFTPClient]:
        host = self

        class Server(asyncssh.SFTPServer):
            async def read(self, file_obj: object, offset: int, size: int) -> bytes:
                host.reads += 1
                await host.answers.wait()
                return super().read(file_obj, offset, size)

        class Anybody(asyncssh.SSHServer):
            def begin_auth(self, username: str) -> bool:
                del username
                return False

        listening = await asyncssh.listen(
            "127.0.0.1",
            0,
            server_factory=Anybody,
            server_host_keys=[asyncssh.generate_private_key("ssh-ed25519")],
            sftp_factory=Server,
        )
        async with (
            listening,
            asyncssh.connect(
                "127.0.0.1", listening.get_port(), known_hosts=None, config=None
            ) as connection,
            connection.start_sftp_client(path_encoding=None) as client,
        ):
            yield client


async def test_what_is_written_in_blocks_is_read_back_whole(tmp_path: Path) -> None:
    path, data = os.fsencode(tmp_path / "large"), os.urandom(9_000_017)
    async with Host().session() as sftp:
        async with opened(sftp, path, FXF_WRITE | FXF_CREAT, mode=0o600) as file:
            await file.write(data, 0)
            await file.sync()
        assert (tmp_path / "large").read_bytes() == data
        assert (tmp_path / "large").stat().st_mode & 0o777 == 0o600
        async with opened(sftp, path, FXF_READ) as file:
            got = bytearray()
            while part := await file.read_once(len(got), 20_000_000):
                got += part
            assert got == data
            assert await file.read_once(8_999_999, 100) == data[8_999_999:]
            assert await file.read_once(len(data), 100) == b""
            assert await file.read_once(0, 0) == b""
            assert await file.size() == len(data)


async def test_what_is_appended_comes_behind_what_is_there_in_order(tmp_path: Path) -> None:
    path, data = os.fsencode(tmp_path / "log"), os.urandom(3_000_000)
    (tmp_path / "log").write_bytes(b"before")
    async with (
        Host().session() as sftp,
        opened(sftp, path, FXF_READ | FXF_WRITE | FXF_APPEND) as file,
    ):
        await file.append(data)
        await file.append(b"")
    assert (tmp_path / "log").read_bytes() == b"before" + data


async def test_a_read_that_is_cancelled_leaves_no_request_behind(tmp_path: Path) -> None:
    (tmp_path / "large").write_bytes(os.urandom(2**20))
    host, troubles = Host(), list[dict[str, Any]]()
    asyncio.get_running_loop().set_exception_handler(lambda _, told: troubles.append(told))
    before = asyncio.all_tasks()
    path = os.fsencode(tmp_path / "large")
    async with host.session() as sftp, opened(sftp, path, FXF_READ) as file:
        host.answers.clear()
        kept = asyncio.all_tasks()
        reading = asyncio.create_task(file.read_once(0, 2**20))
        await until(lambda: host.reads)
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
        left = asyncio.all_tasks() - kept
        assert not [each for each in left if "SFTPFile" in str(each.get_coro())]
        host.answers.set()
        assert len(await file.read_once(0, 2**20)) == 2**20
    await until(lambda: asyncio.all_tasks() <= before)
    gc.collect()
    assert not troubles


async def test_an_error_of_one_block_is_the_error_of_all(tmp_path: Path) -> None:
    path = os.fsencode(tmp_path / "read")
    (tmp_path / "read").write_bytes(b"x")
    async with Host().session() as sftp, opened(sftp, path, FXF_READ) as file:
        with pytest.raises(asyncssh.SFTPError):
            await file.write(bytes(1_000_000), 0)
        assert await file.read_once(0, 10) == b"x"
