"""Calls that wait for a person's consent, and what became of them."""
