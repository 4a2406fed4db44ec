"""Finding a tool by words, for clients that cannot be shown two hundred of them."""
