"""LightGCN: graph convolutions over users and items (arXiv 2002.02126)."""
