"""Deployments of ARM templates into a resource group: what one would do, and doing it."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Annotated, Any

from pydantic import Field, JsonValue

from azure_cloud import versions
from azure_cloud.choosing import Account
from azure_cloud.clouds import Cloud, Clouds
from azure_cloud.continuation import MAX_PAGE_BYTES, size_of
from azure_cloud.foreseeing import foresees, looking
from azure_cloud.ids import GroupName, ResourceName, group_id, path_of
from azure_cloud.long_operations import OperationHandle, begun, poll_after_s, problem_of, read
from azure_cloud.subscriptions import Subscription
from azure_cloud.templates import (
    MOST_CHANGES,
    Mode,
    ResourceChange,
    changes_of,
    checked,
    counted,
    diff_of,
    parameters_of,
    reads_keys,
)
from flotilla import (
    Context,
    InvalidArgument,
    Model,
    Preview,
    Tool,
    UpstreamError,
    reads,
    writes,
)
from flotilla.meta import members
from flotilla.operations import Operation
from flotilla.preview import Foreseen
from flotilla.secret_text import SecretText

DEPLOYMENTS = "Microsoft.Resources/deployments"
PLACEHOLDER = "Foreseen-1-Placeholder"
"""Stands for secrets in a what-if of an approval, which is not told them."""
MOST_POLL_S = 5.0
NO_VALUES = "The template reads keys by a list function: values are not shown."

Template = Annotated[
    dict[str, JsonValue], Field(description="A whole ARM template as a JSON object.")
]
Parameters = Annotated[
    dict[str, JsonValue],
    Field(max_length=256, description="Values by the names of the template's parameters."),
]
SecretParameters = Annotated[
    dict[str, SecretText],
    Field(
        max_length=64, description="The same of secureString parameters; handles may stand here."
    ),
]


class Foretold(Model):
    """What a deployment would change; `counts` has how many of each kind, also not shown ones."""

    counts: dict[str, int]
    changes: list[ResourceChange]
    truncated: bool = False
    note: str | None = None


class DeploymentAsked(Model):
    resource_group: str
    name: str
    template: dict[str, JsonValue]
    parameters: dict[str, JsonValue] = Field(default_factory=dict[str, JsonValue])
    mode: Mode = "Incremental"
    account: str | None = None
    subscription: str | None = None


class DeploymentTools:
    def __init__(
        self, clouds: Clouds, sleep: Callable[[float], Awaitable[None]] = asyncio.sleep
    ) -> None:
        self._clouds = clouds
        self._sleep = sleep

    def tools(self) -> tuple[Tool, ...]:
        names = "account subscription resourceGroup name template parameters mode"
        taken = {name: name for name in names.split()}
        return (
            reads("cloud.azure.previewDeployment", self.preview_deployment, long=True),
            writes(
                "cloud.azure.createDeployment",
                self.create_deployment,
                approval=True,
                preview=Preview(operation="preview.deployment", taken=taken),
                cost="what the template makes is paid for from then on",
                risk="in mode Complete all else in the resource group is deleted",
            ),
        )

    def operations(self) -> tuple[Operation, ...]:
        return (foresees("preview.deployment", DeploymentAsked, self.foresee),)

    async def preview_deployment(
        self,
        context: Context,
        resource_group: GroupName,
        template: Template,
        parameters: Parameters | None = None,
        secret_parameters: SecretParameters | None = None,
        mode: Mode = "Incremental",
        account: Account = None,
        subscription: Subscription = None,
    ) -> Foretold:
        """What a template would create, change and delete in a resource group (what-if).

        Nothing is changed. Azure's answer is a forecast: what it cannot foresee says Unsupported.
        """
        cloud = self._clouds.chosen(account)
        chosen = await cloud.subscriptions.chosen(subscription, context)
        secrets = secret_parameters or {}
        body = _body(template, parameters or {}, secrets, mode)
        answer = await self._what_if(cloud, chosen, resource_group, "preview", body, context)
        bare = reads_keys(template)
        changes = changes_of(answer, secrets.values(), bare=bare)
        kept: list[ResourceChange] = []
        size = 0
        for each in sorted(changes, key=lambda change: change.change in ("NoChange", "Ignore")):
            size += size_of(each)
            if len(kept) == MOST_CHANGES or size > MAX_PAGE_BYTES:
                break
            kept.append(each)
        return Foretold(
            counts=counted(changes),
            changes=kept,
            truncated=len(kept) < len(changes),
            note=NO_VALUES if bare else None,
        )

    async def create_deployment(
        self,
        context: Context,
        resource_group: GroupName,
        name: ResourceName,
        template: Template,
        parameters: Parameters | None = None,
        secret_parameters: SecretParameters | None = None,
        mode: Mode = "Incremental",
        confirm_deletion_in: Annotated[
            str | None,
            Field(
                description="Only of mode Complete: the resource group's name once more, in which"
                " all that the template does not have is deleted."
            ),
        ] = None,
        account: Account = None,
        subscription: Subscription = None,
    ) -> OperationHandle:
        """Deploy an ARM template into a resource group; previewDeployment says what it would do.

        Mode Incremental deletes nothing; Complete is refused without `confirmDeletionIn`. Answers
        at once with a handle that getOperation follows to its end.
        """
        if mode == "Complete" and confirm_deletion_in != resource_group:
            raise InvalidArgument(
                "mode Complete deletes all that the template does not have",
                hint="Say so with confirmDeletionIn, the group's name, or use Incremental.",
            )
        if mode != "Complete" and confirm_deletion_in is not None:
            raise InvalidArgument("confirmDeletionIn is for mode Complete")
        cloud = self._clouds.chosen(account)
        chosen = await cloud.subscriptions.chosen(subscription, context)
        body = _body(template, parameters or {}, secret_parameters or {}, mode)
        target = _deployment(chosen, resource_group, name)
        path = path_of(target)
        answer = await cloud.arm.ask("PUT", path, context, version=versions.RESOURCES, body=body)
        return begun(
            cloud.alias,
            cloud.arm.endpoint,
            answer,
            path=path,
            version=versions.RESOURCES,
            target=target,
            action="deploy",
        )

    async def foresee(self, asked: DeploymentAsked) -> Foreseen:
        """The what-if of this very deployment, secrets left out."""
        context = looking()
        cloud = self._clouds.chosen(asked.account)
        chosen = await cloud.subscriptions.chosen(asked.subscription, context)
        body = _body(asked.template, asked.parameters, {}, asked.mode, placeholder=PLACEHOLDER)
        answer = await self._what_if(cloud, chosen, asked.resource_group, asked.name, body, context)
        bare = reads_keys(asked.template)
        changes = changes_of(answer, [], bare=bare)
        counts = counted(changes)
        warnings = [NO_VALUES] if bare else []
        if asked.mode == "Complete":
            gone = [each.name for each in changes if each.change == "Delete"]
            warnings.append(
                f"Mode Complete deletes {len(gone)} resources: {', '.join(gone[:20]) or 'none'}."
            )
        if unsupported := counts.get("Unsupported"):
            warnings.append(f"Azure cannot foresee {unsupported} resources.")
        return Foreseen(
            action=f"Deploy a template into the resource group {asked.resource_group}, "
            f"mode {asked.mode}",
            target=f"{asked.name} ({_deployment(chosen, asked.resource_group, asked.name)})",
            state={"resourcesByChange": dict(counts)},
            diff=diff_of(changes) or "(no changes)",
            warnings=warnings,
        )

    async def _what_if(
        self,
        cloud: Cloud,
        subscription: str,
        group: str,
        name: str,
        body: dict[str, Any],
        context: Context,
    ) -> Any:
        """Azure's answer, waited for."""
        target = _deployment(subscription, group, name)
        path = path_of(target)
        body["properties"]["whatIfSettings"] = {"resultFormat": "FullResourcePayloads"}
        answer = await cloud.arm.ask(
            "POST", f"{path}/whatIf", context, version=versions.RESOURCES, body=body, reading=True
        )
        if answer.status == 202:
            handle = begun(
                cloud.alias,
                cloud.arm.endpoint,
                answer,
                path=path,
                version=versions.RESOURCES,
                target=target,
                action="whatIf",
            )
            place = read(handle.operation_id).path
            while answer.status == 202:
                await context.report(0, None, "Azure works out what would change.")
                await self._sleep(min(poll_after_s(answer), MOST_POLL_S))
                answer = await cloud.arm.ask("GET", place, context)
        told = members(answer.body)
        if str(told.get("status")).lower() != "succeeded":
            problem = problem_of(told) or {}
            raise UpstreamError(
                f"Azure: {problem.get('message', 'the what-if failed')}",
                details={"upstreamCode": problem.get("code", "unknown")},
            )
        return told


def _deployment(subscription: str, group: str, name: str) -> str:
    return f"{group_id(subscription, group)}/providers/{DEPLOYMENTS}/{name}"


def _body(
    template: dict[str, JsonValue],
    parameters: dict[str, JsonValue],
    secrets: dict[str, str],
    mode: Mode,
    *,
    placeholder: str | None = None,
) -> dict[str, Any]:
    given = parameters_of(checked(template), parameters, secrets, placeholder=placeholder)
    return {"properties": {"mode": mode, "template": template, "parameters": given}}
