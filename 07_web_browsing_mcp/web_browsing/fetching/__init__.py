"""Pages without a browser: fetched through the gate, decoded, read apart, kept."""
