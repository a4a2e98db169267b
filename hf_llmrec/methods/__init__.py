"""Methods, a folder each, and what opens a saved recommender of any of them."""
