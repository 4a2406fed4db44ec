"""What an operator may set for this spoke; every key starts with `LINUX_CLI_`."""

from pathlib import Path
from typing import Literal

from pydantic import Field

from flotilla import ServiceSettings


class Settings(ServiceSettings, env_prefix="LINUX_CLI_"):
    """The limits of what runs on a host, and what is out of bounds."""

    max_processes: int = Field(default=16, ge=1, le=1024)
    """Programs of calls that run at once; jobs are counted apart."""
    process_wait_s: float = Field(default=2.0, ge=0, le=60)
    """How long a call waits for a free place before it is told `rate_limited`."""
    home: Path = Path("/tmp")  # noqa: S108 - every host has it, and nothing of ours lies there
    """The HOME and the default working directory of programs."""
    path: str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
    """The PATH of programs, and where programs without a slash are found."""
    max_jobs: int = Field(default=8, ge=1, le=256)
    """Jobs that run at once."""
    max_kept_jobs: int = Field(default=200, ge=1, le=10_000)
    """Jobs that are remembered, running and ended; the oldest ended ones go first."""
    job_output_bytes: int = Field(default=16 * 1024 * 1024, ge=64 * 1024)
    """Output kept per job and stream; beyond it the oldest part is dropped."""
    job_retention_s: float = Field(default=24 * 3600, ge=0)
    """How long an ended job is remembered."""
    job_max_s: float = Field(default=24 * 3600, gt=0)
    """The longest a job may run."""
    extra_read_only: tuple[str, ...] = ()
    """Further programs for runReadOnly, with any arguments: the operator vouches for them."""
    protected_paths: tuple[Path, ...] = ()
    """Further files and folders that no file tool shows or writes."""
    hosts_config: Path | None = None
    """The inventory of hosts; by default hosts.yaml in the configuration folder, if it is there."""
    ssh_connect_s: float = Field(default=10.0, gt=0, le=120)
    """How long a host may take to accept a connection."""
    max_transfer_bytes: int = Field(default=4 * 1024**3, ge=1)
    """The largest file that uploadFile and downloadFile carry."""
    confinement: Literal["auto", "required", "off"] = "auto"
    """Whether runReadOnly uses Landlock, which makes the kernel itself refuse writes."""
