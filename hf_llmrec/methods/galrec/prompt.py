"""The token sequences that GAL-Rec reads: users with their hops, and the short segments of users and items."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import yaml
from transformers import PreTrainedTokenizerBase

from ...prompting.chat import ChatFrame, chat_frame, render_frame
from ...prompting.segments import PlainTextEncoder
from .configuration_galrec import GALRecConfig

if TYPE_CHECKING:
    from tokenizers import Tokenizer

_PACKAGE = __name__.rpartition(".")[0]
_PLACEHOLDER = re.compile(r"(\{\w+\})")
SECTIONS = {
    **dict.fromkeys(("hop_1", "hop_2", "hop_3", "audience"), {"{nodes}", "{readout}"}),
    **dict.fromkeys(("end", "own"), {"{user}", "{readout}"}),
    "item": {"{item}", "{title}", "{readout}"},
}
NEIGHBOR_ORDERS = ("uniform", "most_shared")


@dataclass(frozen=True)
class GALRecPrompt:
    """What a user's sequence holds; stored with the model, so that it is served as it was trained.

    Args:
        template: a name in ``templates.yaml``: ``words``, or ``bare``, which has no words.
        hops: 1 (items), 2 (and users who share them) or 3 (and items that these users chose).
        max_history: maximum number of items of hop 1, the latest.
        num_neighbors: maximum number of users of hop 2.
        num_neighbor_items: maximum number of items of hop 3.
        neighbor_order: ``uniform`` samples hop 2, ``most_shared`` takes the users who share most items.
        title_hops: where titles follow items: 1 and 3 are hops, 0 is the segment of a single item.
        max_title_tokens: longer titles are cut.
        max_length: maximum number of tokens of a sequence. Longer ones lose the farthest hop first, then the oldest
            items.
        chat: whether a sequence is a message of the tokenizer's chat template, for instruct models; its last read-out
            stands where the answer would begin.
        chat_frame: what the chat template wrote before and after a message when the model was trained; ``None``: not
            stored yet, taken from the tokenizer's template.

    Raises:
        ValueError: a value that a field cannot have.
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
        """The fields as JSON values."""
        return {**dataclasses.asdict(self), "title_hops": list(self.title_hops)}


@lru_cache(maxsize=8)
def load_galrec_template(name: str, path: str | None = None) -> dict[str, str]:
    """Load the sections of a template.

    Args:
        name: of the template.
        path: YAML file of templates; default: the package's own.

    Returns:
        The sections by name.

    Raises:
        ValueError: no such template, or a section without its placeholders or with others; names file and section.
    """
    if path is None:
        text = resources.files(_PACKAGE).joinpath("templates.yaml").read_text(encoding="utf-8")
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
        placeholders, needed = _PLACEHOLDER.findall(pattern), sorted(SECTIONS[section])
        if sorted(placeholders) != needed or not pattern.endswith("{readout}"):
            raise ValueError(f"{file}: {name}.{section} must hold each of {needed} once, and end with {{readout}}")
    return sections


