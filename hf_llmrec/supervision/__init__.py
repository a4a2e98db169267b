"""Intentions and preferences that a language model writes from reviews (the tasks ITE and PER of LC-Rec)."""
