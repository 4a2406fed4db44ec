"""What a person is told of a call beforehand: on what, what changes, and what it would cost."""

from collections.abc import Generator
from contextlib import contextmanager
from typing import Final

from pydantic import Field, JsonValue

from flotilla.errors import (
    Conflict,
    FlotillaError,
    InvalidArgument,
    NotAllowed,
    NotFound,
    TooLarge,
)
from flotilla.model import Model
from flotilla.operations import Told

REJECTED: Final = "rejected"
"""The member of an error's details by which an operation says that the call itself ends so."""


class Change(Model):
    """A field that would have another value; None where there is none before or after."""

    field: str
    before: JsonValue = None
    after: JsonValue = None


class MonthlyCost(Model):
    """An estimate for a month of 730 hours, and what it counts and leaves out."""

    amount: float
    currency: str
    basis: str


class Foreseen(Told):
    """The answer of an operation that a `Preview` names; the hub shows it in plain words."""

    action: str
    """What would happen, as a sentence: `Power off the virtual machine web-1`."""
    target: str
    """The target's name and ID, as the provider has them: `web-1 (vm-1042 in vc-main)`."""
    state: dict[str, JsonValue] = Field(default_factory=dict[str, JsonValue])
    """What the target is now, as far as it matters for the decision."""
    changes: list[Change] = Field(default_factory=list[Change])
    diff: str | None = None
    """A unified diff, at most 16 KB."""
    monthly_cost: MonthlyCost | None = None
    warnings: list[str] = Field(default_factory=list[str])
    """What a careful colleague would say first: `it has 2 snapshots that go with it`."""


@contextmanager
def rejecting(*also: type[FlotillaError]) -> Generator[None]:
    """Around what the call itself would do first, in the same way and as the same user.

    What that finds wrong with the call ends it: the hub tells its caller of the error, and asks
    nobody. What may be otherwise a moment later (a server that is away, a time that was too short)
    does not, unless it is among `also`: a person is asked without a preview.
    """
    try:
        yield
    except (InvalidArgument, NotFound, NotAllowed, Conflict, TooLarge, *also) as error:
        error.details[REJECTED] = True
        raise
