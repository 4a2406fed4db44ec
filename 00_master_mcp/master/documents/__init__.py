"""What the hubs of one fleet must share lastingly: small documents, in files or in PostgreSQL."""
