"""Settings of the azure spoke.

Their prefix is that of the SDK's own variables (AZURE_CLIENT_ID, AZURE_TENANT_ID, ...); none of
these keys is one of those.
"""

from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field

from flotilla import ServiceSettings

OFF = "off"


def _https_or_off(value: str) -> str:
    if value == OFF or value.startswith("https://"):
        return value
    raise ValueError("give an https:// address, or `off`")


class Settings(ServiceSettings, env_prefix="AZURE_"):
    """Where its accounts are said, and where prices are asked."""

    config: Path | None = None
    """By default azure.yaml in the fleet's configuration folder."""
    request_timeout_s: float = Field(default=25.0, gt=0, le=300)
    """For one request to Azure; the deadline of the call may come sooner."""
    retail_prices_url: Annotated[str, AfterValidator(_https_or_off)] = (
        "https://prices.azure.com/api/retail/prices"
    )
    """The public price list that approvals show the monthly cost from, asked without credentials;
    `off`: no cost is shown."""
    retail_prices_trusted: Path | None = None
    """PEM of the authorities that vouch for the price list, instead of the system's."""