class GALRecLayout:
    """Convert rows of users and items into token ids.

    Titles and template words are encoded by `PlainTextEncoder`: no text, whatever it contains, becomes a special token;
    entity tokens are no vocabulary entries at all.

    Args:
        prompt: what sequences hold.
        config: of the model, for its token ids.
        tokenizer: of the backbone; not needed for a template without words and a prompt without titles.
        titles: of all items, in row order; needed if the prompt has ``title_hops``.
        template: sections to use instead of those of the prompt's template, see ``templates.yaml``.

    Attributes:
        prompt: as passed, with the `chat_frame` in use, as it is stored with a trained model.
        config: of the model.
        ids: token ids of the read-outs and of the user that a sequence is about, by name.
        first_item_id: token id of item row 0.
        first_user_id: token id of user row 0 of the graph.

    Raises:
        ValueError: words, titles or a chat without a tokenizer, missing titles, or a ``max_length`` that leaves no
            room beside the template's words.
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
        # Read once: attributes of a configuration are slow, and millions of rows are built.
        self.first_item_id, self.first_user_id = config.first_item_id, config.first_user_id
        self._tokens = {name: np.array([token]) for name, token in self.ids.items()}
        sections = template or load_galrec_template(prompt.template)
        words = {name: [part for part in _PLACEHOLDER.split(pattern) if part] for name, pattern in sections.items()}
        has_words = any(not _PLACEHOLDER.fullmatch(part) for parts in words.values() for part in parts)
        self._frame = ChatFrame()
        self._titles: list[np.ndarray] = []
        # Of each section its placeholders, and the tokens of the words between them.
        self._parts: dict[str, list[str | np.ndarray]] = {name: list(parts) for name, parts in words.items()}
        if tokenizer is not None:
            if prompt.chat:
                self.prompt = dataclasses.replace(prompt, chat_frame=prompt.chat_frame or render_frame(tokenizer))
                self._frame = chat_frame(tokenizer, self.prompt.chat_frame)
            # Fast tokenizers have this attribute; transformers' base class does not declare it.
            backend = cast("Tokenizer", tokenizer.backend_tokenizer)
            encoder = PlainTextEncoder(backend, set(tokenizer.all_special_tokens))
            for name, parts in words.items():
                self._parts[name] = [
                    part if _PLACEHOLDER.fullmatch(part) else np.array(encoder.encode(part, at_start=not place))
                    for place, part in enumerate(parts)
                ]
            if prompt.title_hops:
                if len(titles) != config.num_items:
                    raise ValueError(f"titles of all {config.num_items} items are needed, got {len(titles)}")
                cut = prompt.max_title_tokens
                self._titles = [np.array(ids[:cut], dtype=np.int64) for ids in encoder.encode_batch(list(titles))]
        elif has_words or prompt.title_hops or prompt.chat:
            raise ValueError("a template with words, titles or a chat needs the backbone's tokenizer")
        used = [f"hop_{hop}" for hop in range(1, prompt.hops + 1)] + ["end"]
        self._overhead = sum(1 if isinstance(part, str) else len(part) for name in used for part in self._parts[name])
        self._overhead += len(self._frame) - prompt.hops  # {nodes} of each hop is replaced by any number of tokens
        if self._overhead >= prompt.max_length:
            raise ValueError(f"max_length {prompt.max_length}: the template's words alone take {self._overhead} tokens")

    def user_sequence(
        self,
        history: np.ndarray,
        neighbors: Sequence[int] | np.ndarray = (),
        neighbor_items: Sequence[int] | np.ndarray = (),
    ) -> np.ndarray:
        """The full sequence of a user.

        Args:
            history: int (n,), item rows, oldest first; the latest ``max_history`` are used.
            neighbors: int (m,), user rows of the graph, hop 2; the first ``num_neighbors`` are used.
            neighbor_items: int (k,), item rows, hop 3; the first ``num_neighbor_items`` are used.

        Returns:
            int64 (length,), at most ``max_length`` tokens.
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
        """The segment of E_u^0: the user that the example is about, alone; int64 (length,)."""
        return self._framed(self._section("own", "USER_0", {"{user}": [self._tokens["USER"]]}))

    def item_segment(self, item: int) -> tuple[np.ndarray, np.ndarray]:
        """The segment of E_i^0: an item with its title.

        Args:
            item: item row.

        Returns:
            The tokens int64 (length,), and text labels int64 (length,): the title's tokens, -100 elsewhere.
        """
        title = self._titles[item] if 0 in self.prompt.title_hops else np.zeros(0, dtype=np.int64)
        token = np.array([self.first_item_id + item])
        parts = self._section("item", "ITEM_0", {"{item}": [token], "{title}": [title]})
        labels = [part if part is title else np.full(len(part), -100) for part in parts]
        return self._framed(parts), self._framed(labels, hide=True)

    def audience_segment(self, users: np.ndarray) -> np.ndarray:
        """The segment of E_i^1: users of an item.

        Args:
            users: int (n,), user rows of the graph.

        Returns:
            int64 (length,).
        """
        nodes = self._users(np.asarray(users, dtype=np.int64))
        return self._framed(self._section("audience", "ITEM_1", {"{nodes}": nodes}))

    def _framed(self, parts: list[np.ndarray], hide: bool = False) -> np.ndarray:
        """Put the chat around a sequence, whose last part, the read-out, begins the answer.

        With ``hide`` the parts are labels, and the chat gets -100.
        """
        around = (self._frame.before, self._frame.after)
        before, after = (np.full(len(ids), -100) if hide else np.array(ids, dtype=np.int64) for ids in around)
        return np.concatenate([before, *parts[:-1], after, parts[-1]])

    def _section(self, name: str, readout: str, values: dict[str, list[np.ndarray]]) -> list[np.ndarray]:
        """Token ids of a section, with the read-out and ``values`` in place of its placeholders."""
        filled: list[np.ndarray] = []
        for part in self._parts[name]:
            if not isinstance(part, str):
                filled.append(part)
            else:
                filled += [self._tokens[readout]] if part == "{readout}" else values[part]
        return filled

    def _users(self, users: np.ndarray) -> list[np.ndarray]:
        return list((self.first_user_id + users)[:, None])

    def _items(self, items: np.ndarray, hop: int) -> list[np.ndarray]:
        """One array per item: its token, followed by those of its title if the hop has titles."""
        tokens = (self.first_item_id + items)[:, None]
        if hop not in self.prompt.title_hops:
            return list(tokens)
        return [np.concatenate([token, self._titles[item]]) for token, item in zip(tokens, items, strict=True)]
