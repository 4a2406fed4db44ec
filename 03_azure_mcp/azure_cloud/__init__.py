"""Look at and operate Azure: subscriptions, resources, virtual machines, deployments and cost."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from azure_cloud.account import accounts_of
from azure_cloud.changing_tools import ChangingTools
from azure_cloud.clouds import Clouds
from azure_cloud.cost_tools import CostTools
from azure_cloud.deployment_tools import DeploymentTools
from azure_cloud.discovering import Discoverer
from azure_cloud.group_tools import GroupTools
from azure_cloud.machine_tools import MachineTools
from azure_cloud.making_tools import MakingTools
from azure_cloud.network_tools import NetworkTools
from azure_cloud.operation_tools import OperationTools
from azure_cloud.power_tools import PowerTools
from azure_cloud.prices import Prices
from azure_cloud.query_tools import QueryTools
from azure_cloud.resource_tools import ResourceTools
from azure_cloud.settings import Settings
from azure_cloud.signing_in import known_secrets
from azure_cloud.subscription_tools import SubscriptionTools
from flotilla import CommonSettings, Spoke, __version__
from flotilla.credentials import Credentials

INSTRUCTIONS = """\
Azure by Resource Manager. listSubscriptions gives the values of `subscription`; lists are short,
get tools tell the rest, queryResources answers questions over everything at once. What takes its
time answers with a handle at once: follow it with getOperation, and report nothing as done before
it says succeeded."""

NOT_CONFIGURED = (
    "set up an account in config/azure.yaml, or sign the SDK in by AZURE_TENANT_ID, "
    "AZURE_CLIENT_ID and a secret, or by a managed identity"
)


def build(settings: Settings, common: CommonSettings | None = None) -> Spoke:
    """The spoke as `settings` have it; `common` is read from the environment unless given."""
    accounts = accounts_of(settings, common or CommonSettings.from_env())
    credentials = Credentials(accounts.needs())
    clouds = Clouds(accounts, credentials, request_timeout_s=settings.request_timeout_s)
    prices = Prices(settings.retail_prices_url, settings.retail_prices_trusted)
    reading = (
        SubscriptionTools(clouds),
        MachineTools(clouds),
        NetworkTools(clouds),
        QueryTools(clouds),
        CostTools(clouds),
        OperationTools(clouds),
    )
    changing = (
        ResourceTools(clouds),
        GroupTools(clouds),
        PowerTools(clouds),
        ChangingTools(clouds, prices),
        MakingTools(clouds, prices),
        DeploymentTools(clouds),
    )

    @asynccontextmanager
    async def lifespan() -> AsyncGenerator[None]:
        async with clouds.opened(), prices.opened():
            yield

    return Spoke(
        name="azure",
        version=__version__,
        instructions=INSTRUCTIONS,
        namespaces=("cloud.azure",),
        tools=tuple(tool for family in (*reading, *changing) for tool in family.tools()),
        lifespan=lifespan,
        not_configured=None if len(clouds) else NOT_CONFIGURED,
        secrets=known_secrets(account for _, account in accounts),
        credentials=credentials,
        operations=tuple(each for family in changing for each in family.operations()),
        discovery=Discoverer(clouds).source(),
    )
