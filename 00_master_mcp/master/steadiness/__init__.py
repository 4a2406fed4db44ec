"""What keeps a service's trouble its own: places, retry budget, and the keeper of both."""
