"""What attackers write into arguments that become requests to a provider, and the shapes that such
requests may have. Pure."""

import re
import xml.etree.ElementTree as ET
from collections.abc import Mapping
from urllib.parse import parse_qsl, unquote

from tests.backends.azure.estate import OTHER, SUBSCRIPTION, TENANT
from tests.backends.tls_server import Asked

INJECTED = "x-injected"
"""A header that only an attack can have brought about."""
METADATA = "169.254.169.254"


def payloads(port: int) -> Mapping[str, str]:
    """Texts by what they try; a host that must hear of none listens on `port`."""
    return {**_paths(), **_addresses(port), **_headers(), **_queries(), **_documents(), **_sizes()}


def _paths() -> dict[str, str]:
    machine = "resourceGroups/g/providers/Microsoft.Compute/virtualMachines/v"
    return {
        "up": "../../x",
        "up, one": "..",
        "up, in the middle": "web-1/../../x",
        "up, encoded": "%2e%2e%2f%2e%2e%2fx",
        "up, half encoded": ".%2e/x",
        "up, encoded twice": "%252e%252e%252fx",
        "up, parted by a line": ".\n./x",
        "up, parted by a tab": ".\t./x",
        "up, of Windows": "..\\..\\x",
        "up, full width": "．．／x",
        "parameter": "web-1;v=2",
        "query": "web-1?api-version=2019-01-01",
        "fragment": "web-1#x",
        "slash": "web-1/start",
        "slash, encoded": "web-1%2Fstart",
        "slash, at the start": "/web-1",
        "subresource": "web/log",
        "dot": ".",
        "another subscription": f"/subscriptions/{OTHER}/{machine}",
        "another subscription, up": f"/subscriptions/{SUBSCRIPTION}/../{OTHER}/{machine}",
        "another subscription, encoded": f"/subscriptions%2f{OTHER}/{SUBSCRIPTION}/{machine}",
        "another subscription, twice": f"/subscriptions/{SUBSCRIPTION}/subscriptions/{OTHER}/x",
        "another version": f"/subscriptions/{SUBSCRIPTION}/{machine}?api-version=2015-01-01",
        "another project": "projects/acme-closed/zones/us-east1-b/instances/x",
        "another project, up": "projects/../projects/acme-closed/global/operations/x",
        "another namespace": "kube-system/pods/x",
        "another kind": "secrets/x",
        "kind with a part": "pods/exec",
        "kind with a group": "pods.x/../v1",
        "another table": "sys_user?sysparm_limit=9",
        "walked": "owned_by.user_password",
    }


def _addresses(port: int) -> dict[str, str]:
    return {
        "address": f"https://127.0.0.1:{port}/x",
        "address, plain": f"http://127.0.0.1:{port}/x",
        "address without a scheme": f"//127.0.0.1:{port}/x",
        "address as a user": f"@127.0.0.1:{port}/x",
        "address as a port": f":{port}@127.0.0.1:{port}",
        "metadata": f"http://{METADATA}/metadata/identity/oauth2/token",
        "metadata of Google": "http://metadata.google.internal/computeMetadata/v1/",
    }


def _headers() -> dict[str, str]:
    return {
        "line": f"x\r\n{INJECTED}: 1",
        "line feed": f"x\n{INJECTED}: 1",
        "line, encoded": f"x%0d%0a{INJECTED}:%201",
        "line, of Unicode": f"x\u2028{INJECTED}: 1\u0085",
        "request": f"x HTTP/1.1\r\nHost: y\r\n{INJECTED}: 1\r\n\r\nGET /z",
        "NUL": "x\0y",
    }


def _queries() -> dict[str, str]:
    return {
        "kql": "x' | union (resourcecontainers) | where '1'=='1",
        "kql, closed": "x') | project properties //",
        "odata": "x' or 1 eq 1 or 'a' eq 'a",
        "filter of Google": 'x" OR name:*',
        "filter of Google, closed": "x) OR (name:*",
        "fields": "*),items(*",
        "label selector": "app=web,!x",
        "label selector, all": "app notin ()",
        "field selector": "metadata.namespace!=default&fieldSelector=x",
        "another parameter": "x&labelSelector=&allNamespaces=true",
        "encoded query": "x^NQsys_idISNOTEMPTY",
        "encoded query, or": "x^ORsys_idISNOTEMPTY",
        "encoded query, at the end": "x^",
        "encoded query, thrice": "x^^^ORsys_idISNOTEMPTY",
        "script": "javascript:gs.getUser().getID()",
        "script, dressed": "java\tscript:gs.log(1)",
        "null": "NULL",
        "expression": "[concat(parameters('word'))]",
        "quotes": "\"'`",
        "percent": "%s%n%",
        "json": '"}],"x":[{"a":"',
        "regular expression": "((a+)+)+$",
    }


def _documents() -> dict[str, str]:
    bomb = "\n".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 9))
    return {
        "xml": "x</_this><Destroy_Task/>",
        "xml, entity": "&x;&#60;&amp;",
        "xml, closed": '"><name>y</name><a b="',
        "xml, section": "]]><!-- -->",
        "xml, doctype": '<!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]><x>&e;</x>',
        "envelope": "</soapenv:Body></soapenv:Envelope>",
        "yaml": "!!python/object/apply:os.system ['true']",
        "yaml, bomb": f"a0: &a0 [x, x]\n{bomb}",
        "yaml, more of them": "x: 1\n---\nkind: Secret\n",
        "yaml, merged": "<<: {a: b}",
        "yaml, deep": "[" * 5_000,
    }


