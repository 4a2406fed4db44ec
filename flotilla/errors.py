"""Every error a tool may raise on purpose, and the one shape in which a client reads it.

FlotillaError              internal          something of ours broke
├── InvalidArgument        invalid_argument  the caller can mend it
├── NotFound               not_found         the thing named does not exist
├── Conflict               conflict          it changed since the caller looked
├── TooLarge               too_large         more than a limit allows
├── NotAllowed             not_allowed       policy refused it
├── ApprovalRequired       approval_required a person must say yes first
├── ApprovalDenied         approval_denied   a person said no
├── RateLimited            rate_limited      too many calls
├── CircuitOpen            circuit_open      the service is resting after failures
├── TimedOut               timeout           the deadline passed
├── Unavailable            unavailable       the service is away
├── NotConfigured          not_configured    a setting or program is missing
└── UpstreamError          upstream_error    the other system failed

The codes are stable: clients may match on them.
"""

from collections.abc import Mapping
from typing import Any, ClassVar


class FlotillaError(Exception):
    """Base of the tree: `code` is stable, `message` says what was wrong, `hint` what to do.

    `details` are extra JSON members of the error object (say `retryAfterMs`).
    """

    code: ClassVar[str] = "internal"
    retryable: ClassVar[bool] = False

    def __init__(
        self, message: str, *, hint: str | None = None, details: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.details = dict(details or {})

    def as_json(self, correlation_id: str) -> dict[str, Any]:
        """The error object of a tool error, as a client reads it."""
        return {
            **self.details,
            "code": self.code,
            "message": self.message,
            **({"hint": self.hint} if self.hint else {}),
            "correlationId": correlation_id,
            "retryable": self.retryable,
        }


class InvalidArgument(FlotillaError):
    code = "invalid_argument"


class NotFound(FlotillaError):
    code = "not_found"


class Conflict(FlotillaError):
    code = "conflict"


class TooLarge(FlotillaError):
    code = "too_large"


class NotAllowed(FlotillaError):
    code = "not_allowed"


class ApprovalRequired(FlotillaError):
    code = "approval_required"


class ApprovalDenied(FlotillaError):
    code = "approval_denied"


class RateLimited(FlotillaError):
    """`retry_after_ms`: when a call may succeed again, in milliseconds."""

    code = "rate_limited"
    retryable = True

    def __init__(self, message: str, *, retry_after_ms: int, hint: str | None = None) -> None:
        super().__init__(message, hint=hint, details={"retryAfterMs": retry_after_ms})


class CircuitOpen(FlotillaError):
    code = "circuit_open"
    retryable = True


class TimedOut(FlotillaError):
    code = "timeout"
    retryable = True


class Unavailable(FlotillaError):
    code = "unavailable"
    retryable = True


class NotConfigured(FlotillaError):
    code = "not_configured"


class UpstreamError(FlotillaError):
    code = "upstream_error"


CODES: frozenset[str] = frozenset(
    {FlotillaError.code, *(kind.code for kind in FlotillaError.__subclasses__())}
)
"""Every code a client can meet."""
