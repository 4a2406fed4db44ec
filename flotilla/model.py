"""The one alias rule of the fleet: JSON is camelCase, Python is snake_case."""

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel


class Model(BaseModel):
    """Base of everything that a tool takes or returns; immutable, unknown members refused."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        alias_generator=to_camel,
        populate_by_name=True,
        serialize_by_alias=True,
        # Infinity and NaN are not JSON; null is what every client can read.
        ser_json_inf_nan="null",
    )
