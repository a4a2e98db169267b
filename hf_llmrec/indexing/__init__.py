"""From item texts to item indices: embeddings, quantisation, collision-free assignment."""
