"""State that several hubs share in Redis or Valkey."""
