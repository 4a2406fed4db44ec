"""Start the cmdb spoke."""

from cmdb import build
from cmdb.settings import Settings
from flotilla.serving import serve

if __name__ == "__main__":
    serve(build(Settings.from_env()))
