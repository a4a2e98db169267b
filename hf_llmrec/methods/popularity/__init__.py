"""Popularity."""
