"""Fusion: weighted ensembles of recommenders of any methods."""
