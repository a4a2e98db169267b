"""Item-based nearest neighbours by co-occurrence."""
