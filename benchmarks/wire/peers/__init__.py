"""Other gateways, installed from the registries and set before the same echo servers."""
