"""LightGCN: graph convolution of user and item embeddings (arXiv 2002.02126)."""
