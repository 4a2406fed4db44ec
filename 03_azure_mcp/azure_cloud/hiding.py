"""What is never shown of a resource: members that hold secrets, whatever the resource is. Pure.

Resource Manager itself leaves most secrets out of what it returns; services differ, and what stands
in tags, settings and outputs is what somebody wrote there.
"""

import re
from collections.abc import Mapping
from typing import Any, cast

from flotilla.json_text import from_json, to_json
from flotilla.redaction import REDACTED

HIDDEN = REDACTED
MOST_JSON_CHARS = 256 * 1024

# By the last words of a member's name: `adminPassword`, `primaryConnectionString`, `sasToken`.
_SECRET = re.compile(
    r"password|passphrase|pwd$|secret(?!s?(?:name|uri|url|id|ref|identifier)$)|connectionstring"
    r"|(?:primary|secondary|access|account|shared|storage|admin|api|master|function|auth|license|"
    r"subscription|encryption|private|host|system|instrumentation|product)_?key\d?$|^keys?\d?$|^key\d"
    r"|sas(?:token|url|uri|key)?$|(?:access|refresh|bearer|auth|registration|join|id)_?token$|^token$"
    r"|credential|customdata|userdata|protectedsettings|protectedsettingsfromkeyvault$"
    r"|publishingprofile|certificate(?:data|blob|value)$|pfx|privatekey|startupscript|^script$"
    r"|commandtoexecute|unattend|xmlcontent|webhook(?:uri|url)$|httpheaders?$|^signature$",
    re.IGNORECASE,
)
_NOT_SECRET = re.compile(
    r"^disablepasswordauthentication$|^(?:password)?expir|passwordpolicy|^enable|^allow|^disable"
    r"|keyvault(?:id|uri|url|name)?$|secretpermissions",
    re.IGNORECASE,
)
_TYPED = ("securestring", "secureobject")
"""Types of parameters and outputs of templates whose values are secrets."""
_SETTINGS = ("appsettings", "connectionstrings", "environmentvariables", "applicationsettings")
"""Lists and maps of names and values that somebody wrote: the values are not shown."""
_SAS = re.compile(r"([?&]sig=)[^&\s\"']+", re.IGNORECASE)
_CONNECTION = re.compile(
    r"((?:AccountKey|SharedAccessKey|SharedAccessSignature|Password|Pwd)\s*=)[^;\"'\s]+",
    re.IGNORECASE,
)


def names_secret(name: str) -> bool:
    """Whether a member of that name holds a secret."""
    return _SECRET.search(name) is not None and _NOT_SECRET.search(name) is None


def shown(value: Any) -> Any:
    """The same JSON with `[redacted]` in the place of secrets."""
    if isinstance(value, dict):
        return _members(cast("dict[str, Any]", value))
    if isinstance(value, list):
        return [shown(each) for each in cast("list[Any]", value)]
    if isinstance(value, str):
        return _text(value)
    return value


def _members(members: Mapping[str, Any]) -> dict[str, Any]:
    typed = str(members.get("type", "")).lower() in _TYPED
    found: dict[str, Any] = {}
    for name, value in members.items():
        if (typed and name in ("value", "defaultValue", "allowedValues")) or (
            names_secret(name) and not _harmless(value)
        ):
            found[name] = HIDDEN
        elif name.lower() in _SETTINGS:
            found[name] = _settings(value)
        else:
            found[name] = shown(value)
    return found


def _harmless(value: Any) -> bool:
    """Switches and empty places say nothing; neither does a reference to a key vault."""
    if value is None or isinstance(value, bool):
        return True
    if isinstance(value, dict):
        inner = cast("dict[str, Any]", value)
        return set(inner) <= {"id", "keyVault", "secretName", "secretVersion", "reference"}
    return value in ("", [])


def _settings(value: Any) -> Any:
    if isinstance(value, dict):
        return dict.fromkeys(cast("dict[str, Any]", value), HIDDEN)
    if isinstance(value, list):
        return [
            {**shown(each), **({"value": HIDDEN} if "value" in each else {})}
            if isinstance(each, dict)
            else HIDDEN
            for each in cast("list[Any]", value)
        ]
    return HIDDEN


def _text(text: str) -> str:
    if text[:1] in ("{", "[") and len(text) <= MOST_JSON_CHARS:
        # A whole object as text: by its names alone can its secrets be told.
        try:
            return to_json(shown(from_json(text.encode()))).decode()
        except ValueError:
            pass
    if "=" not in text:
        return text
    return _CONNECTION.sub(rf"\1{HIDDEN}", _SAS.sub(rf"\1{HIDDEN}", text))
