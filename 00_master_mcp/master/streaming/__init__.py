"""Messages too large to be held: read, cleaned and written piece by piece, in constant memory."""
