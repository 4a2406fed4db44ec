"""The hub as a client: one link to each service, over MCP's 2026-07-28 revision."""
