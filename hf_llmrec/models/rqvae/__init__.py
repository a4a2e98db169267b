"""RQ-VAE: item embeddings -> codes of several levels (arXiv 2311.09049, section 3.2)."""
