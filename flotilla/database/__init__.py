"""What services with a database share: where it is, transactions, migrations, its absence."""
