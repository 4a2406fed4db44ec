"""Look at and operate Azure: subscriptions, resources, virtual machines, deployments and cost."""

from azure_cloud.account import accounts_of
from azure_cloud.clouds import Clouds
from azure_cloud.machine_tools import MachineTools
from azure_cloud.operation_tools import OperationTools
from azure_cloud.power_tools import PowerTools
from azure_cloud.settings import Settings
from azure_cloud.subscription_tools import SubscriptionTools
from flotilla import CommonSettings, Spoke, __version__
from flotilla.credentials import Credentials

INSTRUCTIONS = """\
Azure by Resource Manager. listSubscriptions gives the values of `subscription`; lists are short,
get tools tell the rest, queryResources answers questions over everything at once. What takes its
time answers with a handle at once: follow it with getOperation, and report nothing as done before
it says succeeded."""


def build(settings: Settings, common: CommonSettings | None = None) -> Spoke:
    """The spoke as `settings` have it; `common` is read from the environment unless given."""
    accounts = accounts_of(settings, common or CommonSettings.from_env())
    credentials = Credentials(accounts.needs())
    clouds = Clouds(accounts, credentials, request_timeout_s=settings.request_timeout_s)
    power = PowerTools(clouds)
    families = (
        SubscriptionTools(clouds),
        MachineTools(clouds),
        OperationTools(clouds),
        power,
    )
    return Spoke(
        name="azure",
        version=__version__,
        instructions=INSTRUCTIONS,
        namespaces=("cloud.azure",),
        tools=tuple(tool for family in families for tool in family.tools()),
        lifespan=clouds.opened,
        not_configured=None if len(clouds) else NOT_CONFIGURED,
        credentials=credentials,
        operations=power.operations(),
    )


NOT_CONFIGURED = (
    "set up an account in config/azure.yaml, or sign the SDK in by AZURE_TENANT_ID, "
    "AZURE_CLIENT_ID and a secret, or by a managed identity"
)
