"""The token sequences that GAL-Rec reads: a user with its hops, and the short segments of users and items."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from typing import Any

import numpy as np
import yaml
from transformers import PreTrainedTokenizerBase

from ...prompting.chat import ChatFrame, chat_frame, render_frame
from ...prompting.segments import PlainTextEncoder
from .configuration_galrec import GALRecConfig

_PLACEHOLDER = re.compile(r"(\{\w+\})")
SECTIONS = {
    **dict.fromkeys(("hop_1", "hop_2", "hop_3", "audience"), {"{nodes}", "{readout}"}),
    **dict.fromkeys(("end", "own"), {"{user}", "{readout}"}),
    "item": {"{item}", "{title}", "{readout}"},
}
NEIGHBOR_ORDERS = ("uniform", "most_shared")


@dataclass(frozen=True)
class GALRecPrompt:
    """What a user's sequence holds. Stored with the model, so that it is asked as it was trained.

    Attributes:
        template: a name in ``templates.yaml``: ``words``, or ``bare`` without any.
        hops: 1 (items), 2 (and users who share them) or 3 (and what those chose).
        max_history: items of hop 1, the latest. num_neighbors: users of hop 2. num_neighbor_items: items of hop 3.
        neighbor_order: ``uniform`` samples hop 2, ``most_shared`` takes who shares most items.
        title_hops: where titles stand beside items: 1 and 3 are hops, 0 is the segment of a single item.
        max_title_tokens: of each title; what is longer is cut.
        max_length: tokens of a sequence. Over it the farthest hop goes first, then the oldest items.
        chat: whether a sequence is a message of the tokenizer's chat template, for instruct models; its last read-out
            stands where the answer would begin.
        chat_frame: what the chat template wrote before and after a message when the model was trained; ``None``: not
            kept yet, the tokenizer's template is asked.
    """

    template: str = "words"
    hops: int = 2
    max_history: int = 50
    num_neighbors: int = 8
    num_neighbor_items: int = 8
    neighbor_order: str = "uniform"
    title_hops: tuple[int, ...] = (0,)
    max_title_tokens: int = 16
    max_length: int = 512
    chat: bool = False
    chat_frame: tuple[str, str] | None = None

    def __post_init__(self):
        if self.chat_frame is not None:
            object.__setattr__(self, "chat_frame", tuple(self.chat_frame))
        object.__setattr__(self, "title_hops", tuple(self.title_hops))
        if self.hops not in (1, 2, 3):
            raise ValueError(f"hops must be 1, 2 or 3, got {self.hops}")
        if self.neighbor_order not in NEIGHBOR_ORDERS:
            raise ValueError(f"neighbor_order must be one of {NEIGHBOR_ORDERS}, got {self.neighbor_order!r}")
        if not set(self.title_hops) <= {0, 1, 3}:
            raise ValueError(f"title_hops must be among 0, 1 and 3, where items stand; got {list(self.title_hops)}")
        for name in ("max_history", "num_neighbors", "num_neighbor_items", "max_title_tokens", "max_length"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1, got {getattr(self, name)}")

    def to_dict(self) -> dict[str, Any]:
        return {**dataclasses.asdict(self), "title_hops": list(self.title_hops)}


@lru_cache(maxsize=8)
def load_galrec_template(name: str, path: str | None = None) -> dict[str, str]:
    """A template's sections by name, from a YAML file (default: the package's own).

    Raises:
        ValueError: no such template, or a section without its placeholders or with others; names file and section.
    """
    if path is None:
        text = resources.files(__package__).joinpath("templates.yaml").read_text(encoding="utf-8")
    else:
        with open(path, encoding="utf-8") as handle:
            text = handle.read()
    file = path or "hf_llmrec/methods/galrec/templates.yaml"
    templates = yaml.safe_load(text)
    if name not in templates:
        raise ValueError(f"{file} has no template {name!r}, only {sorted(templates)}")
    sections = templates[name]
    if set(sections) != set(SECTIONS):
        raise ValueError(f"{file}: template {name!r} must have the sections {sorted(SECTIONS)}, got {sorted(sections)}")
    for section, pattern in sections.items():
        found = _PLACEHOLDER.findall(pattern)
        if set(found) != SECTIONS[section] or len(found) != len(set(found)) or not pattern.endswith("{readout}"):
            needed = sorted(SECTIONS[section])
            raise ValueError(f"{file}: {name}.{section} must hold each of {needed} once, and end with {{readout}}")
    return sections


class GALRecLayout:
    """Turns rows of users and items into token ids.

    Titles and template words are encoded by `PlainTextEncoder`: no text, whatever it contains, becomes a special token;
    entity tokens are no vocabulary entries at all.

    Args:
        prompt: what to put in. config: of the model, for its token ids.
        tokenizer: of the backbone; may be ``None`` for a template without words and no titles.
        titles: of all items, in row order. template: sections to use instead of the prompt's, see the YAML file.

    Attributes:
        prompt: with the `chat_frame` that is in use, as a trained model keeps it.

    Raises:
        ValueError: words or titles without a tokenizer, or a ``max_length`` below what the words alone take.
    """

    def __init__(
        self,
        prompt: GALRecPrompt,
        config: GALRecConfig,
        tokenizer: PreTrainedTokenizerBase | None = None,
        titles: Sequence[str] = (),
        template: dict[str, str] | None = None,
    ):
        self.prompt, self.config, self.ids = prompt, config, config.special_token_ids
        # Read once: a configuration's attributes are slow, and rows are built by the million.
        self.first_item_id, self.first_user_id = config.first_item_id, config.first_user_id
        self._tokens = {name: np.array([token]) for name, token in self.ids.items()}
        sections = template or load_galrec_template(prompt.template)
        words = {name: [part for part in _PLACEHOLDER.split(pattern) if part] for name, pattern in sections.items()}
        has_words = any(not _PLACEHOLDER.fullmatch(part) for parts in words.values() for part in parts)
        if tokenizer is None and (has_words or prompt.title_hops or prompt.chat):
            raise ValueError("a template with words, titles or a chat needs the backbone's tokenizer")
        self._frame = ChatFrame()
        if prompt.chat:
            self.prompt = dataclasses.replace(prompt, chat_frame=prompt.chat_frame or render_frame(tokenizer))
            self._frame = chat_frame(tokenizer, self.prompt.chat_frame)
        encoder = None
        if tokenizer is not None:
            encoder = PlainTextEncoder(tokenizer.backend_tokenizer, set(tokenizer.all_special_tokens))
        self._parts = {
            name: [
                part if _PLACEHOLDER.fullmatch(part) else np.array(encoder.encode(part, at_start=not place))
                for place, part in enumerate(parts)
            ]
            for name, parts in words.items()
        }
        self._titles: list[np.ndarray] = []
        if prompt.title_hops:
            if len(titles) != config.num_items:
                raise ValueError(f"titles of all {config.num_items} items are needed, got {len(titles)}")
            cut = prompt.max_title_tokens
            self._titles = [np.array(ids[:cut], dtype=np.int64) for ids in encoder.encode_batch(list(titles))]
        used = [f"hop_{hop}" for hop in range(1, prompt.hops + 1)] + ["end"]
        self._overhead = sum(1 if isinstance(part, str) else len(part) for name in used for part in self._parts[name])
        self._overhead += len(self._frame) - prompt.hops  # {nodes} of each hop stands for any number of tokens
        if self._overhead >= prompt.max_length:
            raise ValueError(f"max_length {prompt.max_length}: the template's words alone take {self._overhead} tokens")

    def user_sequence(
        self, history: np.ndarray, neighbors: np.ndarray = (), neighbor_items: np.ndarray = ()
    ) -> np.ndarray:
        """A user's whole sequence, int64 (length,), at most ``max_length``.

        Args:
            history: int (n,) item rows, oldest first; the latest ``max_history`` are used.
            neighbors: int (m,) user rows of the graph. neighbor_items: int (k,) item rows.
        """
        prompt = self.prompt
        hops = [
            self._items(np.asarray(history, dtype=np.int64)[-prompt.max_history :], 1),
            self._users(np.asarray(neighbors, dtype=np.int64)[: prompt.num_neighbors]),
            self._items(np.asarray(neighbor_items, dtype=np.int64)[: prompt.num_neighbor_items], 3),
        ][: prompt.hops]
        over = self._overhead + sum(len(node) for hop in hops for node in hop) - prompt.max_length
        for hop in reversed(range(1, len(hops))):  # farthest first, the last of each
            while over > 0 and hops[hop]:
                over -= len(hops[hop].pop())
        while over > 0 and hops[0]:
            over -= len(hops[0].pop(0))
        parts = []
        for hop, nodes in enumerate(hops, start=1):
            parts += self._section(f"hop_{hop}", f"USER_{hop}", {"{nodes}": nodes})
        parts += self._section("end", "REC", {"{user}": [self._tokens["USER"]]})
        return self._framed(parts)

    def own_segment(self) -> np.ndarray:
        """The segment of E_u^0, int64 (length,): the example's own user alone."""
        return self._framed(self._section("own", "USER_0", {"{user}": [self._tokens["USER"]]}))

    def item_segment(self, item: int) -> tuple[np.ndarray, np.ndarray]:
        """The segment of E_i^0: (tokens int64 (length,), the title's tokens as text labels, -100 elsewhere)."""
        title = self._titles[item] if 0 in self.prompt.title_hops else np.zeros(0, dtype=np.int64)
        token = np.array([self.first_item_id + item])
        parts = self._section("item", "ITEM_0", {"{item}": [token], "{title}": [title]})
        labels = [part if part is title else np.full(len(part), -100) for part in parts]
        return self._framed(parts), self._framed(labels, hide=True)

    def audience_segment(self, users: np.ndarray) -> np.ndarray:
        """The segment of E_i^1, int64 (length,): users of an item, rows of the graph."""
        nodes = self._users(np.asarray(users, dtype=np.int64))
        return self._framed(self._section("audience", "ITEM_1", {"{nodes}": nodes}))

    def _framed(self, parts: list[np.ndarray], hide: bool = False) -> np.ndarray:
        """A sequence with the chat around it, whose read-out, the last part, begins the answer; -100 to ``hide``."""
        around = (self._frame.before, self._frame.after)
        before, after = (np.full(len(ids), -100) if hide else np.array(ids, dtype=np.int64) for ids in around)
        return np.concatenate([before, *parts[:-1], after, parts[-1]])

    def _section(self, name: str, readout: str, values: dict[str, list[np.ndarray]]) -> list[np.ndarray]:
        found: list[np.ndarray] = []
        for part in self._parts[name]:
            if not isinstance(part, str):
                found.append(part)
            else:
                found += [self._tokens[readout]] if part == "{readout}" else values[part]
        return found

    def _users(self, users: np.ndarray) -> list[np.ndarray]:
        return list((self.first_user_id + users)[:, None])

    def _items(self, items: np.ndarray, hop: int) -> list[np.ndarray]:
        """One array per item: its token, and its title's where the hop has titles."""
        tokens = (self.first_item_id + items)[:, None]
        if hop not in self.prompt.title_hops:
            return list(tokens)
        return [np.concatenate([token, self._titles[item]]) for token, item in zip(tokens, items, strict=True)]
