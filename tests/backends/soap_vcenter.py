"""A vCenter of a few objects that speaks SOAP: for what a simulator cannot be brought to do.

It ends sessions, refuses logins, gives lists in small pages, and answers faults. Serve
`application()` by `tests.backends.tls_server`. Formats: vSphere Web Services API, vim25.
"""

import re
import secrets
from dataclasses import dataclass, field
from html import escape, unescape
from typing import Any

from aiohttp import web

USER = "operator@vsphere.local"
PASSWORD = "Soap-Canary-4t9Wz!"

_METHOD = re.compile(r'<(\w+) xmlns="urn:vim25"><_this [^>]*type="(\w+)"[^>]*>([^<]+)</_this>')
_OBJECT = re.compile(r'<obj [^>]*type="(\w+)"[^>]*>([^<]+)</obj>')
_PATH = re.compile(r"<pathSet>([^<]+)</pathSet>")
_TEXT = '<?xml version="1.0" encoding="UTF-8"?>'
_ENVELOPE = (
    'xmlns:soapenv="http://schemas.xmlsoap.org/soap/envelope/" '
    'xmlns:xsd="http://www.w3.org/2001/XMLSchema" '
    'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"'
)
_CONTENT = "".join(
    f'<{name} type="{kind}">{kind}</{name}>'
    for name, kind in (
        ("propertyCollector", "PropertyCollector"),
        ("viewManager", "ViewManager"),
        ("sessionManager", "SessionManager"),
        ("taskManager", "TaskManager"),
    )
)


class SoapFault(Exception):
    def __init__(self, name: str, message: str = "", members: str = "") -> None:
        super().__init__(name)
        self.name = name
        self.message = message
        self.members = members


