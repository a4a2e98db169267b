"""The segments of a prompt, and the encoder that never turns text into index tokens or special tokens."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from tokenizers import Tokenizer

from ..data.item_index import ItemIndex

_BYTE_TOKEN = re.compile(r"<0x[0-9A-Fa-f]{2}>")
_CACHE_ENTRIES = 65_536
_CACHED_LENGTH = 512


@dataclass(frozen=True, slots=True)
class Text:
    """Text of any origin. Nothing in it is parsed as a token: ``<a_12>`` and ``</s>`` are ordinary characters here.

    Attributes:
        text: the text.
    """

    text: str


@dataclass(frozen=True, slots=True)
class Items:
    """Items, each of which is encoded as its index tokens, first level first.

    Attributes:
        rows: item rows, integers of shape (n,); may be empty.
    """

    rows: Sequence[int] | np.ndarray


class SegmentTokenizer(Protocol):
    """A tokenizer that encodes `Text` and `Items`.

    Attributes:
        item_index: the item index; an item has ``item_index.levels`` tokens.
    """

    item_index: ItemIndex

    def encode_segments(self, segments: Sequence[Text | Items], *, add_bos: bool = False) -> list[int]:
        """Token ids of the segments, concatenated.

        Args:
            segments: texts and items.
            add_bos: begin with the start token.
        """
        ...


def valid_unicode(text: str) -> str:
    """Resolve surrogates in a text: a pair becomes its character, a lone one becomes U+FFFD.

    Python strings may contain surrogates (broken JSON escapes, ``surrogateescape`` file names); UTF-8, and therefore a
    tokenizer's input, may not.

    Args:
        text: any string; without surrogates it is returned unchanged.
    """
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    return text


class PlainTextEncoder:
    """A copy of a base tokenizer's text pipeline that cannot produce index tokens or special tokens.

    There are two ways from text to such a token. *Added tokens* are matched inside any text before the pipeline runs
    (those with ``special=False`` even with ``split_special_tokens``): the copy has none. And the *model* may contain a
    special string as an ordinary entry (``</s>`` in a Unigram or a BPE vocabulary, ``[SEP]`` in a WordPiece
    vocabulary): these entries, and the merges that lead to them, are removed from the copy. Every token of the copy is
    therefore a text token of the base, with the base's id. The unknown token is still produced for characters that are
    not in the base's vocabulary, but never by its name.

    Args:
        backend: the tokenizer to copy; it is not changed.
        special_tokens: contents of special and index tokens, in addition to ``backend``'s added tokens.

    Raises:
        ValueError: the tokenizer's model type is not supported.
    """

    def __init__(self, backend: Tokenizer, special_tokens: Collection[str] = ()):
        state = json.loads(backend.to_str())
        added = {token["content"]: token["special"] for token in state["added_tokens"]}
        # Tokenizers such as Gemma's register runs of white space as added tokens. White space controls nothing, and a
        # vocabulary without single characters could not represent every text.
        blocked = {token for token, special in added.items() if special or (len(token) > 1 and not token.isspace())}
        state["model"] = _without(state["model"], blocked | set(special_tokens))
        state.update(added_tokens=[], post_processor=None, truncation=None, padding=None)
        self._at_start = Tokenizer.from_str(json.dumps(state))
        pre_tokenizer = _without_first_prefix(state["pre_tokenizer"])
        if pre_tokenizer == state["pre_tokenizer"]:
            self._inside = self._at_start
        else:
            self._inside = Tokenizer.from_str(json.dumps({**state, "pre_tokenizer": pre_tokenizer}))
        self._cache: dict[tuple[str, bool], list[int]] = {}

    def encode(self, text: str, *, at_start: bool = True) -> list[int]:
        """Token ids of a text, as a new list on every call.

        Args:
            text: any string; surrogates are resolved by `valid_unicode`.
            at_start: whether the text begins the sequence. Tokenizers of the Llama family put a space before the first
                word of a sequence, and only there.
        """
        key = (text, at_start)
        ids = self._cache.get(key)
        if ids is None:
            encoder = self._at_start if at_start else self._inside
            ids = encoder.encode(valid_unicode(text), add_special_tokens=False).ids
            # The pieces of templates recur. A full cache is cleared, which needs no bookkeeping per hit.
            if len(text) <= _CACHED_LENGTH:
                if len(self._cache) >= _CACHE_ENTRIES:
                    self._cache.clear()
                self._cache[key] = ids
        return list(ids)

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of each text, encoded as at the start of a sequence, in one parallel call.

        Args:
            texts: any strings; equal ones are encoded once.
        """
        place = {text: number for number, text in enumerate(dict.fromkeys(texts))}
        encodings = self._at_start.encode_batch_fast([valid_unicode(text) for text in place], add_special_tokens=False)
        ids = [encoding.ids for encoding in encodings]
        return [list(ids[place[text]]) for text in texts]


def _without(model: dict[str, Any], blocked: Collection[str]) -> dict[str, Any]:
    """A tokenizer model's JSON without any way from text to the tokens in ``blocked``; all other ids are unchanged."""
    kind = model["type"]
    if kind not in ("BPE", "Unigram", "WordLevel", "WordPiece"):
        raise ValueError(
            f"tokenizer model type {kind!r} is not supported: expected BPE, Unigram, WordLevel or WordPiece"
        )
    if model.get("byte_fallback"):
        blocked = {token for token in blocked if not _BYTE_TOKEN.fullmatch(token)}
    model = dict(model)
    if kind == "Unigram":
        # Ids are positions in the list, so entries are emptied instead of removed: no text contains the empty piece
        # (the lattice looks for pieces of at least one character).
        names = set(blocked) | ({model["vocab"][model["unk_id"]][0]} if model["unk_id"] is not None else set())
        model["vocab"] = [["" if piece in names else piece, score] for piece, score in model["vocab"]]
        return model
    unknown = model["unk_token"]
    vocabulary = {token: number for token, number in model["vocab"].items() if token not in blocked}
    if unknown is not None and unknown in model["vocab"]:
        # The model looks up its unknown token by name; no text leads to the empty name.
        vocabulary.pop(unknown, None)
        vocabulary[""] = model["vocab"][unknown]
        model["unk_token"] = ""
    model["vocab"] = vocabulary
    if kind == "BPE":
        prefix = model["continuing_subword_prefix"] or ""
        pairs = (merge.split(" ", 1) if isinstance(merge, str) else merge for merge in model["merges"])
        model["merges"] = [
            [left, right]
            for left, right in pairs
            if left in vocabulary and right in vocabulary and left + right.removeprefix(prefix) in vocabulary
        ]
    return model


def _without_first_prefix(pre_tokenizer: Any) -> Any:
    """A pre-tokenizer's JSON with the behaviour for text that does not begin the sequence."""
    if isinstance(pre_tokenizer, list):
        return [_without_first_prefix(part) for part in pre_tokenizer]
    if not isinstance(pre_tokenizer, dict):
        return pre_tokenizer
    if pre_tokenizer["type"] == "Sequence":
        return {**pre_tokenizer, "pretokenizers": _without_first_prefix(pre_tokenizer["pretokenizers"])}
    if pre_tokenizer["type"] == "Metaspace" and pre_tokenizer["prepend_scheme"] == "first":
        return {**pre_tokenizer, "prepend_scheme": "never"}
    return pre_tokenizer
