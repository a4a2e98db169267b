"""Layers that map external embeddings into the language model's space, and score items there."""

from __future__ import annotations

from typing import cast

import torch
from torch import nn
from torch.nn import functional as F

from .configuration_galrec import GALRecConfig

# Unit in which the repeat bias is learned: scores range over tens, and one step of Adam moves a parameter by 0.001.
REPEAT_SCALE = 10.0


class MappingLayers(nn.Module):
    """Map external embeddings into the language model's space: an MLP with a linear skip per kind (section 4.2).

    The skip is initialised orthogonally: neighbours in the external space are neighbours in the new one from the first
    step.

    Args:
        config: gives the widths.
    """

    def __init__(self, config: GALRecConfig):
        super().__init__()
        width = config.mapping_size or config.hidden_size
        self.sizes = tuple(config.external_widths.values())
        self.skip = nn.ModuleList(nn.Linear(size, config.hidden_size, bias=False) for size in self.sizes)
        self.inner = nn.ModuleList(nn.Linear(size, width) for size in self.sizes)
        self.outer = nn.ModuleList(nn.Linear(width, config.hidden_size) for _ in self.sizes)

    def forward(self, external: torch.Tensor) -> torch.Tensor:
        """Map embeddings.

        Args:
            external: float (n, external_size), all kinds concatenated.

        Returns:
            float (n, hidden_size), the sum over kinds.
        """
        # Tables and layers may be stored in different precisions, as with DeepSpeed and FSDP2.
        dtype = cast(nn.Linear, self.skip[0]).weight.dtype
        parts = external.to(dtype).split(self.sizes, dim=-1)
        mapped = [
            skip(part) + outer(F.gelu(inner(part)))
            for part, skip, inner, outer in zip(parts, self.skip, self.inner, self.outer, strict=True)
        ]
        return torch.stack(mapped).sum(0)


class ItemResidual(nn.Module):
    """A learned vector per item, added to the mapped ones; a user's is the mean over its items.

    Args:
        config: gives the number of items and their width.
    """

    def __init__(self, config: GALRecConfig):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(config.num_items, config.hidden_size))

    def forward(self, items: torch.Tensor, offsets: torch.Tensor | None = None) -> torch.Tensor:
        """Look up the vectors of items, or their means over bags of items.

        Args:
            items: int64 (n,), item rows.
            offsets: int64 (m,), where each bag begins in ``items``; ``None``: no bags.

        Returns:
            float (n, hidden_size), or (m, hidden_size) with ``offsets``, zero for empty bags.
        """
        if offsets is None:
            return F.embedding(items, self.weight)
        return F.embedding_bag(items, self.weight, offsets, mode="mean")


class EntityScale(nn.Module):
    """One learned factor between entity vectors and input embeddings.

    Args:
        config: gives its initial value.
    """

    def __init__(self, config: GALRecConfig):
        super().__init__()
        self.factor = nn.Parameter(torch.full((1,), float(config.entity_scale)))

    def forward(self, vectors: torch.Tensor) -> torch.Tensor:
        """Scale vectors of any shape."""
        return vectors * self.factor


class RecGate(nn.Module):
    """Add the state at `[REC]` to that of the history's last item, through a learned gate that starts small.

    A sequence has one `[REC]` and many history positions: used alone, `[REC]` would learn from a tenth of the targets.
    With the gate it learns what neighbours and the user's own token add to the history.

    Args:
        config: gives the width and the dropout.
    """

    START = 0.1

    def __init__(self, config: GALRecConfig):
        super().__init__()
        self.gate = nn.Parameter(torch.full((config.hidden_size,), self.START))
        self.dropout = nn.Dropout(config.rec_dropout)

    def forward(self, last: torch.Tensor, rec: torch.Tensor) -> torch.Tensor:
        """Combine two states.

        Args:
            last: float (n, hidden_size), at the last item of each history.
            rec: float (n, hidden_size), at `[REC]`.

        Returns:
            float (n, hidden_size).
        """
        return last + self.gate * self.dropout(rec)


class ProjectionHead(nn.Module):
    """MLP from a read-out to the vector that contrastive losses compare, shared by all kinds of read-outs.

    Args:
        config: gives the widths.
    """

    def __init__(self, config: GALRecConfig):
        super().__init__()
        self.inner = nn.Linear(config.hidden_size, config.hidden_size)
        self.outer = nn.Linear(config.hidden_size, config.projection_size)

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        """Project read-outs.

        Args:
            states: float (..., hidden_size).

        Returns:
            float (..., projection_size).
        """
        return self.outer(F.gelu(self.inner(states.to(self.inner.weight.dtype))))


class ItemScorer(nn.Module):
    """Cosine scores of items, with a learned bias for items that the history already has.

    Args:
        config: gives the temperature, and whether there is a bias.
    """

    def __init__(self, config: GALRecConfig):
        super().__init__()
        self.temperature = float(config.score_temperature)
        self.repeat_bias = nn.Parameter(torch.zeros(1)) if config.repeat_bias else None

    def forward(self, states: torch.Tensor, vectors: torch.Tensor, history: torch.Tensor | None = None) -> torch.Tensor:
        """Score items as the next one after each state.

        Args:
            states: float (n, d), or (b, p, d) with ``vectors`` (b, m, d).
            vectors: float (m, d), the items.
            history: bool, broadcast to the shape of the scores: whether the history has the item. ``None``: no bias is
                added.

        Returns:
            float32 (n, m) or (b, p, m).
        """
        states, vectors = F.normalize(states.float(), dim=-1), F.normalize(vectors.float(), dim=-1)
        # Autocast would give similar items equal scores: cosines in half precision have a resolution of 0.004.
        with torch.autocast(states.device.type, enabled=False):
            scores = states @ vectors.transpose(-1, -2) / self.temperature
        if self.repeat_bias is None or history is None:
            return scores
        return scores + history.float() * (REPEAT_SCALE * self.repeat_bias.float())


def first_occurrences(items: torch.Tensor) -> torch.Tensor:
    """Whether each item occurs in its row for the first time.

    Args:
        items: int64 (b, k).

    Returns:
        bool (b, k).
    """
    earlier = torch.ones(2 * (items.shape[1],), dtype=torch.bool, device=items.device).tril(-1)
    return ~((items.unsqueeze(2) == items.unsqueeze(1)) & earlier).any(2)


def contained(items: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
    """Whether each row contains each item.

    A binary search: comparing all with all would take n * m * k steps.

    Args:
        items: int64 (m,), m >= 1.
        rows: int64 (n, k).

    Returns:
        bool (n, m).
    """
    unique, inverse = torch.unique(items, return_inverse=True)
    place = torch.searchsorted(unique, rows.contiguous()).clamp_max(len(unique) - 1)
    place = torch.where(unique[place] == rows, place, len(unique))
    is_contained = torch.zeros(len(rows), len(unique) + 1, dtype=torch.bool, device=rows.device)
    return is_contained.scatter_(1, place, True)[:, inverse]
