"""`LCRecTokenizer`: a base tokenizer plus one token per level and code of an index (arXiv 2311.09049, 3.2-3.3)."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from tokenizers import AddedToken, Tokenizer
from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast

from ...data.files import read_json, write_json
from ...data.item_index import INDEX_FILE, ItemIndex
from ...prompting.segments import Items, PlainTextEncoder, Text, valid_unicode
from .index_tokens import ItemLookup, added_tokens

# Tokens that base tokenizers without a pad_token often have for padding, in order of preference.
_PAD_TOKENS = ("<pad>", "[PAD]", "<|pad|>", "<|finetune_right_pad_id|>")


class LCRecTokenizer(PreTrainedTokenizerFast):
    """Any fast tokenizer, extended by the tokens of an item index.

    ``tokenizer(string)`` parses index tokens (``<a_12><b_3>...``) as the stock class does on the same folder: use it
    for strings that you wrote. Text of any other origin (titles, reviews, queries) goes through `encode_segments` or
    `encode_texts`, which cannot produce an index or special token. The protection covers ids only: never encode a
    string that was *decoded* from such ids.

    Create it with `from_base` or `from_pretrained`. ``save_pretrained`` writes the files of the base tokenizer and
    ``item_index.json`` (codes, item ids and titles, but not the codewords of the index), which
    `ItemIndex.from_pretrained` reads, too.

    Args:
        args: positional arguments of [`PreTrainedTokenizerFast`].
        item_index: ids and codes of the catalogue; every index token must be in the vocabulary.
        item_titles: one title per item row; ``None``: there are no titles.
        item_index_file: path of an ``item_index.json`` with both; ``from_pretrained`` sets it.
        kwargs: the other options of [`PreTrainedTokenizerFast`].

    Attributes:
        item_index: the [`ItemIndex`].
        item_titles: list of str, one per item row, or ``None``.
        level_token_ids: per level, int64 (codebook_size,), the token id of each code.
        item_token_ids: int64 (num_items, levels), the token ids of each item.
        pad_token_id: int, the id of the padding token; `from_base` ensures that there is one.

    Raises:
        FileNotFoundError: ``from_pretrained`` on a folder without ``item_index.json``; names the folder.
        ValueError: no item index is given, titles do not fit it, or the vocabulary lacks an index token.

    Example:
        tokenizer = LCRecTokenizer.from_base(base, index, titles)
        ids = tokenizer.encode_segments([Text("History: "), Items([3, 17]), Text(". Next: ")], add_bos=True)
    """

    vocab_files_names = {"tokenizer_file": "tokenizer.json", "item_index_file": INDEX_FILE}
    if TYPE_CHECKING:  # transformers resolves the names of special tokens in __getattr__
        pad_token_id: int

    def __init__(
        self,
        *args: Any,
        item_index: ItemIndex | None = None,
        item_titles: Sequence[str] | None = None,
        item_index_file: str | os.PathLike | None = None,
        **kwargs: Any,
    ):
        self._text_encoder: PlainTextEncoder | None = None
        super().__init__(*args, **kwargs)
        source = "item index"
        if item_index is None:
            if item_index_file is None:
                raise ValueError("LCRecTokenizer needs an item_index: use LCRecTokenizer.from_base or from_pretrained")
            source, value = str(item_index_file), read_json(item_index_file)
            item_index, item_titles = ItemIndex.from_dict(value, source=source), value.get("titles")
        if item_titles is not None and len(item_titles) != item_index.num_items:
            raise ValueError(f"{source}: {len(item_titles)} titles for {item_index.num_items} items")
        self.item_index = item_index
        self.item_titles = None if item_titles is None else [valid_unicode(title) for title in item_titles]
        self.level_token_ids = self._find_levels(source)
        columns = [ids[codes] for ids, codes in zip(self.level_token_ids, item_index.codes.T, strict=True)]
        self.item_token_ids = np.stack(columns, axis=1)
        self._lookup = ItemLookup(item_index, self.level_token_ids, len(self))

    @classmethod
    def convert_to_native_format(cls, trust_remote_code: bool = False, **kwargs: Any) -> dict[str, Any]:
        if kwargs.get("item_index_file") is None and kwargs.get("item_index") is None:
            raise FileNotFoundError(
                f"{kwargs.get('name_or_path')}: there is no {INDEX_FILE}. Load a folder that LCRecTokenizer saved, or "
                "extend a base tokenizer with LCRecTokenizer.from_base"
            )
        # Without this flag, a subclass with an __init__ of its own is rebuilt from vocabulary and merges, and loses the
        # base's normaliser and pre-tokenizer. It means "load tokenizer.json as it is"; no remote code is involved.
        return super().convert_to_native_format(trust_remote_code=True, **kwargs)

    @classmethod
    def from_base(
        cls, base_tokenizer: PreTrainedTokenizerBase, index: ItemIndex, titles: Sequence[str] | None = None
    ) -> LCRecTokenizer:
        """Extend ``base_tokenizer``, which stays unchanged, with the tokens of ``index``.

        New tokens get the ids after the base's, level by level, code by code. Index tokens that the base already has
        as added tokens (the tokenizer of a public LC-Rec checkpoint) keep their ids. If the base has no padding token,
        an unused one of its vocabulary (such as ``[PAD]``) or else a new ``<pad>`` is used, but never the
        end-of-sequence token, which training must see. Padding is on the left, as generation requires.

        Args:
            base_tokenizer: any fast tokenizer.
            index: items and their codes.
            titles: one title per item row, in the order of ``index.item_ids``; ``None``: there are no titles.

        Raises:
            ValueError: a slow tokenizer, or one whose ordinary vocabulary already has an index token.
        """
        if not isinstance(base_tokenizer, PreTrainedTokenizerFast):
            raise ValueError(f"{type(base_tokenizer).__name__} is a slow tokenizer: one with tokenizer.json is needed")
        backend = Tokenizer.from_str(base_tokenizer.backend_tokenizer.to_str())
        # The base's last call may have left padding and truncation on; they would become the new tokenizer's defaults.
        backend.no_padding()
        backend.no_truncation()
        added = added_tokens(base_tokenizer)
        taken = [token for token in index.tokens() if token not in added and backend.token_to_id(token) is not None]
        if taken:
            raise ValueError(f"the base tokenizer has {taken[0]!r} as an ordinary token: no name for an index token")
        special = dict(base_tokenizer.special_tokens_map)
        if "pad_token" not in special:
            special["pad_token"] = next((token for token in _PAD_TOKENS if token in added), "<pad>")
            backend.add_special_tokens([AddedToken(special["pad_token"], special=True, normalized=False)])
        backend.add_tokens([AddedToken(token, special=False, normalized=False) for token in index.tokens()])
        return cls(
            tokenizer_object=backend,
            item_index=index,
            item_titles=titles,
            **special,
            extra_special_tokens=base_tokenizer.extra_special_tokens,
            model_max_length=base_tokenizer.model_max_length,
            model_input_names=list(base_tokenizer.model_input_names),
            clean_up_tokenization_spaces=base_tokenizer.clean_up_tokenization_spaces,
            chat_template=base_tokenizer.chat_template,
            padding_side="left",
        )

    # -- items --------------------------------------------------------------------------------------------------------

    def items_to_tokens(self, rows: Sequence[int] | np.ndarray) -> np.ndarray:
        """Token ids of items.

        Args:
            rows: item rows, integers of any shape.

        Returns:
            int64 (*rows.shape, levels).

        Raises:
            ValueError: a row is no integer or not in the catalogue.
        """
        rows = np.asarray(rows)
        if rows.size == 0:
            return np.empty((*rows.shape, self.item_index.levels), dtype=np.int64)
        if not np.issubdtype(rows.dtype, np.integer):
            raise ValueError(f"item rows must be integers, got {rows.dtype}")
        if rows.min() < 0 or rows.max() >= len(self.item_token_ids):
            wrong = rows[(rows < 0) | (rows >= len(self.item_token_ids))][0]
            raise ValueError(f"item row {wrong} is not in the catalogue of {len(self.item_token_ids)} items")
        return self.item_token_ids[rows]

    def tokens_to_items(self, ids: Sequence[Sequence[int]] | np.ndarray) -> np.ndarray:
        """Find the items of token ids.

        Args:
            ids: int (..., levels), token ids.

        Returns:
            int64 (...), item rows: -1 for ids that are not the index of an item, and the first row of items that share
            an index.

        Raises:
            ValueError: the last axis is not one of ``levels``.
        """
        return self._lookup.rows(np.asarray(ids, dtype=np.int64))

    def _find_levels(self, source: str) -> list[np.ndarray]:
        vocabulary = self.get_added_vocab()
        tokens = iter(self.item_index.tokens())
        levels = []
        for size in self.item_index.codebook_sizes:
            names = [next(tokens) for _ in range(size)]
            missing = next((name for name in names if name not in vocabulary), None)
            if missing is not None:
                raise ValueError(f"{source}: the tokenizer has no token {missing!r}; both must come from one save")
            levels.append(np.array([vocabulary[name] for name in names], dtype=np.int64))
        return levels

    # -- segments -----------------------------------------------------------------------------------------------------

    @property
    def start_token_id(self) -> int:
        """The token that ``add_bos`` adds: bos, else cls, else eos, which separates documents in Qwen and others."""
        return self._first_token_id("bos_token", "cls_token", "eos_token")

    @property
    def end_token_id(self) -> int:
        """The token that ``add_eos`` adds: eos, else sep."""
        return self._first_token_id("eos_token", "sep_token")

    def _first_token_id(self, *names: str) -> int:
        token = next((self.special_tokens_map[name] for name in names if name in self.special_tokens_map), None)
        if token is None:
            raise ValueError(f"the base tokenizer has none of {', '.join(names)}: set one before from_base")
        return cast(int, self.convert_tokens_to_ids(token))  # one id for one token

    def encode_segments(
        self, segments: Iterable[Text | Items], *, add_bos: bool = False, add_eos: bool = False
    ) -> list[int]:
        """Encode a prompt. Use it for text of any origin: text never becomes an index or special token.

        Neighbouring texts are encoded as one, so that the ids do not depend on where a template ends and a title
        begins. If no text contains the name of a token, the ids are those of
        ``tokenizer(string, add_special_tokens=False)`` on the concatenated segments.

        Args:
            segments: `Text` and `Items` in order. Surrogates in a text are resolved, see `valid_unicode`.
            add_bos: whether `start_token_id` is put first.
            add_eos: whether `end_token_id` is put last.

        Raises:
            TypeError: a segment is neither `Text` nor `Items`.
            ValueError: an item row is not in the catalogue.
        """
        encoder = self.text_encoder
        ids = [self.start_token_id] if add_bos else []
        texts: list[str] = []
        at_start = True
        for segment in segments:
            if isinstance(segment, Text):
                texts.append(segment.text)
            elif isinstance(segment, Items):
                tokens = self.items_to_tokens(segment.rows)
                if tokens.size:
                    ids += encoder.encode("".join(texts), at_start=at_start)
                    ids += tokens.ravel().tolist()
                    texts, at_start = [], False
            else:
                raise TypeError(f"a segment is Text or Items, got {type(segment).__name__}")
        ids += encoder.encode("".join(texts), at_start=at_start)
        return [*ids, self.end_token_id] if add_eos else ids

    def encode_texts(self, texts: Sequence[str]) -> list[list[int]]:
        """Encode many texts as ``[encode_segments([Text(text)]) for text in texts]`` does, in one parallel call."""
        return self.text_encoder.encode_batch(texts)

    @property
    def text_encoder(self) -> PlainTextEncoder:
        """The base's text pipeline without added and special tokens; built on first use."""
        if self._text_encoder is None:
            self._text_encoder = PlainTextEncoder(self.backend_tokenizer, self.all_special_tokens)
        return self._text_encoder

    def _add_tokens(self, new_tokens, special_tokens: bool = False) -> int:
        self._text_encoder = None  # it is rebuilt without the new tokens
        return super()._add_tokens(new_tokens, special_tokens=special_tokens)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_text_encoder": None}  # cheaper to rebuild than to send to a worker

    # -- files --------------------------------------------------------------------------------------------------------

    def _save_pretrained(
        self,
        save_directory: str | os.PathLike,
        file_names: tuple[str, ...],
        legacy_format: bool | None = None,
        filename_prefix: str | None = None,
    ) -> tuple[str, ...]:
        names = super()._save_pretrained(save_directory, file_names, legacy_format, filename_prefix)
        path = Path(save_directory, f"{filename_prefix}-{INDEX_FILE}" if filename_prefix else INDEX_FILE)
        titles = {} if self.item_titles is None else {"titles": self.item_titles}
        write_json(path, {**self.item_index.to_dict(), **titles})
        return (*names, str(path))
