"""Files that a result brings beside its JSON, as MCP's content blocks: a picture, a document."""

from base64 import b64encode
from dataclasses import dataclass
from typing import Any

from pydantic import PrivateAttr

from flotilla.errors import TooLarge
from flotilla.model import Model

MAX_ATTACHED_BYTES = 8 * 1024 * 1024
"""Of all files of one result together, decoded; clients keep results in a model's context."""


@dataclass(frozen=True, slots=True)
class Attachment:
    """One file. `name` is a file name without folders; clients see it as `file:///<name>`."""

    name: str
    mime_type: str
    data: bytes

    def block(self) -> dict[str, Any]:
        """MCP, "Tools", image content and embedded resources."""
        encoded = b64encode(self.data).decode()
        if self.mime_type.startswith("image/"):
            return {"type": "image", "data": encoded, "mimeType": self.mime_type}
        resource = {"uri": f"file:///{self.name}", "mimeType": self.mime_type, "blob": encoded}
        return {"type": "resource", "resource": resource}


class WithAttachments(Model):
    """Base of results that bring files; what the model's members say is the JSON as ever."""

    _attached: tuple[Attachment, ...] = PrivateAttr(default=())

    def attach(self, *files: Attachment) -> None:
        """Raises TooLarge beyond MAX_ATTACHED_BYTES."""
        attached = (*self._attached, *files)
        size = sum(len(each.data) for each in attached)
        if size > MAX_ATTACHED_BYTES:
            raise TooLarge(
                f"the files of this result have {size} bytes; {MAX_ATTACHED_BYTES} fit",
                hint="Ask for a smaller or narrower part.",
            )
        self._attached = attached

    @property
    def attached(self) -> tuple[Attachment, ...]:
        return self._attached
