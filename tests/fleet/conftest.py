"""What the tests across services share."""

import pytest

from tests.conftest import free_base, service_numbers

TOY = 77
"""The number of the service that one of these tests brings."""


@pytest.fixture
def port_base() -> int:
    """A port above which the port of each service is free."""
    return free_base((*service_numbers(), TOY))
