"""How a person connects a client to the hub. Pure; it names the token's file, never the token."""

_TEXT = """\
Connect a client. The token is in {token_file} (the file's content, without a line break).

  Claude Code
    claude mcp add --transport http flotilla {url} \\
      --header "Authorization: Bearer $(cat {token_file})"
  Cursor, in ~/.cursor/mcp.json
    {{"mcpServers": {{"flotilla": {{"url": "{url}",
      "headers": {{"Authorization": "Bearer <token>"}}}}}}}}
  VS Code, in .vscode/mcp.json
    {{"servers": {{"flotilla": {{"type": "http", "url": "{url}",
      "headers": {{"Authorization": "Bearer <token>"}}}}}}}}
  Claude Desktop starts stdio servers only, so a bridge stands between (needs Node);
  in claude_desktop_config.json, with the token in env:
    {{"mcpServers": {{"flotilla": {{"command": "npx",
      "args": ["-y", "mcp-remote", "{url}", "--header", "Authorization:${{AUTH}}"],
      "env": {{"AUTH": "Bearer <token>"}}}}}}}}
  Inspector
    npx @modelcontextprotocol/inspector --cli {url} --transport http \\
      --method tools/list --header "Authorization: Bearer $(cat {token_file})"
"""


def how_to_connect(url: str, token_file: str) -> str:
    """For each known client the command, or the entry of its file; `url` ends in /mcp."""
    return _TEXT.format(url=url, token_file=token_file)
