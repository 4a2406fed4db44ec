"""What a page says, taken out of what it is made of. Nothing here reaches for the network."""
