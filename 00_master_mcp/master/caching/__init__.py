"""What the cache stage is made of: which results are kept, for whom, in which form."""
