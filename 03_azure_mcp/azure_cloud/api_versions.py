"""Which API version a type of resource is asked with: its provider says so."""

from collections.abc import Iterable

from azure_cloud import versions
from azure_cloud.arm import Arm
from azure_cloud.ids import ResourceId
from azure_cloud.reading import each_of, text_at
from flotilla import Context, InvalidArgument

_OURS = {
    "microsoft.resources/subscriptions": versions.SUBSCRIPTIONS,
    "microsoft.resources/resourcegroups": versions.RESOURCES,
    "microsoft.resources/deployments": versions.RESOURCES,
    "microsoft.compute/virtualmachines": versions.COMPUTE,
    "microsoft.storage/storageaccounts": versions.STORAGE,
}
_OURS_WITHIN = {"microsoft.network/": versions.NETWORK}


class ApiVersions:
    """Those of the types that were asked for, by provider; what a provider says is kept."""

    def __init__(self) -> None:
        self._known: dict[tuple[str, str], dict[str, str]] = {}

    async def of(self, arm: Arm, resource: ResourceId, context: Context) -> str:
        """The newest that is no preview; InvalidArgument for a type that is not known."""
        kind = resource.type.lower()
        if kind in _OURS:
            return _OURS[kind]
        for start, version in _OURS_WITHIN.items():
            if kind.startswith(start):
                return version
        provider, _, inner = kind.partition("/")
        known = self._known.get((arm.alias, provider))
        if known is None:
            path = f"/subscriptions/{resource.subscription}/providers/{provider}"
            told = await arm.get(path, versions.RESOURCES, context)
            known = {
                str(text_at(each, "resourceType")).lower(): newest(each.get("apiVersions") or [])
                for each in each_of(told.get("resourceTypes"))
            }
            self._known[arm.alias, provider] = known
        version = known.get(inner)
        if not version:
            raise InvalidArgument(
                f"Azure's provider {provider} knows no type {inner!r}",
                hint="Pass `id` of listResources unchanged.",
            )
        return version


def newest(found: Iterable[str]) -> str:
    """The newest version that is no preview; the newest preview where there is nothing else."""
    ordered = sorted(found, reverse=True)
    stable = [each for each in ordered if "preview" not in each.lower()]
    return (stable or ordered or [""])[0]
