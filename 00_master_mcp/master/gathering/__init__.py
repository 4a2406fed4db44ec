"""What a source of one service sees is brought to a tool of another, as the rules allow it."""
