"""What a file is by its first bytes, and what to mind about it. Pure."""

import re
import zipfile
from io import BytesIO
from pathlib import PurePosixPath

MAX_NAME_CHARS = 100
MAX_MEMBERS = 2000

_MAGIC: tuple[tuple[bytes, str], ...] = (
    (b"%PDF-", "application/pdf"),
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF8", "image/gif"),
    (b"PK\x03\x04", "application/zip"),
    (b"PK\x05\x06", "application/zip"),
    (b"\x1f\x8b", "application/gzip"),
    (b"7z\xbc\xaf\x27\x1c", "application/x-7z-compressed"),
    (b"Rar!", "application/vnd.rar"),
    (b"MZ", "application/vnd.microsoft.portable-executable"),
    (b"\x7fELF", "application/x-elf"),
    (b"\xcf\xfa\xed\xfe", "application/x-mach-binary"),
    (b"\xca\xfe\xba\xbe", "application/java-vm"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "application/x-ole-storage"),
    (b"#!", "text/x-script"),
    (b"L\x00\x00\x00\x01\x14\x02\x00", "application/x-ms-shortcut"),
)
_RUNS = frozenset(
    (
        "application/vnd.microsoft.portable-executable",
        "application/x-elf",
        "application/x-mach-binary",
        "application/java-vm",
        "application/x-ms-shortcut",
        "text/x-script",
    )
)
_RUNS_BY_NAME = re.compile(
    r"\.(exe|dll|scr|com|msi|bat|cmd|ps1|psm1|vbs|vbe|js|jse|wsf|hta|jar|lnk|reg|apk|app|dmg|pkg|"
    r"deb|rpm|sh|py|pl|desktop|iso|img|docm|xlsm|pptm|dotm|xltm)$",
    re.IGNORECASE,
)
_OFFICE = {
    "word/": "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
    "xl/": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    "ppt/": "application/vnd.openxmlformats-officedocument.presentationml.presentation",
}


def sniffed(data: bytes) -> str:
    """A media type by the content alone."""
    for magic, kind in _MAGIC:
        if data.startswith(magic):
            return _office(data) or kind if kind == "application/zip" else kind
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "image/webp"
    try:
        text = data[:4096].decode()
    except UnicodeDecodeError as error:
        # A character may be cut in two.
        if error.start < len(data[:4096]) - 4 or len(data) <= 4096:
            return "application/octet-stream"
        text = ""
    if any(ord(each) < 32 and each not in "\t\r\n\f" for each in text):
        return "application/octet-stream"
    start = text.lstrip("\ufeff \t\r\n").lower()
    if start.startswith(("<!doctype html", "<html")):
        return "text/html"
    if start.startswith(("<?xml", "<svg")):
        return "application/xml"
    return "text/plain"


def warnings_of(name: str, kind: str, data: bytes) -> list[str]:
    """What a careful person would say of a file before anybody opens it."""
    told: list[str] = []
    if kind in _RUNS or _RUNS_BY_NAME.search(name):
        told.append("it is a program, or a file that runs one: do not run it")
    if kind == "application/x-ole-storage" or _has_macros(data):
        told.append("it may hold macros")
    if kind == "application/pdf" and re.search(rb"/(JavaScript|JS|Launch|OpenAction)\b", data):
        told.append("the PDF has actions that run when it is opened")
    suffix = PurePosixPath(name).suffix.lower()
    expected = _BY_SUFFIX.get(suffix)
    if expected is not None and not kind.startswith(expected):
        told.append(f"it is called {suffix}, but reads as {kind}")
    return told


_BY_SUFFIX = {
    ".pdf": "application/pdf",
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".gif": "image/gif",
    ".webp": "image/webp",
    ".zip": "application/zip",
    ".gz": "application/gzip",
    ".txt": "text/",
    ".csv": "text/",
    ".md": "text/",
    ".json": "text/",
    ".docx": _OFFICE["word/"],
    ".xlsx": _OFFICE["xl/"],
    ".pptx": _OFFICE["ppt/"],
}


def file_name(suggested: str) -> str:
    """A name without folders, controls and characters that turn the direction of text."""
    name = re.split(r"[/\\]", suggested)[-1]
    name = "".join(each if each.isprintable() else "_" for each in name)
    name = re.sub(r'[<>:"|?*%#]', "_", name).strip(" .")
    if len(name) > MAX_NAME_CHARS:
        path = PurePosixPath(name)
        name = path.stem[: MAX_NAME_CHARS - len(path.suffix[:10])] + path.suffix[:10]
    return name or "download"


def _office(data: bytes) -> str | None:
    names = _members(data)
    for folder, kind in _OFFICE.items():
        if "[Content_Types].xml" in names and any(each.startswith(folder) for each in names):
            return kind
    return None


def _has_macros(data: bytes) -> bool:
    return any(each.lower().endswith("vbaproject.bin") for each in _members(data))


def _members(data: bytes) -> list[str]:
    if not data.startswith(b"PK"):
        return []
    try:
        with zipfile.ZipFile(BytesIO(data)) as archive:
            return archive.namelist()[:MAX_MEMBERS]
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        return []
