"""Pages without a browser: fetched through the gate, kept for a while, read."""
