"""Datasets, splits, item indices, and the files they travel in."""
