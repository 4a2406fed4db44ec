"""Installing packages: only names, never options, removals or patterns."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from flotilla import CommonSettings, InvalidArgument, Spoke
from linux_cli import build
from linux_cli.host import Ended, Hosts, Order, Take
from linux_cli.local import LocalHost
from linux_cli.packages import Installer, check_package, install_argv
from linux_cli.programs import Programs

Call = Callable[..., Awaitable[dict[str, Any]]]

pytestmark = pytest.mark.anyio


class AptHost(LocalHost):
    """A host whose apt-get only remembers what it was asked."""

    def __init__(self, host: LocalHost, known: str = "") -> None:
        self.__dict__.update(host.__dict__)
        self.known = known
        self.orders: list[Order] = []
        self.exit_code = 0

    async def find_program(self, name: str, folders: object = None) -> str | None:
        return f"/usr/bin/{name}" if name.startswith("apt") else None

    async def run(self, order: Order, take: Take) -> Ended:
        self.orders.append(order)
        if order.argv[0] == "apt-cache":
            take("stdout", self.known.encode())
        take("stderr", b"E: no such package" if self.exit_code else b"")
        return Ended(self.exit_code, None, False, 0.1)


@pytest.fixture
def apt(host: LocalHost) -> AptHost:
    return AptHost(host, "python3.11\npython3.11-dev\n")


@pytest.fixture
def call(apt: AptHost, make_call: Callable[[Spoke], Call]) -> Call:
    installer = Installer(Hosts([apt]), Programs(max_at_once=2, wait_s=1))
    spoke = Spoke(
        name="linux_cli",
        version="1",
        instructions="",
        namespaces=("os.linux",),
        tools=installer.tools(),
    )
    return make_call(spoke)


@pytest.mark.parametrize(
    "name",
    [
        "-y", "--allow-unauthenticated", "bash-", "foo*", "foo?", "^foo", "~nfoo", "?name(x)",
        "./evil.deb", "/tmp/evil.deb", "http://x/y.rpm", "@group", "a b", "a;b", "", "!x", "x<1",
        "x/testing", "x:amd64", "x=", "x=-1", "=1", "é", "a\n", "x" * 200,
    ],
)  # fmt: skip
async def test_what_is_no_name_of_a_package_is_refused(call: Call, apt: AptHost, name: str) -> None:
    with pytest.raises(InvalidArgument):
        check_package(name)
    done = await call("installPackage", packages=["bash", name])
    assert done["error"] == "invalid_argument" and apt.orders == []


async def test_packages_are_installed_without_questions(call: Call, apt: AptHost) -> None:
    done = await call("installPackage", packages=["bash", "jq=1.6-2.1"])
    assert done["manager"] == "apt-get"
    update, install = apt.orders
    assert update.argv[:2] == ("apt-get", "update")
    assert install.argv[-3:] == ("--", "bash", "jq=1.6-2.1") and "-y" in install.argv
    assert install.env["DEBIAN_FRONTEND"] == "noninteractive"


async def test_a_name_that_apt_would_take_for_a_pattern_must_exist(
    call: Call, apt: AptHost
) -> None:
    assert "error" not in await call("installPackage", packages=["python3.11"], refresh=False)
    apt.orders.clear()
    refused = await call("installPackage", packages=["python3.1"], refresh=False)
    assert refused["error"] == "not_found"
    assert [order.argv[0] for order in apt.orders] == ["apt-cache"]


async def test_what_the_manager_says_of_a_failure_is_passed_on(call: Call, apt: AptHost) -> None:
    apt.exit_code = 100
    done = await call("installPackage", packages=["bash"], refresh=False)
    assert done["error"] == "upstream_error" and "no such package" in done["message"]


def test_each_manager_gets_its_own_words() -> None:
    assert install_argv("dnf", ["a=1"], refresh=False)[-2:] == ("--", "a-1")
    assert install_argv("apk", ["a=1"], refresh=True)[-2:] == ("--", "a=1")


def test_the_spoke_declares_what_the_catalogue_names(spoke: Spoke, tmp_path: Path) -> None:
    kinds = {tool.name: (tool.read_only, tool.destructive, tool.approval) for tool in spoke.tools}
    reading = (
        "getSystemInfo listProcesses listServices getServiceStatus readJournal listDirectory "
        "readFile getDiskUsage listOpenPorts runReadOnly readJob listJobs"
    )
    changing = "runCommand writeFile controlService killProcess installPackage startJob cancelJob"
    carrying = "uploadFile downloadFile openTunnel closeTunnel"
    assert kinds == {
        **{f"os.linux.{name}": (True, False, False) for name in reading.split()},
        **{f"os.linux.{name}": (False, True, True) for name in changing.split()},
        **{f"os.ssh.{name}": (True, False, False) for name in ("listHosts", "testConnection")},
        **{f"os.ssh.{name}": (False, False, True) for name in carrying.split()},
    }
    assert spoke.namespaces == ("os.linux", "os.ssh")
    assert build.__doc__ and CommonSettings(data_dir=tmp_path)
