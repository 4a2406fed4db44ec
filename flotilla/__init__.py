"""What every service of the fleet shares, and nothing that one service alone needs."""

from flotilla._fresh import IN_ENVIRONMENT as IN_ENVIRONMENT  # before what must be installed
from flotilla.context import Context, Deadline, Principal
from flotilla.errors import (
    ApprovalDenied,
    ApprovalRequired,
    CircuitOpen,
    Conflict,
    FlotillaError,
    InvalidArgument,
    NotAllowed,
    NotConfigured,
    NotFound,
    RateLimited,
    TimedOut,
    TooLarge,
    Unavailable,
    UpstreamError,
)
from flotilla.model import Model
from flotilla.paging import Cursor, Limit, Page, decode_cursor, encode_cursor, page_of
from flotilla.settings import CommonSettings, Misconfigured, ServiceSettings
from flotilla.sizes import MAX_TEXT_BYTES, cut
from flotilla.spoke import Spoke
from flotilla.tool import Preview, Tool, destroys, reads, writes

__version__ = "0.1.0"

__all__ = [
    "MAX_TEXT_BYTES",
    "ApprovalDenied",
    "ApprovalRequired",
    "CircuitOpen",
    "CommonSettings",
    "Conflict",
    "Context",
    "Cursor",
    "Deadline",
    "FlotillaError",
    "InvalidArgument",
    "Limit",
    "Misconfigured",
    "Model",
    "NotAllowed",
    "NotConfigured",
    "NotFound",
    "Page",
    "Preview",
    "Principal",
    "RateLimited",
    "ServiceSettings",
    "Spoke",
    "TimedOut",
    "TooLarge",
    "Tool",
    "Unavailable",
    "UpstreamError",
    "cut",
    "decode_cursor",
    "destroys",
    "encode_cursor",
    "page_of",
    "reads",
    "writes",
]
