"""With whose credentials the hub speaks to other people's servers."""
