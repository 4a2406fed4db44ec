"""Servers of the handshake revisions, over Streamable HTTP, HTTP+SSE and standard streams."""
