"""`config/vmware.yaml`: the vCenters by alias, and how each one is trusted and logged in to."""

import ipaddress
import re
from pathlib import Path
from typing import Annotated, Self

from pydantic import AfterValidator, Field, model_validator

from flotilla.accounts import Account, Accounts, SecretPlace
from flotilla.credentials import Credentials
from flotilla.placed_secrets import secret_at

_SHA256 = re.compile(r"[0-9a-f]{64}")


def _thumbprint(value: str) -> str:
    plain = value.replace(":", "").lower()
    if _SHA256.fullmatch(plain) is None:
        raise ValueError("give the SHA-256 of the certificate: 64 hexadecimal digits")
    return plain


class VCenter(Account):
    """One vCenter, or one ESXi host.

    Its certificate is vouched for by the system's authorities, by `ca_file`, or by `thumbprint`,
    the SHA-256 of the very certificate. `verify: false` is for loopback alone: whoever stands
    between would read the password.
    """

    host: Annotated[str, Field(min_length=1, max_length=253, pattern=r"^[A-Za-z0-9._:-]+$")]
    port: Annotated[int, Field(ge=1, le=65_535)] = 443
    user: Annotated[str, Field(min_length=1, max_length=200)]
    password: SecretPlace
    ca_file: Path | None = None
    thumbprint: Annotated[str | None, AfterValidator(_thumbprint)] = None
    verify: bool = True

    @model_validator(mode="after")
    def _trusts_something(self) -> Self:
        if self.ca_file is not None and self.thumbprint is not None:
            raise ValueError("give ca_file or thumbprint, not both")
        if not self.verify and not is_loopback(self.host):
            raise ValueError("verify: false is for loopback alone; give ca_file or thumbprint")
        return self


VCenters = Accounts[VCenter]


def load(file: Path) -> VCenters:
    """The vCenters that the file says; Misconfigured with the key that is wrong."""
    return Accounts[VCenter].load("vcenter", file, VCenter)


def is_loopback(host: str) -> bool:
    """Whether it is this machine, by its very name."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def password_of(entry: VCenter, credentials: Credentials) -> str:
    """The password as it is now: a file is read anew each time. Raises NotConfigured."""
    hint = "Mend the file that vmware.yaml names."
    return secret_at(entry.password, credentials, "password", hint)
