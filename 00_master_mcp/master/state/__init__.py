"""What the hubs of one fleet share: the seam, and its two implementations."""
