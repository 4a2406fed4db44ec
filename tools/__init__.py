"""What the repository is worked on with; nothing here runs in a service."""
