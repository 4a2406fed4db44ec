"""An OpenAPI document as an MCP server: its operations as tools, each call a request to the API.

`load` reads the document's text, `Choice.read` an entry's filters, `OpenApiServer` lists and calls.
"""

from master.external.openapi.choice import Choice
from master.external.openapi.document import BadDocument, Document, load
from master.external.openapi.server import OpenApiServer
from master.external.openapi.tools import Imported, LeftOut, import_document

__all__ = [
    "BadDocument",
    "Choice",
    "Document",
    "Imported",
    "LeftOut",
    "OpenApiServer",
    "import_document",
    "load",
]
