"""The hub as a server: what clients of each era and transport send, and what they are answered."""
