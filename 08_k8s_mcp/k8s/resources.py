"""Any kind of object, custom resources too: listResources, getResource."""

import asyncio
from typing import Annotated, Any, Literal

import yaml
from pydantic import Field

from flotilla import (
    Context,
    Cursor,
    InvalidArgument,
    Limit,
    Model,
    Page,
    Tool,
    cut,
    reads,
)
from flotilla.json_text import to_json
from k8s.api import Cluster
from k8s.clusters import Clusters
from k8s.fields import outline, picked
from k8s.hiding import shown
from k8s.kinds import ResourceRef
from k8s.objects import Object, members, text
from k8s.parameters import (
    AllNamespaces,
    ClusterName,
    FieldSelector,
    KindName,
    LabelSelector,
    Namespace,
    ObjectName,
    scope_of,
)
from k8s.tables import Table, Wanted, fitting, rendered

MAX_OBJECT_BYTES = 8 * 1024 * 1024
MAX_CONTENT_BYTES = 40 * 1024
"""As JSON text its line breaks and quotes are two bytes each; all must stay within 48 KB."""
MAX_SHOWN_CHARS = 120

Fields = Annotated[
    list[Annotated[str, Field(min_length=1, max_length=300)]] | None,
    Field(
        max_length=20,
        description="Only these parts, by their paths: `spec.replicas`, `status.conditions`, "
        '`metadata.labels["app.kubernetes.io/name"]`.',
    ),
]
Wide = Annotated[bool, Field(description="Further columns, as `kubectl get -o wide` shows.")]
AsTable = Annotated[
    bool, Field(description="One aligned text in `table`, as kubectl prints it, and no items.")
]


class ResourceEntry(Model):
    """An object by its name, with the columns that its kind has."""

    namespace: str | None = None
    name: str
    cells: dict[str, str]


class ResourcePage(Page[ResourceEntry]):
    """A page; `table` is there instead of items where it was asked for."""

    kind: str
    table: str | None = None


class Resource(Model):
    """An object as text, without what is never shown."""

    api_version: str
    kind: str
    namespace: str | None = None
    name: str
    uid: str | None = None
    resource_version: str | None = None
    format: Literal["yaml", "json"]
    content: str
    truncated: bool = False
    outline: dict[str, int] | None = None
    """Where it was cut: the parts with their sizes in bytes, to be asked for with `fields`."""


class Resources:
    """Reads objects of any kind."""

    def __init__(self, clusters: Clusters) -> None:
        self._clusters = clusters

    def tools(self) -> tuple[Tool, ...]:
        return (
            reads(
                "infra.k8s.listResources",
                self.list_resources,
                title="List objects of any kind",
                untrusted=True,
            ),
            reads(
                "infra.k8s.getResource", self.get_resource, title="Read one object", untrusted=True
            ),
        )

    async def list_resources(
        self,
        context: Context,
        kind: KindName,
        cluster: ClusterName = None,
        namespace: Namespace = None,
        all_namespaces: AllNamespaces = False,
        label_selector: LabelSelector = None,
        field_selector: FieldSelector = None,
        wide: Wide = False,
        as_table: AsTable = False,
        limit: Limit = 50,
        cursor: Cursor = None,
    ) -> ResourcePage:
        """List objects of any kind, custom resources too, with the columns that kubectl shows.

        Of one namespace, or of all with allNamespaces. Values of Secrets are never shown. For one
        object in full use getResource.
        """
        client = await self._clusters.client(cluster)
        ref = await readable(client, kind, "list", context, namespace)
        where = scope_of(namespace, all_namespaces, client.namespace)
        if not ref.namespaced:
            where = None
        wanted = Wanted(
            path=ref.path(where), namespace=where, labels=label_selector, fields=field_selector
        )
        table, items = await fitting(
            client,
            wanted,
            lambda table: _entries(table, wide=wide),
            limit=limit,
            cursor=cursor,
            due=context.deadline,
        )
        drawn = None
        if as_table:
            columns = _columns(table, wide=wide)
            whole = rendered(columns, table.rows, namespaces=ref.namespaced and where is None)
            drawn, _ = cut(whole, MAX_CONTENT_BYTES)
        return ResourcePage(
            kind=ref.name,
            items=[] if as_table else items,
            returned=len(items),
            next_cursor=table.next_cursor,
            total=table.total,
            truncated=table.next_cursor is not None,
            table=drawn,
        )

    async def get_resource(
        self,
        context: Context,
        kind: KindName,
        name: ObjectName,
        cluster: ClusterName = None,
        namespace: Namespace = None,
        fields: Fields = None,
        output: Literal["yaml", "json"] = "yaml",
    ) -> Resource:
        """Read one object of any kind as YAML or JSON, at most 48 KB; `fields` picks parts of it.

        managedFields and the last-applied annotation are left out. Of a Secret the keys and sizes
        are shown and never the values; environment variables that look like secrets are hidden.
        """
        client = await self._clusters.client(cluster)
        ref = await readable(client, kind, "get", context, namespace)
        thing = members(
            await client.request(
                "GET",
                ref.path(namespace or client.namespace, name),
                due=context.deadline,
                limit_bytes=MAX_OBJECT_BYTES,
            )
        )
        # An object may be a megabyte: written as YAML that takes long enough to be felt.
        return await asyncio.to_thread(_written, ref, thing, fields, output)


def _columns(table: Table, *, wide: bool) -> tuple[str, ...]:
    return table.columns + table.wide if wide else table.columns


def _entries(table: Table, *, wide: bool) -> list[ResourceEntry]:
    columns = _columns(table, wide=wide)
    return [
        ResourceEntry(
            namespace=row.namespace or None,
            name=row.name,
            cells={
                column: row.cells[column][:MAX_SHOWN_CHARS]
                for column in columns
                if column != "Name" and column in row.cells
            },
        )
        for row in table.rows
    ]


async def readable(
    cluster: Cluster, kind: str, verb: str, context: Context, namespace: str | None
) -> ResourceRef:
    """The kind, if it can be read so.

    Raises InvalidArgument for one that cannot, and for a namespace where the kind has none: a rule
    that lets somebody look into one namespace must not let them at the nodes.
    """
    ref = await cluster.resource(kind, due=context.deadline)
    if namespace is not None and not ref.namespaced:
        raise InvalidArgument(f"{ref.kind} has no namespace; leave `namespace` out")
    if ref.verbs and verb not in ref.verbs:
        raise InvalidArgument(f"{ref.name} cannot be read with {verb}")
    return ref


def _written(
    ref: ResourceRef, thing: Object, fields: list[str] | None, output: Literal["yaml", "json"]
) -> Resource:
    clean = shown(thing)
    part: Any = {path: picked(clean, path) for path in fields} if fields else clean
    if output == "json":
        whole = to_json(part).decode()
    else:
        whole = yaml.dump(
            part, Dumper=_dumper(), sort_keys=False, allow_unicode=True, default_flow_style=False
        )
    content, truncated = cut(whole, MAX_CONTENT_BYTES)
    meta = members(thing, "metadata")
    return Resource(
        api_version=ref.api_version,
        kind=ref.kind,
        namespace=text(meta.get("namespace")) or None,
        name=text(meta.get("name")),
        uid=text(meta.get("uid")) or None,
        resource_version=text(meta.get("resourceVersion")) or None,
        format=output,
        content=content,
        truncated=truncated,
        outline=outline(clean) if truncated else None,
    )


def _dumper() -> Any:
    """libyaml's, ten times as fast, where it is there."""
    return getattr(yaml, "CSafeDumper", yaml.SafeDumper)
