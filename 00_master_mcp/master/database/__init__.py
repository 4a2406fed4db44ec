"""What the hub keeps for good: its own SQLite file, or the PostgreSQL that several hubs share."""
