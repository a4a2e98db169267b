"""LC-Rec (arXiv 2311.09049): a stock causal LM whose vocabulary holds the items' index tokens."""
