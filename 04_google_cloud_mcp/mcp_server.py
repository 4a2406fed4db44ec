"""Start the google_cloud spoke."""

from flotilla.serving import serve
from google_cloud import build
from google_cloud.settings import Settings

if __name__ == "__main__":
    serve(build(Settings.from_env()))
