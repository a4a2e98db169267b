"""Datasets, splits and item indices, and the files they are stored in."""
