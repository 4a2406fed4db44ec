"""HashiCorp Vault or OpenBao as the place of the values: KV version 2, over HTTP."""
