"""An OpenAPI document as an MCP server: its operations as tools, each call a request to the API."""
