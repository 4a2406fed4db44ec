"""Arguments that are secrets, and the handles that stand for them."""
