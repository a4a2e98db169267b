"""SASRec: a causal transformer over item histories (arXiv 1808.09781)."""
