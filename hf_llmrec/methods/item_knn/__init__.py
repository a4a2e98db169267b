"""ItemKNN: item-based nearest neighbours by co-occurrence."""
