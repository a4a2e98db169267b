"""What a language model may read to write an intention or a preference, and nothing that a model is tested on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

import numpy as np
import yaml

from ..data.interactions import RecDataset
from ..data.splits import RecSplit
from .answers import name_pattern

MAX_CHARACTERS = 2_000
# Names of messages and of special tokens, in the formats of chat templates, are made of these.
_ESCAPED = {character: f"\\u{ord(character):04x}" for character in "<>|[]"}


@dataclass(frozen=True)
class Request:
    """One text to be written.

    Attributes:
        kind: ``intentions`` or ``preferences``. user_id: whose.
        item_id, timestamp: what an intention is about, and when its review was written.
        data: what the language model reads. forbidden: titles and brands that an answer must not name.
    """

    kind: str
    user_id: str
    item_id: str | None
    timestamp: int | None
    data: dict[str, Any]
    forbidden: tuple[str, ...] = ()

    def messages(self, answer_format: str) -> list[dict[str, str]]:
        """A chat: the instruction as the system's, the data as the user's message.

        The data are JSON in which no special token of a chat template can stand, so that no text of a review opens a
        message of its own or ends the one it is in.
        """
        words = instructions()[self.kind]
        how = f"Answer with the text alone. Example: {words['example']}"
        if answer_format == "json":
            example = json.dumps({"text": words["example"]})
            how = f'Answer with a JSON object whose only field is "text". Example: {example}'
        return [
            {"role": "system", "content": f"{words['instruction'].strip()} {how}"},
            {"role": "user", "content": escaped_json(self.data)},
        ]


def escaped_json(value: Any) -> str:
    """JSON whose strings hold no character of `<>|[]`; a JSON parser gives the value back."""
    parts = []
    for number, part in enumerate(_strings_apart(json.dumps(value, ensure_ascii=False))):
        if number % 2:
            part = "".join(_ESCAPED.get(character, character) for character in part)
        parts.append(part)
    return "".join(parts)


def _strings_apart(text: str) -> list[str]:
    """JSON text in pieces, the odd ones inside of strings."""
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
    """Instruction and example of each kind."""
    text = resources.files("hf_llmrec").joinpath("supervision/instructions.yaml").read_text(encoding="utf-8")
    return yaml.safe_load(text)


def instructions_version() -> str:
    """Changes when the instructions do."""
    return hashlib.sha256(json.dumps(instructions(), sort_keys=True).encode()).hexdigest()[:12]


@dataclass
class Readable:
    """Reviews that may be read, per user in time order, and how many may not.

    Attributes:
        reviews: per user row, (timestamp, item row, text), oldest first.
        held_out: reviews of held-out items. late: reviews at or after their user's split point. unknown: reviews of
            pairs that are no interaction of the user.
    """

    reviews: dict[int, list[tuple[int, int, str]]]
    held_out: int
    late: int
    unknown: int


def readable_reviews(dataset: RecDataset, split: RecSplit) -> Readable:
    """Reviews of training interactions, written before their user's split point.

    The split point of a user is the time of its first held-out interaction. Days are often all that a time has: a
    review of the same day is left out, too.

    Raises:
        ValueError: a dataset without reviews, or without timestamps to compare them with.
    """
    if dataset.reviews is None:
        raise ValueError(f"{dataset.name}: there is no table `reviews`")
    if dataset.timestamps is None:
        raise ValueError(f"{dataset.name}: without timestamps no review is known to be from before the split")
    kept = np.diff(split.train_indptr)
    has_more = kept < np.diff(dataset.indptr)
    points = np.full(dataset.num_users, np.iinfo(np.int64).max)
    points[has_more] = dataset.timestamps[(dataset.indptr[:-1] + kept)[has_more]]
    found = Readable({}, 0, 0, 0)
    columns = (dataset.reviews.column(name).to_pylist() for name in ("user_id", "item_id", "text", "timestamp"))
    for user_id, item_id, text, when in zip(*columns, strict=True):
        user, item = dataset.user_row[user_id], dataset.item_row[item_id]
        sequence = dataset.sequence(user)
        if item not in sequence:
            found.unknown += 1
        elif item in sequence[kept[user] :]:
            found.held_out += 1
        elif when >= points[user]:
            found.late += 1
        elif text and text.strip():
            found.reviews.setdefault(user, []).append((when, item, text.strip()[:MAX_CHARACTERS]))
    for reviews in found.reviews.values():
        reviews.sort(key=lambda review: review[0])
    return found


def intention_requests(dataset: RecDataset, readable: Readable) -> Iterator[Request]:
    """One request per readable review. The item's title is not told, and must not come back."""
    for user, reviews in readable.reviews.items():
        for when, item, text in reviews:
            forbidden = _names(dataset, item)
            data = {"review": without(text, forbidden)}
            yield Request("intentions", dataset.user_ids[user], dataset.item_ids[item], when, data, forbidden)


def preference_requests(
    dataset: RecDataset, readable: Readable, *, max_reviews: int = 20, max_characters: int = 8_000
) -> Iterator[Request]:
    """One request per user with readable reviews, of the latest of them.

    Args:
        max_reviews, max_characters: of the reviews in a request together, at most; the latest is always read.
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
    """``text`` with names replaced by "it", see `name_pattern`."""
    for name in names:
        text = name_pattern(name).sub("it", text)
    return text
