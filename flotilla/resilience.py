"""What keeps a service's trouble its own: time limits, retries, breaker, places, rates, checks.

Read from `config/services.yaml`, where `defaults` holds for every service, a service's own entry
goes before it, and `external` holds the same for external servers by their names, `*` for all.
"""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Seconds = Annotated[float, Field(gt=0, le=86_400)]
Kept = Annotated[float, Field(ge=0, le=86_400)]
MimeType = Annotated[str, Field(pattern=r"^(\*/\*|[^\s/*;]+/(\*|[^\s/*;]+)(\s*;.*)?)$")]
Count = Annotated[int, Field(ge=1, le=1_000_000)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)


class Retry(_Part):
    """Further tries of a call that failed, of read-only and idempotent tools alone."""

    retries: int = Field(default=3, ge=0, le=10)
    """Tries after the first one; 0 switches them off."""
    first_s: Seconds = 0.1
    """Before the first of them, with jitter; each next waits `factor` times as long."""
    factor: float = Field(default=2.0, ge=1, le=10)
    most_s: Seconds = 5.0
    budget: float = Field(default=0.2, ge=0, le=1)
    """Retries for each call of the service, at most, over about ten seconds: 0.2 lets a storm of
    failures make a fifth more calls, never twice as many."""


class Breaker(_Part):
    """After `failures` in a row nobody calls the service for `open_s`; then one call probes it."""

    failures: Count = 5
    open_s: Seconds = 60


class Places(_Part):
    """How many calls of the service run at once, and how many more may wait for a place.

    Of either one principal has at most `share`, so that whoever floods a service leaves room for
    the others.
    """

    calls: Count = 64
    waiting: int = Field(default=64, ge=0, le=1_000_000)
    wait_s: Seconds = 1.0
    share: float = Field(default=0.75, gt=0, le=1)


class RateLimit(_Part):
    """How often one principal may call the service."""

    per_minute: float = Field(default=6000, gt=0, le=10_000_000)
    burst: Count | None = None
    """Calls at once; by default what may come in six seconds, and at least one."""

    @property
    def at_once(self) -> int:
        return self.burst or max(1, int(self.per_minute / 10))


class HealthCheck(_Part):
    """How the hub asks by itself whether the service answers."""

    every_s: Seconds = 10
    timeout_s: Seconds = 3
    failures: Count = 2
    """Checks that fail in a row before the service counts as away."""


class Files(_Part):
    """What may be carried to the service and back as content: images, audio, files, blobs."""

    max_file_size: int = Field(default=64 * 1024 * 1024, ge=1)
    """Bytes of one of them, decoded."""
    allowed_types: tuple[MimeType, ...] = ("*/*",)
    """MIME types, `image/*` for all of a kind."""


class Resilience(_Part):
    """All of it for one service; each value has the default that it gets when nobody says more."""

    timeout_s: Seconds = 30
    """For one call."""
    long_timeout_s: Seconds = 300
    """For one call of a tool that may take minutes."""
    retry: Retry = Retry()
    breaker: Breaker = Breaker()
    places: Places = Places()
    rate_limit: RateLimit = RateLimit()
    health_check: HealthCheck = HealthCheck()
    files: Files = Files()
    cache: dict[str, Kept] = Field(default_factory=dict[str, float])
    """How long results of read-only tools may be kept, in seconds, by the tools' canonical names;
    goes before what the tools say of themselves, and 0 keeps none."""


RATES = {"ai_models": RateLimit(per_minute=10), "web_search": RateLimit(per_minute=60)}
"""What somebody else's bill or patience limits has a lower rate from the start."""
