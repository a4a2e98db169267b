"""GAL-Rec: a language model that reads users and items as tokens (arXiv 2406.13235)."""
