"""The same list for everyone: the most frequent items."""
