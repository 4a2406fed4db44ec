"""How ServiceNow identifies and reconciles: by source, by serial number, by name; item by item."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.backends.servicenow_server import ServiceNow

RULES: dict[str, list[list[str]]] = {
    "cmdb_ci_hardware": [["serial_number"], ["name"]],
    "cmdb_ci_vm_instance": [["vm_inst_id"], ["name"]],
    "cmdb_ci_appl": [["name"]],
    "cmdb_ci_kubernetes_cluster": [["name"]],
}
SOURCES = ("Other Automated", "Flotilla")


class Identification:
    """`masked` are fields that a reconciliation rule keeps from this source."""

    def __init__(self, instance: "ServiceNow") -> None:
        self._instance = instance
        self.masked: set[str] = set()
        self.all_or_nothing = False
        """One item with an error keeps the whole payload from being committed."""
        self.loses_values = False
        """It says that it has changed a CI and does not."""
        self.commits = 0
        self.after_commit: Callable[[int], object] = lambda _number: None
        """Told how many commits there were."""
        self._by_source: dict[tuple[str, str], str] = {}

    def done(self, payload: Any, source: str | None, *, commits: bool) -> dict[str, Any]:
        items = payload["items"]
        told = [self._identified(index, item, source) for index, item in enumerate(items)]
        failed = any(one["errors"] for one in told)
        commits = commits and not (failed and self.all_or_nothing)
        for item, one in zip(items, told, strict=True):
            if not one["errors"]:
                self._reconciled(item, one, source or "", commits=commits)
        relations = [
            self._related(index, relation, told, commits=commits)
            for index, relation in enumerate(payload.get("relations", ()))
        ]
        failed = failed or any(one["errors"] for one in relations)
        if commits:
            self.commits += 1
            self.after_commit(self.commits)
        return {
            "items": told,
            "relations": relations,
            "additionalCommittedItems": [],
            "hasError": failed,
        }

    def _identified(self, index: int, item: Any, source: str | None) -> dict[str, Any]:
        from tests.backends.servicenow_server import PARENTS, fields_of, lineage

        name, values = item["className"], item["values"]
        told: dict[str, Any] = {
            "className": name,
            "operation": "INSERT",
            "sysId": "Unknown",
            "identifierEntrySysId": "Unknown",
            "identificationAttempts": [],
            "errors": [],
            "warnings": [],
            "inputIndices": [index],
        }
        errors: list[dict[str, str]] = told["errors"]
        if source not in SOURCES:
            why = f"In payload invalid data source [{source}] exist"
            errors.append({"error": "INVALID_INPUT_DATA", "message": why})
            return told
        rule = (
            next((one for one in lineage(name) if one in RULES), None) if name in PARENTS else None
        )
        if rule is None:
            why = f"Identity Rule Missing for table [{name}]"
            errors.append({"error": "IDENTIFICATION_RULE_MISSING", "message": why})
            return told
        unknown = values.keys() - set(fields_of(name))
        told["warnings"] += [{"error": "INVALID_FIELD", "message": one} for one in sorted(unknown)]
        self._match(rule, item, told)
        return told

    def _match(self, rule: str, item: Any, told: dict[str, Any]) -> None:
        values: dict[str, Any] = item["values"]
        known: dict[str, str] = item.get("sys_object_source_info") or {}
        key = (known.get("source_name", ""), known.get("source_native_key", ""))
        attempts: list[dict[str, Any]] = told["identificationAttempts"]
        by_source = self._by_source.get(key)
        found = by_source if by_source in self._instance.rows else None
        result = "MATCHED" if found else "NO_MATCH"
        attempts.append({"info": "sys_object_source", "attributes": [], "attemptResult": result})
        complete = found is not None
        for attributes in RULES[rule]:
            if found:
                break
            attempt = {"identifierName": f"{rule} rule", "attributes": attributes}
            if not all(values.get(one) for one in attributes):
                attempts.append({**attempt, "attemptResult": "SKIPPED"})
                continue
            complete = True
            matches = [
                row["sys_id"]
                for row in self._instance.of(rule)
                if all(
                    row.get(one, "").casefold() == str(values[one]).casefold() for one in attributes
                )
            ]
            if len(matches) > 1:
                why = f"Found duplicate records in table [{rule}]"
                told["errors"].append({"error": "DUPLICATE_RECORDS", "message": why})
                return
            found = matches[0] if matches else None
            result = "MATCHED" if found else "NO_MATCH"
            attempts.append({**attempt, "attemptResult": result, "searchOnTable": rule})
        if not complete:
            why = "In payload missing minimum set of input values for criterion attributes"
            told["errors"] += [
                {"error": "MISSING_MATCHING_ATTRIBUTES", "message": why},
                {"error": "ABANDONED", "message": "Too many other errors"},
            ]
        if found:
            told["sysId"] = found

    def _reconciled(self, item: Any, told: dict[str, Any], source: str, *, commits: bool) -> None:
        from tests.backends.servicenow_server import fields_of

        instance = self._instance
        known: dict[str, str] = item.get("sys_object_source_info") or {}
        given = {k: str(v) for k, v in item["values"].items() if k in fields_of(item["className"])}
        values = {k: v for k, v in given.items() if k not in self.masked}
        if masked := sorted(given.keys() & self.masked):
            told["maskedAttributes"] = masked
        sys_id = told["sysId"]
        if sys_id == "Unknown":
            if commits:
                told["sysId"] = instance.add(item["className"], **values, discovery_source=source)
        else:
            row = instance.rows[sys_id]
            changed = {k: v for k, v in values.items() if row.get(k) != v}
            told["operation"] = "UPDATE" if changed else "NO_CHANGE"
            if commits and not self.loses_values:
                row.update(changed)
        if commits and known.get("source_native_key"):
            self._by_source[known["source_name"], known["source_native_key"]] = told["sysId"]

    def _related(
        self, index: int, relation: Any, items: list[dict[str, Any]], *, commits: bool
    ) -> dict[str, Any]:
        instance = self._instance
        told: dict[str, Any] = {
            "className": "cmdb_rel_ci",
            "operation": "INSERT",
            "sysId": "Unknown",
            "errors": [],
            "inputIndices": [index],
        }
        names = [row["name"] for row in instance.of("cmdb_rel_type")]
        ends: list[dict[str, Any]] = [items[relation["parent"]], items[relation["child"]]]
        if relation["type"] not in names:
            why = f"No such relationship {relation['type']} in cmdb_rel_type"
            told["errors"] = [{"error": "INVALID_INPUT_DATA", "message": why}]
            return told
        if any(end["errors"] for end in ends):
            told["errors"] = [{"error": "ABANDONED", "message": "Too many other errors"}]
            return told
        parent, child = (end["sysId"] for end in ends)
        for row in instance.of("cmdb_rel_ci"):
            kind = instance.rows[row["type"]]["name"]
            if (row["parent"], row["child"], kind) == (parent, child, relation["type"]):
                return {**told, "operation": "NO_CHANGE", "sysId": row["sys_id"]}
        if commits:
            told["sysId"] = instance.relate(parent, relation["type"], child)
        return told
