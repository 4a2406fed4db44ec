"""The Google Cloud spoke: looks at projects, disks and buckets, and operates instances."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from flotilla import CommonSettings, Spoke, __version__
from flotilla.credentials import Credentials
from google_cloud.buckets import Buckets
from google_cloud.catalogue import Catalogue
from google_cloud.cloud import Cloud, accounts_of
from google_cloud.creating import Creating
from google_cloud.discovering import Source
from google_cloud.disks import Disks
from google_cloud.foreseeing import ForeseenInstances
from google_cloud.instances import Instances
from google_cloud.life import Life
from google_cloud.long_operations import Operations
from google_cloud.networks import Networks
from google_cloud.prices import Prices
from google_cloud.projects import Projects
from google_cloud.serial import Serial
from google_cloud.settings import Settings

INSTRUCTIONS = """\
Look at and operate Google Cloud: projects, virtual machines (instances), disks, networks, buckets.
listProjects names the accounts and projects; leave both out to use the default ones. What changes
something answers at once with an operation: it is done only when getOperation says `succeeded`.
Contents of objects, start-up scripts and keys are never shown.
"""


def build(settings: Settings, common: CommonSettings | None = None) -> Spoke:
    """The spoke as `settings` have it; `common` is read from the environment unless given.

    Nothing of Google's is loaded or asked before the first call.
    """
    shared = common or CommonSettings.from_env()
    accounts = accounts_of(settings, shared.config_dir)
    credentials = Credentials(accounts.needs())
    cloud = Cloud(settings, accounts, credentials)
    instances = Instances(cloud)
    disks = Disks(cloud)
    prices = Prices(cloud)
    creating = Creating(cloud, prices)
    families = (
        Projects(cloud),
        Catalogue(cloud),
        instances,
        Serial(cloud, instances),
        disks,
        Networks(cloud),
        Buckets(cloud),
        Operations(cloud),
        creating,
        Life(cloud, instances),
    )

    @asynccontextmanager
    async def lifespan() -> AsyncGenerator[None]:
        try:
            yield
        finally:
            await prices.close()
            cloud.close()

    return Spoke(
        name="google_cloud",
        version=__version__,
        instructions=INSTRUCTIONS,
        namespaces=("cloud.gcp",),
        tools=tuple(tool for family in families for tool in family.tools()),
        lifespan=lifespan,
        operations=(
            *ForeseenInstances(instances).operations(),
            *disks.operations(),
            *creating.operations(),
        ),
        credentials=credentials,
        discovery=Source(cloud).discovery(),
        not_configured=None if len(accounts) else "set up an account in config/google_cloud.yaml",
    )
