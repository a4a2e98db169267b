"""Requests to a language model for intentions and preferences.

They contain reviews of training interactions, or descriptions of items: nothing that a recommender is evaluated on.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from importlib import resources
from typing import Any

import numpy as np
import yaml

from ..data.interactions import RecDataset
from ..data.splits import RecSplit
from .answers import name_pattern

MAX_CHARACTERS = 2_000
DESCRIPTION_INSTRUCTION = "intentions_from_descriptions"
# The characters that chat templates form role markers and special tokens from.
_ESCAPED = {character: f"\\u{ord(character):04x}" for character in "<>|[]"}


@dataclass(frozen=True)
class Request:
    """A request for one text.

    Attributes:
        kind: ``intentions`` or ``preferences``.
        user_id: the user that the text is about; ``None``: it is about the item alone.
        item_id: the item of an intention; ``None`` for a preference.
        timestamp: when the review of an intention was written; ``None`` for a preference.
        data: JSON object that the language model reads.
        forbidden: titles and brands that the answer must not contain.
        instruction: name of the instruction, see `instructions`; "": that of the kind.
    """

    kind: str
    user_id: str | None
    item_id: str | None
    timestamp: int | None
    data: dict[str, Any]
    forbidden: tuple[str, ...] = ()
    instruction: str = ""

    def messages(self, answer_format: str) -> list[dict[str, str]]:
        """The request as a chat: the instruction is the system's message, the data are the user's.

        The data are JSON that contains no special token of a chat template, so that the text of a review can neither
        open a new message nor end its own.

        Args:
            answer_format: ``json`` or ``text``, see `parse_answer`.
        """
        words = instructions()[self.instruction or self.kind]
        how = f"Answer with the text alone. Example: {words['example']}"
        if answer_format == "json":
            example = json.dumps({"text": words["example"]})
            how = f'Answer with a JSON object whose only field is "text". Example: {example}'
        return [
            {"role": "system", "content": f"{words['instruction'].strip()} {how}"},
            {"role": "user", "content": escaped_json(self.data)},
        ]


def escaped_json(value: Any) -> str:
    """Serialise to JSON whose strings contain none of the characters ``<>|[]``; a JSON parser restores the value.

    Args:
        value: any JSON value.
    """
    parts = []
    for number, part in enumerate(_strings_apart(json.dumps(value, ensure_ascii=False))):
        if number % 2:
            part = "".join(_ESCAPED.get(character, character) for character in part)
        parts.append(part)
    return "".join(parts)


def _strings_apart(text: str) -> list[str]:
    """Split JSON text at its quotes: pieces with odd numbers are inside strings."""
    pieces, start, inside, place = [], 0, False, 0
    while place < len(text):
        if text[place] == "\\" and inside:
            place += 1
        elif text[place] == '"':
            pieces.append(text[start:place])
            start, inside = place, not inside
        place += 1
    return [*pieces, text[start:]]


@cache
def instructions() -> dict[str, dict[str, str]]:
    """The instruction and the example of each kind of text, and of intentions that are written from descriptions."""
    text = resources.files("hf_llmrec").joinpath("supervision/instructions.yaml").read_text(encoding="utf-8")
    return yaml.safe_load(text)


def instructions_version() -> str:
    """A hash of the instructions, 12 hexadecimal digits."""
    return hashlib.sha256(json.dumps(instructions(), sort_keys=True).encode()).hexdigest()[:12]


@dataclass
class Readable:
    """Reviews that a language model may read, and the numbers of reviews that it may not.

    Attributes:
        reviews: per user row a list of (timestamp, item row, text), oldest first.
        held_out: number of reviews of held-out items.
        late: number of reviews written at or after their user's split point.
        unknown: number of reviews of items that the user has no interaction with.
    """

    reviews: dict[int, list[tuple[int, int, str]]] = field(default_factory=dict)
    held_out: int = 0
    late: int = 0
    unknown: int = 0


def readable_reviews(dataset: RecDataset, split: RecSplit) -> Readable:
    """Select the reviews of training interactions that were written before their user's split point.

    The split point of a user is the time of their first held-out interaction. Timestamps often have the resolution of a
    day, so a review with the same timestamp is left out as well.

    Args:
        dataset: has the table ``reviews`` and timestamps.
        split: determines which interactions are held out.

    Raises:
        ValueError: the dataset has no reviews, or no timestamps to compare them with.
    """
    if dataset.reviews is None:
        raise ValueError(f"{dataset.name}: there is no table `reviews`")
    if dataset.timestamps is None:
        raise ValueError(f"{dataset.name}: without timestamps no review is known to be from before the split")
    train_lengths = np.diff(split.train_indptr)
    has_held_out = train_lengths < np.diff(dataset.indptr)
    split_points = np.full(dataset.num_users, np.iinfo(np.int64).max)
    split_points[has_held_out] = dataset.timestamps[(dataset.indptr[:-1] + train_lengths)[has_held_out]]
    readable = Readable()
    columns = (dataset.reviews.column(name).to_pylist() for name in ("user_id", "item_id", "text", "timestamp"))
    for user_id, item_id, text, when in zip(*columns, strict=True):
        user, item = dataset.user_row[user_id], dataset.item_row[item_id]
        sequence = dataset.sequence(user)
        if item not in sequence:
            readable.unknown += 1
        elif item in sequence[train_lengths[user] :]:
            readable.held_out += 1
        elif when >= split_points[user]:
            readable.late += 1
        elif text and text.strip():
            readable.reviews.setdefault(user, []).append((when, item, text.strip()[:MAX_CHARACTERS]))
    for reviews in readable.reviews.values():
        reviews.sort(key=lambda review: review[0])
    return readable


def intention_requests(dataset: RecDataset, readable: Readable) -> Iterator[Request]:
    """Yield one request per readable review. It does not contain the item's title, and neither may the answer.

    Args:
        dataset: the dataset of the reviews.
        readable: the reviews, from `readable_reviews`.
    """
    for user, reviews in readable.reviews.items():
        for when, item, text in reviews:
            forbidden = _names(dataset, item)
            data = {"review": without(text, forbidden)}
            yield Request("intentions", dataset.user_ids[user], dataset.item_ids[item], when, data, forbidden)


def description_requests(dataset: RecDataset) -> Iterator[Request]:
    """Yield one request for an intention per item with a description, for data sets without reviews.

    Neither the request nor the answer contains the item's title or brand.

    Args:
        dataset: the dataset.

    Raises:
        ValueError: no item has a description.
    """
    if not any(dataset.descriptions):
        raise ValueError(f"{dataset.name}: no item has a description")
    for item, text in enumerate(dataset.descriptions):
        if text.strip():
            forbidden = _names(dataset, item)
            data = {"description": without(text.strip()[:MAX_CHARACTERS], forbidden)}
            yield Request("intentions", None, dataset.item_ids[item], None, data, forbidden, DESCRIPTION_INSTRUCTION)


def preference_requests(
    dataset: RecDataset, readable: Readable, *, max_reviews: int = 20, max_characters: int = 8_000
) -> Iterator[Request]:
    """Yield one request per user with readable reviews, made from the latest of them.

    Args:
        dataset: the dataset of the reviews.
        readable: the reviews, from `readable_reviews`.
        max_reviews: largest number of reviews in a request.
        max_characters: largest total length of the reviews in a request; the latest review is always included.
    """
    for user, reviews in readable.reviews.items():
        read: list[tuple[int, str]] = []
        for _, item, text in reversed(reviews[-max_reviews:]):
            if read and sum(len(other) for _, other in read) + len(text) > max_characters:
                break
            read.append((item, text))
        texts = [{"item": dataset.titles[item], "review": text} for item, text in reversed(read)]
        forbidden = tuple(dict.fromkeys(name for item, _ in read for name in _names(dataset, item)))
        yield Request("preferences", dataset.user_ids[user], None, None, {"reviews": texts}, forbidden)


def _names(dataset: RecDataset, item: int) -> tuple[str, ...]:
    return tuple(name for name in (dataset.titles[item], dataset.brands[item]) if len(name) > 1)


def without(text: str, names: tuple[str, ...]) -> str:
    """Replace names in a text by "it".

    Args:
        text: a review.
        names: titles and brands; they are matched as in `name_pattern`.
    """
    for name in names:
        text = name_pattern(name).sub("it", text)
    return text
