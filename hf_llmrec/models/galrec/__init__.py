"""GAL-Rec: graph-aware learning of a language-model recommender (arXiv 2406.13235)."""
