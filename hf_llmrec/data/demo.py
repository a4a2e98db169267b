"""The bundled demo shop: a seeded synthetic data set whose true structure is available for checking a model.

A user chooses the next item as follows:

1. With probability `NOISE`, any item, drawn by popularity.
2. Otherwise a *kind* of item that follows the kind of the last item (`transitions`: mostly the next kind of the same
   department), then one of the kind's *groups* (skewed popularity), then one item of that group. The items of a group
   have nearly the same text, and each belongs to one *community* of users: a user takes the item of its own community
   with probability `LOYALTY`. Which item belongs to which community does not follow from the text, only from who buys
   it.
3. Items that the user already has are never chosen again; the probabilities of the others are renormalised.

`DemoShop.next_item_probabilities` computes this distribution.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from . import demo_texts as words
from .interactions import RecDataset

COMMUNITIES = 3
NOISE = 0.1
LOYALTY = 0.9
GROUP_SHARES = np.array([0.5, 0.25, 0.13, 0.08, 0.04])
FOLLOW = {"next": 0.62, "same": 0.16, "partner": 0.22}
SHORTEST, LONGEST = 5, 15
REVIEW_SHARE = 0.5
DAY = 86_400


@dataclass(frozen=True)
class _Choices:
    """How users choose items. The fields are those of `DemoShop`."""

    communities: np.ndarray
    item_kind: np.ndarray
    item_group: np.ndarray
    item_community: np.ndarray
    popularity: np.ndarray
    transitions: np.ndarray
    choice: np.ndarray

    def _weights(self, last: np.ndarray, communities: np.ndarray) -> np.ndarray:
        """float64 (n, num_items), the weight of each item before the items that a user already has are removed.

        Args:
            last: int (n,), row of the last item; -1 at the start of a user.
            communities: int (n,), the users' communities.
        """
        kinds = np.where(last[:, None] >= 0, self.transitions[self.item_kind[last]], 1.0 / len(self.transitions))
        structured = kinds[:, self.item_kind] * self.choice[communities]
        return NOISE * self.popularity + (1 - NOISE) * structured


@dataclass(frozen=True, kw_only=True)
class DemoShop(_Choices):
    """The data set and the true structure it was generated from.

    Attributes:
        dataset: the data that a recommender is trained on.
        communities: int64 (num_users,), the community of each user.
        item_kind: int64 (num_items,), the kind of each item.
        item_group: int64 (num_items,), the group of each item; items of one group have nearly the same text.
        item_community: int64 (num_items,), the community that each item belongs to.
        popularity: float64 (num_items,), the distribution that noise is drawn from; sums to 1.
        transitions: float64 (kinds, kinds), probability of the next kind given the last one; rows sum to 1.
        choice: float64 (communities, num_items), share of an item among the items of its kind, for a user of that
            community.
    """

    dataset: RecDataset

    def next_item_probabilities(
        self,
        histories: Sequence[np.ndarray],
        *,
        user_rows: np.ndarray | None = None,
        communities: np.ndarray | None = None,
    ) -> np.ndarray:
        """The generator's next-item distribution, float64 (n, num_items); rows sum to 1.

        Args:
            histories: n int arrays of item rows, oldest first; an empty array is the start of a user.
            user_rows: int (n,), users whose true communities are used. Give either this or ``communities``.
            communities: int (n,), the communities themselves.

        Raises:
            ValueError: both or neither of ``user_rows`` and ``communities`` are given.
        """
        if (user_rows is None) == (communities is None):
            raise ValueError("give exactly one of user_rows and communities")
        communities = self.communities[user_rows] if communities is None else np.asarray(communities)
        last = np.array([history[-1] if len(history) else -1 for history in histories])
        weights = self._weights(last, communities)
        for row, history in enumerate(histories):
            weights[row, history] = 0.0
        return weights / weights.sum(axis=1, keepdims=True)


def _kind_transitions(kinds_per_department: int, departments: int, rng: np.random.Generator) -> np.ndarray:
    total = kinds_per_department * departments
    matrix = np.zeros((total, total))
    partner = rng.permutation(departments)
    partner = np.where(partner == np.arange(departments), (partner + 1) % departments, partner)
    for kind in range(total):
        department, place = divmod(kind, kinds_per_department)
        first = department * kinds_per_department
        matrix[kind, first + (place + 1) % kinds_per_department] += FOLLOW["next"]
        matrix[kind, first + (place + 3) % kinds_per_department] += FOLLOW["same"]
        matrix[kind, partner[department] * kinds_per_department + place] += FOLLOW["partner"]
    return matrix


def make_demo_shop(seed: int = 0, num_users: int = 1500, num_items: int = 600) -> DemoShop:
    """Generate the demo shop, with about ten interactions per user. Equal arguments give equal shops.

    Args:
        seed: seed of all random numbers.
        num_users: number of users, at least 1.
        num_items: number of items, a multiple of 600 (40 kinds x 5 groups x 3 communities).

    Raises:
        ValueError: a number of users or items that is not allowed.
    """
    kinds = [(name, purpose, department) for department, rows in words.DEPARTMENTS.items() for name, purpose in rows]
    groups = len(GROUP_SHARES)
    unit = len(kinds) * groups * COMMUNITIES
    if num_items % unit or num_items < unit or num_users < 1:
        raise ValueError(
            f"num_items must be a multiple of {unit} and num_users at least 1; got {num_items}, {num_users}"
        )
    copies = num_items // unit
    rng = np.random.default_rng(seed)
    groups *= copies
    shares = np.repeat(GROUP_SHARES / copies, copies)
    item = np.arange(num_items)
    kind, group_in_kind = item // (groups * COMMUNITIES), item // COMMUNITIES % groups
    group = item // COMMUNITIES
    # Each group draws which of its items belongs to which community.
    community = np.concatenate([rng.permutation(COMMUNITIES) for _ in range(num_items // COMMUNITIES)])
    choice = np.stack(
        [
            shares[group_in_kind] * np.where(community == c, LOYALTY, (1 - LOYALTY) / (COMMUNITIES - 1))
            for c in range(COMMUNITIES)
        ]
    )
    popularity = shares[group_in_kind] * rng.lognormal(sigma=0.6, size=len(kinds))[kind]
    choices = _Choices(
        communities=rng.integers(COMMUNITIES, size=num_users),
        item_kind=kind,
        item_group=group,
        item_community=community,
        popularity=popularity / popularity.sum(),
        transitions=_kind_transitions(5, len(words.DEPARTMENTS), rng),
        choice=choice,
    )
    sequences = _walk(choices, rng)
    # The rows of the items table are shuffled, so that the number of an item does not reveal its group.
    order = rng.permutation(num_items)
    texts = _item_texts(kinds, kind, rng)
    dataset = _dataset(sequences, texts, order, rng)
    return DemoShop(
        dataset=dataset,
        communities=choices.communities,
        item_kind=kind[order],
        item_group=group[order],
        item_community=community[order],
        popularity=choices.popularity[order],
        transitions=choices.transitions,
        choice=choice[:, order],
    )


def _walk(choices: _Choices, rng: np.random.Generator) -> list[np.ndarray]:
    """Draw the items of every user, one step at a time for all users."""
    users, items = len(choices.communities), len(choices.item_kind)
    lengths = rng.integers(SHORTEST, LONGEST + 1, size=users)
    chosen = np.zeros((users, LONGEST), dtype=np.int64)
    seen = np.zeros((users, items), dtype=bool)
    last = np.full(users, -1)
    for step in range(LONGEST):
        weights = np.where(seen, 0.0, choices._weights(last, choices.communities)).cumsum(axis=1)
        draw = rng.random(users) * weights[:, -1]
        last = np.minimum((weights <= draw[:, None]).sum(axis=1), items - 1)
        chosen[:, step] = last
        seen[np.arange(users), last] = True
    return [chosen[user, : lengths[user]] for user in range(users)]


def _item_texts(
    kinds: Sequence[tuple[str, str, str]], kind: np.ndarray, rng: np.random.Generator
) -> dict[str, list[Any]]:
    """Texts of items, and the words that fill their templates. Items of a group differ in the look-alike phrases only.

    Args:
        kinds: name, purpose and department of each kind.
        kind: int (num_items,), the kind of each item.
        rng: source of random numbers.
    """
    columns: dict[str, list[Any]] = {name: [] for name in ("title", "description", "brand", "category", "fields")}
    used: set[str] = set()
    for start in range(0, len(kind), COMMUNITIES):
        name, purpose, department = kinds[kind[start]]
        while True:
            brand, line, quality = (str(rng.choice(pool)) for pool in (words.BRANDS, words.LINES, words.QUALITIES))
            stem = f"{brand} {line} {name}, {quality}"
            if stem not in used:
                used.add(stem)
                break
        fields = {"kind": name, "purpose": purpose, "brand": brand, "line": line, "quality": quality}
        body = str(rng.choice(words.DESCRIPTIONS)).format(**fields)
        body = body[0].upper() + body[1:]
        titles = rng.permutation(len(words.LOOK_ALIKE_TITLES))[:COMMUNITIES]
        endings = rng.permutation(len(words.LOOK_ALIKE_ENDINGS))[:COMMUNITIES]
        for title, ending in zip(titles, endings, strict=True):
            columns["title"].append(words.LOOK_ALIKE_TITLES[title].format(stem=stem))
            columns["description"].append(f"{body} {words.LOOK_ALIKE_ENDINGS[ending]}")
            columns["brand"].append(brand)
            columns["category"].append(department)
            columns["fields"].append(fields)
    return columns


def _dataset(
    sequences: Sequence[np.ndarray], texts: dict[str, list[Any]], order: np.ndarray, rng: np.random.Generator
) -> RecDataset:
    ids = np.empty(len(order), dtype=object)
    ids[order] = [f"item-{row:04d}" for row in range(len(order))]
    tables: dict[str, dict[str, list[Any]]] = {
        "interactions": {"user_id": [], "item_id": [], "timestamp": []},
        "reviews": {"user_id": [], "item_id": [], "text": [], "timestamp": []},
        "intentions": {"user_id": [], "item_id": [], "text": [], "timestamp": []},
        "preferences": {"user_id": [], "text": []},
    }
    for row, items in enumerate(sequences):
        user = f"user-{row:04d}"
        # At least a day apart, plus less than half a day: strictly increasing, so no two times of a user tie.
        times = 1_600_000_000 + DAY * (rng.integers(365) + np.cumsum(rng.integers(1, 15, size=len(items))))
        times = times + rng.integers(DAY // 2, size=len(items))
        reviewed = rng.random(len(items)) < REVIEW_SHARE
        for item, time, has_review in zip(items.tolist(), times.tolist(), reviewed.tolist(), strict=True):
            _append(tables["interactions"], user, ids[item], time)
            if has_review:
                fields = texts["fields"][item]
                _append(tables["reviews"], user, ids[item], str(rng.choice(words.REVIEWS)).format(**fields), time)
                _append(tables["intentions"], user, ids[item], str(rng.choice(words.INTENTIONS)).format(**fields), time)
        # The last two interactions are held out for validation and test: a preference must not reveal them.
        departments = [texts["category"][item] for item in items[:-2]]
        ranked = sorted(set(departments), key=lambda name: (-departments.count(name), name))
        quality = texts["fields"][items[0]]["quality"]
        second = ranked[1].lower() if len(ranked) > 1 else "anything new"
        values = {"first": ranked[0].lower(), "second": second, "quality": quality}
        _append(tables["preferences"], user, str(rng.choice(words.PREFERENCES)).format(**values))
    items = {
        "item_id": ids[order].tolist(),
        "title": [texts["title"][row] for row in order],
        "description": [texts["description"][row] for row in order],
        "brand": [texts["brand"][row] for row in order],
        "categories": [texts["category"][row] for row in order],
    }
    return RecDataset.from_datasets(
        tables["interactions"],
        items,
        reviews=tables["reviews"],
        intentions=tables["intentions"],
        preferences=tables["preferences"],
        name="demo-shop",
    )


def _append(table: dict[str, list[Any]], *values: Any) -> None:
    for column, value in zip(table.values(), values, strict=True):
        column.append(value)
