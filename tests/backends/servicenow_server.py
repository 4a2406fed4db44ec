"""A ServiceNow of ours: Table API, identification and reconciliation, OAuth, rate limits, ACLs.

    instance = ServiceNow(folder)
    async with instance.server.running():
        instance.server.url, instance.server.trusted
        instance.add("cmdb_ci_server", name="web-1", serial_number="S1")    # -> sys_id
        instance.hidden.add(sys_id)         # an ACL keeps it back, behind the limit
        instance.page = "hibernating"       # what it serves instead of its interface
        instance.server.faults.hang("/table/")

Written from its documentation and public answers of real instances, apart from the code under test.
"""

import base64
import json
import secrets
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from aiohttp import web

from tests.backends.servicenow_identify import Identification
from tests.backends.servicenow_query import parsed, put_in_order
from tests.backends.tls_server import TlsServer

USER, PASSWORD = "flotilla", "s3cret-Of-Basic"
CLIENT, CLIENT_SECRET = "c11e47", "s3cret-Of-Client"
REFRESH = "r3fresh-Token-Of-Ours"

PARENTS = {
    "cmdb_ci": None,
    "cmdb_ci_hardware": "cmdb_ci",
    "cmdb_ci_computer": "cmdb_ci_hardware",
    "cmdb_ci_server": "cmdb_ci_computer",
    "cmdb_ci_linux_server": "cmdb_ci_server",
    "cmdb_ci_win_server": "cmdb_ci_server",
    "cmdb_ci_netgear": "cmdb_ci_hardware",
    "cmdb_ci_vm_object": "cmdb_ci",
    "cmdb_ci_vm_instance": "cmdb_ci_vm_object",
    "cmdb_ci_vmware_instance": "cmdb_ci_vm_instance",
    "cmdb_ci_appl": "cmdb_ci",
    "cmdb_ci_db_instance": "cmdb_ci_appl",
    "cmdb_ci_kubernetes_cluster": "cmdb_ci",
    "cmdb_rel_ci": None,
    "cmdb_rel_type": None,
    "core_company": None,
    "sys_user": None,
    "sys_dictionary": None,
}
BASE = ("sys_id", "sys_updated_on", "sys_created_by")
_OF_ALL = (
    "name sys_class_name short_description operational_status install_status ip_address "
    "mac_address fqdn serial_number environment owned_by location manufacturer model_id "
    "discovery_source comments"
)
FIELDS: dict[str, tuple[str, ...]] = {
    "cmdb_ci": tuple(_OF_ALL.split()),
    "cmdb_ci_computer": ("os", "os_version", "cpu_count", "ram", "disk_space", "admin_password"),
    "cmdb_ci_netgear": ("ports", "firmware_version", "snmp_community"),
    "cmdb_ci_vm_instance": ("vm_inst_id", "cpus", "memory", "disks_size"),
    "cmdb_ci_appl": ("version", "vendor", "tcp_port"),
    "cmdb_rel_ci": ("parent", "child", "type"),
    "cmdb_rel_type": ("name", "parent_descriptor", "child_descriptor"),
    "core_company": ("name",),
    "sys_user": ("name", "user_name", "email", "user_password"),
    "sys_dictionary": ("name", "element", "internal_type"),
}
REFERENCES = {
    "owned_by": "sys_user",
    "manufacturer": "core_company",
    "vendor": "core_company",
    "parent": "cmdb_ci",
    "child": "cmdb_ci",
    "type": "cmdb_rel_type",
}
CHOICES = {"operational_status": {"1": "Operational", "2": "Non-Operational"}}
PASSWORDS = (("cmdb_ci_computer", "admin_password"), ("cmdb_ci_netgear", "snmp_community"))
"""Fields of the type password2; the name of the second does not say so by itself."""
RELATION_TYPES = (
    "Runs on::Runs",
    "Hosted on::Hosts",
    "Depends on::Used by",
    "Contains::Contained by",
    "Connects to::Connected by",
    "Uses::Used by",
    "Members::Member of",
    "Cools::Cooled By",
)
PAGES = {
    "hibernating": "<html><title>Instance Hibernating page</title>Your instance is hibernating",
    "login": "<!DOCTYPE html><html><body><form action='login.do'>Log in</form></body></html>",
}


