"""How the person at the client is asked: the question, its words, and the way back."""
