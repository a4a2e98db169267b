"""SASRec: self-attentive sequential recommendation (arXiv 1808.09781)."""