@dataclass
class ServiceNow:
    folder: Path
    basic: bool = True
    rows: dict[str, dict[str, str]] = field(default_factory=dict[str, dict[str, str]])
    tables: dict[str, set[str]] = field(default_factory=dict[str, set[str]])
    hidden: set[str] = field(default_factory=set[str])
    closed_tables: set[str] = field(default_factory=set[str])
    closed_fields: set[str] = field(default_factory=set[str])
    page: str | None = None
    cancels: int = 0
    """So many answers of the Table API end in a cancelled transaction, under 200."""
    token_life_s: float = 1800
    tokens: dict[str, float] = field(default_factory=dict[str, float])
    tokens_given: int = 0

    def __post_init__(self) -> None:
        application = web.Application(client_max_size=64 * 1024 * 1024)
        application.router.add_get("/api/now/table/{table}", self._list)
        self.identification = Identification(self)
        for path in ("", "/query"):
            application.router.add_post(f"/api/now/identifyreconcile{path}", self._identify)
        application.router.add_post("/oauth_token.do", self._token)
        self.server = TlsServer(application, self.folder)
        self.server.faults.body_of_status = lambda status: _error(f"refused with {status}", None)
        for name in RELATION_TYPES:
            one, other = name.split("::")
            self.add("cmdb_rel_type", name=name, parent_descriptor=one, child_descriptor=other)
        for table, element in PASSWORDS:
            self.add("sys_dictionary", name=table, element=element, internal_type="password2")

    # --- what it holds -----------------------------------------------------------------------

    def add(self, table: str, sys_id: str | None = None, **values: str) -> str:
        made = sys_id or secrets.token_hex(16)
        row = dict.fromkeys(fields_of(table), "")
        row |= {"sys_id": made, **({"sys_class_name": table} if is_ci(table) else {}), **values}
        unknown = row.keys() - set(fields_of(table))
        assert not unknown, unknown
        self.rows[made] = row
        for one in lineage(table):
            self.tables.setdefault(one, set()).add(made)
        return made

    def relate(self, parent: str, name: str, child: str) -> str:
        kind = next(i for i in self.tables["cmdb_rel_type"] if self.rows[i]["name"] == name)
        return self.add("cmdb_rel_ci", parent=parent, child=child, type=kind)

    def of(self, table: str) -> list[dict[str, str]]:
        return [self.rows[sys_id] for sys_id in sorted(self.tables.get(table, ()))]

    def read(self, sys_id: str, name: str) -> str | None:
        """A field, through references too; None where there is no such field."""
        row = self.rows.get(sys_id)
        first, dot, rest = name.partition(".")
        if row is None:
            return ""
        if first not in row:
            return None
        if not dot:
            return row[first]
        if first not in REFERENCES:
            return None
        return self.read(row[first], rest) if row[first] else ""

    def selected(self, table: str, query: str) -> list[str]:
        def is_field(name: str) -> bool:
            first, _, rest = name.partition(".")
            return first in fields_of(table) and (
                not rest or rest.partition(".")[0] in fields_of(REFERENCES.get(first, ""))
            )

        asked = parsed(query, is_field)
        found = [
            one
            for one in self.tables.get(table, ())
            if asked.holds(lambda name, one=one: self.read(one, name))
        ]
        return put_in_order(found, asked.order, lambda one, name: self.read(one, name) or "")

    # --- the door ------------------------------------------------------------------------------

    def _refused(self, request: web.Request) -> web.Response | None:
        if self.page is not None:
            return web.Response(text=PAGES[self.page], content_type="text/html")
        kind, _, value = request.headers.get("Authorization", "").partition(" ")
        pair = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        if self.basic and (kind, value) == ("Basic", pair):
            return None
        if kind == "Bearer" and self.tokens.get(value, 0) > time.monotonic():
            return None
        told = _error("User Not Authenticated", "Required to provide Auth information")
        return web.Response(status=401, body=told, content_type="application/json")

    async def _token(self, request: web.Request) -> web.Response:
        form = {key: values[0] for key, values in parse_qs((await request.read()).decode()).items()}
        client = (form.get("client_id"), form.get("client_secret")) == (CLIENT, CLIENT_SECRET)
        grants: dict[str, bool] = {
            "client_credentials": True,
            "password": (form.get("username"), form.get("password")) == (USER, PASSWORD),
            "refresh_token": form.get("refresh_token") == REFRESH,
        }
        if not client or not grants.get(form.get("grant_type", ""), False):
            told = {"error": "access_denied", "error_description": f"no {form}"}
            return web.json_response(told, status=401)
        self.tokens_given += 1
        made = f"tok-{secrets.token_urlsafe(24)}"
        self.tokens[made] = time.monotonic() + self.token_life_s
        return web.json_response(
            {
                "access_token": made,
                "scope": "useraccount",
                "token_type": "Bearer",
                "expires_in": self.token_life_s,
            }
        )

    # --- the Table API -------------------------------------------------------------------------

    async def _list(self, request: web.Request) -> web.Response:
        refused = self._refused(request)
        if refused is not None:
            return refused
        table = request.match_info["table"]
        if table not in PARENTS:
            return _answer(400, _error(f"Invalid table {table}", None))
        if table in self.closed_tables:
            why = "Failed API level ACL Validation"
            return _answer(403, _error("User Not Authorized", why))
        asked = request.query
        found = self.selected(table, asked.get("sysparm_query", ""))
        offset, limit = int(asked.get("sysparm_offset", 0)), int(asked.get("sysparm_limit", 10_000))
        window = [one for one in found[offset : offset + limit] if one not in self.hidden]
        wanted = [name for name in asked.get("sysparm_fields", "").split(",") if name]
        shown = self._shown(asked)
        rows = [self._row(one, wanted or list(self.rows[one]), shown) for one in window]
        if self.cancels > 0:
            self.cancels -= 1
            why = "Transaction cancelled: maximum execution time exceeded"
            half = {"result": rows[: len(rows) // 2], **json.loads(_error(why, why))}
            return _answer(200, json.dumps(half).encode())
        headers = {"X-Total-Count": str(len(found)), "X-Transaction-ID": secrets.token_hex(6)}
        return _answer(200, json.dumps({"result": rows}).encode(), headers)

    def _shown(self, asked: Mapping[str, str]) -> Callable[[str, str], Any]:
        kind = asked.get("sysparm_display_value", "false")
        link = asked.get("sysparm_exclude_reference_link") != "true"

        def shown(name: str, value: str) -> Any:
            last = name.rpartition(".")[2]
            display = CHOICES.get(last, {}).get(value, value)
            if last in REFERENCES and value:
                display = self.read(value, "name") or value
            if kind == "all":
                return {"display_value": display, "value": value}
            text = display if kind == "true" else value
            if link and last in REFERENCES and value:
                return {
                    "link": f"https://x/api/now/table/{REFERENCES[last]}/{value}",
                    "value": text,
                }
            return text

        return shown

    def _row(
        self, sys_id: str, wanted: Iterable[str], shown: Callable[[str, str], Any]
    ) -> dict[str, Any]:
        row: dict[str, Any] = {}
        for name in wanted:
            value = self.read(sys_id, name)
            if value is not None and name not in self.closed_fields:
                row[name] = shown(name, value)
        return row

    # --- identification and reconciliation ---------------------------------------------------

    async def _identify(self, request: web.Request) -> web.Response:
        refused = self._refused(request)
        if refused is not None:
            return refused
        try:
            payload = json.loads(await request.read())
        except ValueError:
            return _answer(400, _error("Exception while reading request", "not JSON"))
        commits = not request.path.endswith("/query")
        source = request.query.get("sysparm_data_source")
        told = self.identification.done(payload, source, commits=commits)
        return _answer(200, json.dumps({"result": told}).encode())


def lineage(table: str) -> list[str]:
    """The table and what it extends."""
    found = [table]
    while (above := PARENTS[found[-1]]) is not None:
        found.append(above)
    return found


def is_ci(table: str) -> bool:
    return "cmdb_ci" in lineage(table)


def fields_of(table: str) -> list[str]:
    if table not in PARENTS:
        return []
    return [*BASE, *(name for one in lineage(table) for name in FIELDS.get(one, ()))]


def _error(message: str, detail: str | None) -> bytes:
    error = {"message": message, "detail": detail}
    return json.dumps({"error": error, "status": "failure"}).encode()


def _answer(status: int, body: bytes, headers: Mapping[str, str] | None = None) -> web.Response:
    return web.Response(status=status, body=body, headers=headers, content_type="application/json")
