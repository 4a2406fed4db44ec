"""The output schema fits what a tool's result leaves out."""

import pytest
from jsonschema import validate

from flotilla.model import Model
from flotilla.schema import Output
from flotilla.tool import reads

pytestmark = pytest.mark.anyio


class Disk(Model):
    label: str | None


class Host(Model):
    name: str
    cpu_limit: float | None
    disks: list[Disk]
    owner: str | None = None


async def get_host() -> Host:
    """Show the host."""
    return Host(name="n", cpu_limit=None, disks=[Disk(label=None)])


async def test_a_result_whose_members_are_null_fits_its_own_schema() -> None:
    output = Output(reads("os.linux.getHost", get_host))

    written = output.write(await get_host())

    assert written == {"name": "n", "disks": [{}]}
    validate(written, output.schema)
    assert output.schema["required"] == ["name", "disks"]
    assert output.schema["properties"]["cpuLimit"] == {"type": "number"}
