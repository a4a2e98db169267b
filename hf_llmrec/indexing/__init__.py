"""Item indices from item texts: embeddings, quantisation, collision-free assignment."""
