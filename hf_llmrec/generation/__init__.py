"""Generation of items after a prompt: the trie of valid indices and the beam search over it."""

from .beam_search import recommend_items, score_items
from .item_trie import ItemTrie
from .logits_process import ItemLogitsProcessor

__all__ = ["ItemLogitsProcessor", "ItemTrie", "recommend_items", "score_items"]