@dataclass
class SoapVCenter:
    """What it holds, and what it was asked."""

    password: str = PASSWORD
    instead: tuple[int, str] | None = None
    """What is answered to everything, whatever was asked: a status and a body."""
    page: int = 1000
    """Objects in one answer at most; for the rest it gives a token."""
    objects: dict[tuple[str, str], dict[str, Any]] = field(
        default_factory=dict[tuple[str, str], dict[str, Any]]
    )
    sessions: set[str] = field(default_factory=set[str])
    called: list[str] = field(default_factory=list[str])
    rests: dict[str, tuple[list[tuple[str, str]], list[str]]] = field(
        default_factory=dict[str, tuple[list[tuple[str, str]], list[str]]]
    )

    def add_machine(self, mo_id: str, name: str, *, tools: bool = True) -> None:
        self.objects["VirtualMachine", mo_id] = {
            "name": name,
            "runtime.powerState": "poweredOn",
            "guest.toolsRunningStatus": "guestToolsRunning" if tools else "guestToolsNotRunning",
        }

    def count(self, method: str) -> int:
        return self.called.count(method)

    def application(self) -> web.Application:
        made = web.Application(client_max_size=16 * 1024**2)
        made.router.add_post("/sdk", self._answer)
        return made

    async def _answer(self, request: web.Request) -> web.Response:
        if self.instead is not None:
            return web.Response(status=self.instead[0], text=self.instead[1])
        text = await request.text()
        found = _METHOD.search(text)
        assert found is not None, text
        method, _, mo_id = found.groups()
        self.called.append(method)
        key = request.cookies.get("vmware_soap_session", "").strip('"')
        cookies: dict[str, str] = {}
        try:
            if method not in ("RetrieveServiceContent", "Login") and key not in self.sessions:
                raise SoapFault("NotAuthenticated", "The session is not authenticated.")
            inner = getattr(self, f"_{method}")(text, mo_id, cookies)
        except SoapFault as fault:
            return _response(500, _fault(fault), cookies)
        if method == "Logout":
            self.sessions.discard(key)
        answer = f'<{method}Response xmlns="urn:vim25">{inner}</{method}Response>'
        return _response(200, answer, cookies)

    def _RetrieveServiceContent(self, *_: Any) -> str:  # noqa: N802 - the API's names
        return f'<returnval><rootFolder type="Folder">group-d1</rootFolder>{_CONTENT}</returnval>'

    def _Login(self, text: str, _id: str, cookies: dict[str, str]) -> str:  # noqa: N802
        (shown,) = re.findall(r"<password[^>]*>([^<]*)</password>", text)
        if unescape(shown) != self.password:
            raise SoapFault("InvalidLogin", "Cannot complete login.")
        key = secrets.token_hex(8)
        self.sessions.add(key)
        cookies["vmware_soap_session"] = key
        moment = "2026-01-01T00:00:00Z"
        return (
            f"<returnval><key>{key}</key><userName>{USER}</userName><fullName/>"
            f"<loginTime>{moment}</loginTime><lastActiveTime>{moment}</lastActiveTime>"
            "<locale>en</locale><messageLocale>en</messageLocale></returnval>"
        )

    def _Logout(self, *_: Any) -> str:  # noqa: N802
        return ""

    def _CreateContainerView(self, text: str, *_: Any) -> str:  # noqa: N802
        (kind,) = re.findall(r"<type>(\w+)</type>", text)
        return f'<returnval type="ContainerView">view-{kind}</returnval>'

    def _RetrievePropertiesEx(self, text: str, *_: Any) -> str:  # noqa: N802
        asked = _OBJECT.findall(text)
        if asked[0][0] == "ContainerView":
            kind = asked[0][1].removeprefix("view-")
            asked = [ref for ref in self.objects if ref[0] == kind]
            if "<pathSet>view</pathSet>" in text:
                refs = "".join(
                    f'<ManagedObjectReference type="{own}">{mo_id}</ManagedObjectReference>'
                    for own, mo_id in asked
                )
                return (
                    f'<returnval><objects><obj type="ContainerView">view-{kind}</obj><propSet>'
                    f'<name>view</name><val xsi:type="ArrayOfManagedObjectReference">{refs}</val>'
                    "</propSet></objects></returnval>"
                )
        (most,) = re.findall(r"<maxObjects>(\d+)</maxObjects>", text)
        asked = [ref for ref in asked if ref in self.objects]
        return self._some(asked, _PATH.findall(text), int(most))

    def _ContinueRetrievePropertiesEx(self, text: str, *_: Any) -> str:  # noqa: N802
        refs, paths = self._taken(text)
        return self._some(refs, paths, self.page)

    def _CancelRetrievePropertiesEx(self, text: str, *_: Any) -> str:  # noqa: N802
        self._taken(text)
        return ""

    def _taken(self, text: str) -> tuple[list[tuple[str, str]], list[str]]:
        (token,) = re.findall(r"<token[^>]*>([^<]+)</token>", text)
        if token not in self.rests:
            raise SoapFault("InvalidArgument", "token")
        return self.rests.pop(token)

    def _some(self, refs: list[tuple[str, str]], paths: list[str], most: int) -> str:
        step = min(most, self.page)
        token = ""
        if len(refs) > step:
            name = secrets.token_hex(4)
            self.rests[name] = (refs[step:], paths)
            token = f"<token>{name}</token>"
        told = "".join(self._object(ref, paths) for ref in refs[:step])
        if not told:
            return ""
        return f"<returnval>{token}{told}</returnval>"

    def _object(self, ref: tuple[str, str], paths: list[str]) -> str:
        values = {path: self.objects[ref][path] for path in paths if path in self.objects[ref]}
        told = "".join(
            f"<propSet><name>{path}</name>{_value(value)}</propSet>"
            for path, value in values.items()
        )
        return f'<objects><obj type="{ref[0]}">{ref[1]}</obj>{told}</objects>'

    def _PowerOffVM_Task(self, _text: str, mo_id: str, *_: Any) -> str:  # noqa: N802
        self._machine(mo_id)["runtime.powerState"] = "poweredOff"
        name = f"task-{len(self.called)}"
        self.objects["Task", name] = {
            "info.descriptionId": "VirtualMachine.powerOff",
            "info.state": "success",
        }
        return f'<returnval type="Task">{name}</returnval>'

    def _RebootGuest(self, _text: str, mo_id: str, *_: Any) -> str:  # noqa: N802
        machine = self._machine(mo_id)
        if machine["guest.toolsRunningStatus"] != "guestToolsRunning":
            raise SoapFault("ToolsUnavailable", "Tools are not running.")
        return ""

    def _ShutdownGuest(self, text: str, mo_id: str, *_: Any) -> str:  # noqa: N802
        self._RebootGuest(text, mo_id)
        self._machine(mo_id)["runtime.powerState"] = "poweredOff"
        return ""

    def _machine(self, mo_id: str) -> dict[str, Any]:
        found = self.objects.get(("VirtualMachine", mo_id))
        if found is None:
            obj = f'<obj type="VirtualMachine">{mo_id}</obj>'
            raise SoapFault("ManagedObjectNotFound", "It has been deleted.", obj)
        if found["name"] == "forbidden":
            members = (
                f'<object type="VirtualMachine">{mo_id}</object>'
                "<privilegeId>VirtualMachine.Interact.PowerOff</privilegeId>"
            )
            raise SoapFault("NoPermission", "Permission was denied.", members)
        return found


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return f'<val xsi:type="xsd:boolean">{str(value).lower()}</val>'
    if isinstance(value, int):
        return f'<val xsi:type="xsd:int">{value}</val>'
    return f'<val xsi:type="xsd:string">{escape(str(value))}</val>'


def _fault(fault: SoapFault) -> str:
    return (
        "<soapenv:Fault><faultcode>ServerFaultCode</faultcode>"
        f"<faultstring>{escape(fault.message)}</faultstring>"
        f'<detail><{fault.name}Fault xmlns="urn:vim25" xsi:type="{fault.name}">'
        f"{fault.members}</{fault.name}Fault></detail></soapenv:Fault>"
    )


def _response(status: int, inner: str, cookies: dict[str, str]) -> web.Response:
    body = f"<soapenv:Body>{inner}</soapenv:Body>"
    body = f"{_TEXT}<soapenv:Envelope {_ENVELOPE}>{body}</soapenv:Envelope>"
    made = web.Response(status=status, text=body, content_type="text/xml")
    for name, value in cookies.items():
        made.set_cookie(name, value, path="/", httponly=True, secure=True)
    return made
