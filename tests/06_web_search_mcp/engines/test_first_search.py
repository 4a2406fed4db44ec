"""The first question after the start, when nothing of ddgs has been loaded."""

import subprocess
import sys

from tests.conftest import ROOT

AT_ONCE = """
import sys
from pathlib import Path
from threading import Barrier, Thread

from flotilla import Deadline
from web_search.configured import engines_of
from web_search.engines.ddgs_engine import DdgsEngine
from web_search.engines.visit import Visiting
from web_search.settings import Settings
from threading import Event

engines = [
    each
    for each in engines_of(Settings(), Path(sys.argv[1]))[0]
    if isinstance(each, DdgsEngine) and each._pages
]
assert "ddgs" not in sys.modules and len(engines) > 3
barrier, told = Barrier(len(engines)), []

def begin(engine):
    barrier.wait()
    try:
        pages = next(iter(engine._pages.values()))
        engine._engine(pages, Visiting(engine.name, Deadline.after(5), Event()))
        told.append("begun")
    except BaseException as error:
        told.append(repr(error))

threads = [Thread(target=begin, args=(each,)) for each in engines]
for each in threads: each.start()
for each in threads: each.join()
assert set(told) == {"begun"} and len(told) == len(engines), told
"""


def test_engines_that_are_asked_first_and_at_once_do_not_wait_for_each_other(tmp_path) -> None:
    path = ":".join([str(ROOT), str(ROOT / "06_web_search_mcp")])
    done = subprocess.run(
        [sys.executable, "-c", AT_ONCE, str(tmp_path)],
        env={"PYTHONPATH": path},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
