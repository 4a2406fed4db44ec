"""Start the azure spoke."""

from azure_cloud import build
from azure_cloud.settings import Settings
from flotilla.serving import serve

if __name__ == "__main__":
    serve(build(Settings.from_env()))
