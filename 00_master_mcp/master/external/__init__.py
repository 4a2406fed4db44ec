"""External MCP servers: other people's code that joins the fleet, kept at arm's length."""
