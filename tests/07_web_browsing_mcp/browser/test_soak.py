"""Sessions that go from page to page: memory comes back, and no process is left."""

import pytest

from benchmarks.browsing_soak import soak

pytestmark = [pytest.mark.anyio, pytest.mark.real]


@pytest.mark.timeout(300)
async def test_after_many_pages_memory_comes_back_and_no_process_is_left() -> None:
    found = await soak(sessions_at_once=5, navigations=80)
    assert found.after_mb < found.first_mb
    assert found.peak_mb < 3 * found.first_mb
    assert found.left == 0
    assert found.tasks_grown == 0
    assert found.fds_grown <= 0
