"""The parameters that many tools share."""

from typing import Annotated

from pydantic import Field

from azure_cloud.ids import GroupName
from flotilla import Model
from flotilla.sizes import cut

Account = Annotated[
    str | None,
    Field(max_length=64, description="Alias of the account, where several are set up."),
]
Group = Annotated[GroupName | None, Field(description="Only of this resource group.")]
TagKey = Annotated[str, Field(min_length=1, max_length=512)]
Tags = Annotated[dict[TagKey, Annotated[str, Field(max_length=256)]], Field(max_length=50)]

MOST_TAGS = 20
MOST_TAG_BYTES = 120


class Empty(Model):
    """Nothing."""


def short_tags(tags: object) -> dict[str, str] | None:
    """At most 20 tags, values cut: what a summary shows."""
    if not isinstance(tags, dict) or not tags:
        return None
    first = list(tags.items())[:MOST_TAGS]  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
    return {
        cut(str(key), MOST_TAG_BYTES)[0]: cut(str(value), MOST_TAG_BYTES)[0]  # pyright: ignore[reportUnknownArgumentType]
        for key, value in first  # pyright: ignore[reportUnknownVariableType]
    }
