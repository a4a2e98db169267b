"""Fusion: recommenders of several methods that rank together."""
