"""A real browser: sessions, what they show, what is done in them."""
