"""Write deploy/compose/chromium-seccomp.json: the system calls that the browser's container may do.

    python tools/seccomp.py            write it, from this machine's kernel headers
    python tools/seccomp.py --check    say whether it is as it would be written

Chromium's own sandbox, and the network namespace that the launcher puts it into, need namespaces,
which Docker's own profile gives to nobody without CAP_SYS_ADMIN. This one gives them (and chroot,
which the sandbox does inside its own), and nothing else that a container has no need of: what is
named in REFUSED is an error, what no header here names as well, so that what a newer kernel brings
is refused until somebody has looked at it.
"""

import json
import re
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
PROFILE = ROOT / "deploy/compose/chromium-seccomp.json"
HEADERS = (
    Path("/usr/include/x86_64-linux-gnu/asm/unistd_64.h"),
    Path("/usr/include/asm-generic/unistd.h"),
)
ENOSYS = 38
AF_VSOCK = 40
REFUSED = {
    # Modules, other kernels, reboots, swap, accounting, the kernel's log.
    *("init_module", "finit_module", "delete_module", "create_module", "query_module"),
    *("get_kernel_syms", "kexec_load", "kexec_file_load", "reboot", "swapon", "swapoff", "acct"),
    *("syslog", "nfsservctl", "quotactl", "quotactl_fd", "sysfs", "_sysctl", "uselib", "ustat"),
    # Clocks and names, which are the machine's.
    *("settimeofday", "clock_settime", "clock_settime64", "clock_adjtime", "clock_adjtime64"),
    *("adjtimex", "sethostname", "setdomainname", "vhangup"),
    # File systems: nobody here mounts, not even in a namespace of their own.
    *("mount", "umount", "umount2", "pivot_root", "fsopen", "fsconfig", "fsmount", "fspick"),
    *("move_mount", "open_tree", "open_tree_attr", "mount_setattr", "statmount", "listmount"),
    *("fanotify_init", "name_to_handle_at", "open_by_handle_at", "lookup_dcookie"),
    # Large ways into the kernel.
    *("bpf", "perf_event_open", "userfaultfd", "io_uring_setup", "io_uring_enter"),
    *("io_uring_register", "add_key", "request_key", "keyctl", "iopl", "ioperm", "modify_ldt"),
    *("kcmp", "personality", "vserver", "map_shadow_stack"),
    # Other processes, and the machine's memory.
    *("ptrace", "process_vm_readv", "process_vm_writev", "process_madvise", "pidfd_getfd"),
    *("mbind", "migrate_pages", "move_pages", "set_mempolicy", "set_mempolicy_home_node"),
    *("afs_syscall", "getpmsg", "putpmsg", "security", "tuxcall"),
}
NEEDED = {"clone", "clone3", "unshare", "setns", "chroot", "seccomp", "prctl", "pidfd_open"}
"""Without these there is no sandbox, or no browser."""
_NAMED = re.compile(r"^#define __NR(?:3264)?_([a-z0-9_]+)\s+\S+", re.MULTILINE)


def profile(names: set[str]) -> dict[str, Any]:
    """In Docker's format; `names` are all the calls that the headers have."""
    allowed = sorted(names - REFUSED - {"socket", "syscalls", "arch_specific_syscall"})
    return {
        "defaultAction": "SCMP_ACT_ERRNO",
        "defaultErrnoRet": ENOSYS,
        "archMap": [
            {"architecture": "SCMP_ARCH_X86_64", "subArchitectures": []},
            {"architecture": "SCMP_ARCH_AARCH64", "subArchitectures": []},
        ],
        "syscalls": [
            {"names": allowed, "action": "SCMP_ACT_ALLOW"},
            {
                # To the machine's hypervisor there is no proxy.
                "names": ["socket"],
                "action": "SCMP_ACT_ALLOW",
                "args": [{"index": 0, "value": AF_VSOCK, "op": "SCMP_CMP_NE"}],
            },
            {
                "names": sorted(REFUSED),
                "action": "SCMP_ACT_ERRNO",
                "errnoRet": 1,
            },
        ],
    }


def names_of(headers: tuple[Path, ...]) -> set[str]:
    """The names of all calls; OSError where a header is not installed (linux-libc-dev)."""
    return {name for header in headers for name in _NAMED.findall(header.read_text())}


def main() -> int:
    written = json.dumps(profile(names_of(HEADERS)), indent=1) + "\n"
    if "--check" in sys.argv[1:]:
        same = PROFILE.read_text() == written
        print("as it would be written" if same else "another than would be written here")
        return 0 if same else 1
    PROFILE.write_text(written)
    print(f"{PROFILE.relative_to(ROOT)}: {len(written)} bytes")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