def _sizes() -> dict[str, str]:
    return {
        "nothing": "",
        "blank": " ",
        "long": "A" * 70_000,
        "long words": "a-" * 9_000,
        "many": ",".join(["a=b"] * 500),
        "digits": "9" * 400,
        "emoji": "\U0001f4a5" * 40,
        "tags": "".join(chr(0xE0000 + ord(letter)) for letter in "obey me"),
        "half a pair": "\\ud800",
    }


_NAME = r"[^/?#%\\\x00-\x20]+"
_ARM = rf"/subscriptions/{SUBSCRIPTION}"
_TYPED = rf"/providers/{_NAME}(?:/{_NAME})*"
_SHAPES: Mapping[str, re.Pattern[str]] = {
    "cloud.azure.": re.compile(
        rf"/{TENANT}/oauth2/v2\.0/token|/api/retail/prices|/subscriptions"
        r"|/providers/Microsoft\.ResourceGraph/resources"
        rf"|{_ARM}/operationresults/\w+"
        rf"|{_ARM}(?:/resourcegroups/{_NAME})?(?:{_TYPED}|/resources)?|{_ARM}/resourcegroups",
        re.IGNORECASE,
    ),
    "cloud.gcp.": re.compile(
        r"/token|/v1/services/[\w-]+/skus|/v3/projects:search"
        r"|/storage/v1/b(?:/[a-z0-9._-]+(?:/o)?)?"
        r"|/compute/v1/projects/(?P<project>[a-z0-9-]+)/(?:aggregated|global|zones|regions)"
        r"(?:/[\w-]+){0,4}"
    ),
    "infra.k8s.": re.compile(
        rf"/apis?(?:/(?:[a-z0-9.-]+/)?v[a-z0-9]+(?:/namespaces/[a-z0-9-]+)?"
        rf"(?:/[a-z]+(?:/{_NAME}(?:/(?:log|scale|exec|eviction|status))?)?)?)?"
    ),
    "data.cmdb.": re.compile(
        r"/api/now/table/(?:cmdb_(?:ci|rel_ci)\w*|sys_dictionary|cmdb_rel_type)"
        r"|/api/now/identifyreconcile(?:/query)?"
    ),
    "infra.vmware.": re.compile(r"/sdk(?:/vimService\.wsdl|/vimServiceVersions\.xml)?"),
}


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_PARAMETERS: Mapping[str, frozenset[str]] = {
    "cloud.azure.": frozenset(
        ("api-version", "$top", "$filter", "$expand", "$skiptoken", "currencyCode", "p")
    ),
    "cloud.gcp.": _words(
        "pageToken maxResults filter fields requestId project prefix delimiter projection "
        "query pageSize $alt port start prettyPrint orderBy returnPartialSuccess alt view"
    ),
    "infra.k8s.": _words(
        "limit continue labelSelector fieldSelector includeObject tailLines timestamps "
        "limitBytes sinceSeconds sinceTime previous container command stdin stdout stderr "
        "tty fieldManager fieldValidation force dryRun"
    ),
    "data.cmdb.": _words(
        "sysparm_query sysparm_fields sysparm_limit sysparm_offset sysparm_display_value "
        "sysparm_exclude_reference_link sysparm_no_count sysparm_data_source "
        "sysparm_suppress_pagination_header sysparm_query_no_domain"
    ),
    "infra.vmware.": frozenset(),
}
_OWN_PROJECTS = re.compile(r"acme-prod|[a-z0-9-]+-cloud|cos-cloud|ubuntu-os-[a-z-]+")
_METHOD = re.compile(r"\{urn:vim25\}\w+")


def strange(service: str, asked: Asked) -> str | None:
    """What is wrong with a request for that provider; None for one that may be made.

    A name may be any segment of the path that cannot be taken for two, or for a step up.
    """
    path, _, query = asked.path.partition("?")
    for part in path.split("/"):
        whole = unquote(part)
        if whole in (".", "..") or re.search(r"[/\\?#\x00-\x1f]|%2[ef]", whole, re.IGNORECASE):
            return f"a segment that is {whole!r}"
    found = _SHAPES[service].fullmatch(unquote(path))
    if found is None:
        return "a path that this service has no use for"
    project = found.groupdict().get("project")
    if project is not None and not _OWN_PROJECTS.fullmatch(project):
        return f"project {project}"
    if path == "/api/retail/prices" and "Authorization" in asked.headers:
        return "a token for the public price list"
    if re.search(r"api-version=201[59]-01-01", query):
        return "the attacker's version"
    names = [name for name, _ in parse_qsl(query, keep_blank_values=True)]
    if more := set(names) - _PARAMETERS[service]:
        return f"parameters {sorted(more)}"
    if len(set(names) - {"command"}) != len([name for name in names if name != "command"]):
        return f"parameters that come twice: {names}"
    if any(INJECTED in f"{name}{value}".lower() for name, value in _few(asked).items()):
        return "a header of the attacker's"
    return _strange_envelope(asked.body) if service == "infra.vmware." and asked.body else None


def _few(asked: Asked) -> Mapping[str, str]:
    return {name: value for name, value in asked.headers.items() if name.lower() != "authorization"}


def _strange_envelope(body: bytes) -> str | None:
    """SOAP has one method in its body, and what is in it is XML as a whole."""
    if b"<!DOCTYPE" in body or b"<!ENTITY" in body:
        return "a document type"
    try:
        root = ET.fromstring(body)
    except ET.ParseError as error:
        return f"what is no XML: {error}"
    inner = [each for part in root if part.tag.endswith("}Body") for each in part]
    if len(inner) != 1 or not _METHOD.fullmatch(inner[0].tag):
        return f"methods {[each.tag for each in inner]}"
    return None
