"""Intentions and preferences in words, written by a language model from reviews (LC-Rec's ITE and PER)."""
