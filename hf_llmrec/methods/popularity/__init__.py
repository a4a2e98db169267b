"""Popularity: ranks items by their number of training interactions."""
