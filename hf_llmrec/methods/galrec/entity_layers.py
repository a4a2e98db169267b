"""How external embeddings become vectors of the language model's space, and how items are scored there."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from .configuration_galrec import GALRecConfig

# The repeat bias is learned in this unit: scores run over tens, and one step of Adam moves a parameter by 0.001.
REPEAT_SCALE = 10.0


class MappingLayers(nn.Module):
    """External embeddings -> the language model's space, an MLP with a linear skip per kind (section 4.2).

    The skip starts orthogonal: what was near in the external space is near in the new one from the first step.
    """

    def __init__(self, config: GALRecConfig):
        super().__init__()
        width = config.mapping_size or config.hidden_size
        self.sizes = tuple(config.external_sizes.values())
        self.skip = nn.ModuleList(nn.Linear(size, config.hidden_size, bias=False) for size in self.sizes)
        self.inner = nn.ModuleList(nn.Linear(size, width) for size in self.sizes)
        self.outer = nn.ModuleList(nn.Linear(width, config.hidden_size) for _ in self.sizes)

    def forward(self, external: torch.Tensor) -> torch.Tensor:
        """float (n, external_size) -> float (n, hidden_size)."""
        # Tables and layers may be kept in different precisions, as by DeepSpeed and FSDP2.
        parts = external.to(self.skip[0].weight.dtype).split(self.sizes, dim=-1)
        mapped = [
            skip(part) + outer(F.gelu(inner(part)))
            for part, skip, inner, outer in zip(parts, self.skip, self.inner, self.outer, strict=True)
        ]
        return torch.stack(mapped).sum(0)


class ItemResidual(nn.Module):
    """A learned vector per item, on top of the mapped ones; a user's is the mean of its items'."""

    def __init__(self, config: GALRecConfig):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(config.num_items, config.hidden_size))

    def forward(self, items: torch.Tensor, offsets: torch.Tensor | None = None) -> torch.Tensor:
        """Of items int64 (n,), float (n, hidden_size); with ``offsets`` int64 (m,), where bags of them begin, the
        means of the bags, float (m, hidden_size), zero for empty ones."""
        if offsets is None:
            return F.embedding(items, self.weight)
        return F.embedding_bag(items, self.weight, offsets, mode="mean")


class EntityScale(nn.Module):
    """One learned factor between entity vectors and input embeddings."""

    def __init__(self, config: GALRecConfig):
        super().__init__()
        self.factor = nn.Parameter(torch.full((1,), float(config.entity_scale)))

    def forward(self, vectors: torch.Tensor) -> torch.Tensor:
        return vectors * self.factor


class RecGate(nn.Module):
    """What `[REC]` reads is added to the state of the history's last item, by a learned gate that starts small.

    Of `[REC]` there is one per sequence, of history positions there are many: alone it would learn from a tenth of the
    targets. This way it learns what neighbours and the own token add to the history.
    """

    START = 0.1

    def __init__(self, config: GALRecConfig):
        super().__init__()
        self.gate = nn.Parameter(torch.full((config.hidden_size,), self.START))
        self.dropout = nn.Dropout(config.rec_dropout)

    def forward(self, last: torch.Tensor, rec: torch.Tensor) -> torch.Tensor:
        """float (n, hidden_size) twice -> the same shape."""
        return last + self.gate * self.dropout(rec)


class ProjectionHead(nn.Module):
    """Read-out -> what contrastive losses compare. All read-outs share it, so every loss trains it."""

    def __init__(self, config: GALRecConfig):
        super().__init__()
        self.inner = nn.Linear(config.hidden_size, config.hidden_size)
        self.outer = nn.Linear(config.hidden_size, config.projection_size)

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        """float (..., hidden_size) -> float (..., projection_size)."""
        return self.outer(F.gelu(self.inner(states.to(self.inner.weight.dtype))))


class ItemScorer(nn.Module):
    """Cosine scores of items, with a learned number for what the history already has."""

    def __init__(self, config: GALRecConfig):
        super().__init__()
        self.temperature = float(config.score_temperature)
        self.repeat_bias = nn.Parameter(torch.zeros(1)) if config.repeat_bias else None

    def forward(self, states: torch.Tensor, vectors: torch.Tensor, history: torch.Tensor | None = None) -> torch.Tensor:
        """Scores of items after states.

        Args:
            states: float (n, d), or (b, p, d) with ``vectors`` (b, m, d).
            vectors: float (m, d) of the items.
            history: bool, of the scores' shape or one that broadcasts to it: items that the history has.

        Returns:
            float32 (n, m) or (b, p, m).
        """
        states, vectors = F.normalize(states.float(), dim=-1), F.normalize(vectors.float(), dim=-1)
        # Autocast would give near items equal scores: half precision tells cosines apart by 0.004.
        with torch.autocast(states.device.type, enabled=False):
            scores = states @ vectors.transpose(-1, -2) / self.temperature
        if self.repeat_bias is None or history is None:
            return scores
        return scores + history.float() * (REPEAT_SCALE * self.repeat_bias.float())


def first_occurrences(items: torch.Tensor) -> torch.Tensor:
    """bool (b, k), where an item stands in its row for the first time."""
    earlier = torch.ones(2 * (items.shape[1],), dtype=torch.bool, device=items.device).tril(-1)
    return ~((items.unsqueeze(2) == items.unsqueeze(1)) & earlier).any(2)


def contained(items: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
    """bool (n, m), whether each of items int64 (m,) stands in each of rows int64 (n, k).

    By binary search: comparing all with all would take n * m * k.
    """
    unique, inverse = torch.unique(items, return_inverse=True)
    place = torch.searchsorted(unique, rows.contiguous()).clamp_max(len(unique) - 1)
    place = torch.where(unique[place] == rows, place, len(unique))
    found = torch.zeros(len(rows), len(unique) + 1, dtype=torch.bool, device=rows.device)
    return found.scatter_(1, place, True)[:, inverse]
