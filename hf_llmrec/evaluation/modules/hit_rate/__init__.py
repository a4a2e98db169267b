"""Hit rate."""
