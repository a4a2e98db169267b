"""Normalised discounted cumulative gain."""
