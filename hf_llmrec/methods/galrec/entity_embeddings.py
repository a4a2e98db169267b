"""Tables of users and items, and their tokens' input embeddings (section 4.2)."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from .configuration_galrec import SPECIAL_TOKENS, GALRecConfig
from .entity_layers import EntityScale, ItemResidual, MappingLayers


class EntityEmbeddings(nn.Module):
    """What stands for items, users and read-outs in the language model's space.

    An item is its mapped external embedding, plus a learned vector where the configuration has one. A user is known by
    items: the mean of their external embeddings, mapped, plus the mean of what was learned of them. Nothing of a user
    is stored with a model, and somebody new is as good as anybody.

    Attributes:
        item_external: float (num_items, external_size), saved with the model.
        user_external: float (users, external_size), graph_items int64, graph_offsets int64 (users + 1,): the users of a
            graph, never saved.
    """

    def __init__(self, config: GALRecConfig):
        super().__init__()
        self.config = config
        self.register_buffer("item_external", torch.zeros(config.num_items, config.external_size))
        self.register_buffer("user_external", torch.zeros(0, config.external_size), persistent=False)
        self.register_buffer("graph_items", torch.zeros(0, dtype=torch.long), persistent=False)
        self.register_buffer("graph_offsets", torch.zeros(1, dtype=torch.long), persistent=False)
        self.item_mapping, self.user_mapping = MappingLayers(config), MappingLayers(config)
        self.item_residual = ItemResidual(config) if config.item_residual else None
        self.special_embeddings = nn.Embedding(len(SPECIAL_TOKENS), config.hidden_size)
        self.entity_scale = EntityScale(config)

    @torch.no_grad()
    def set_item_vectors(self, vectors: dict[str, torch.Tensor]) -> None:
        """Set the external embeddings of items: per kind of ``config.external_sizes`` float (num_items, size).

        Rows are brought to unit length; a row of zeros is an item about which nothing is known.

        Raises:
            ValueError: kinds or shapes that differ from the configuration's.
        """
        expected = {kind: (self.config.num_items, size) for kind, size in self.config.external_sizes.items()}
        found = {kind: tuple(value.shape) for kind, value in vectors.items()}
        if found != expected:
            raise ValueError(f"external embeddings of items must be {expected}, got {found}")
        parts = [F.normalize(torch.as_tensor(vectors[kind]).float(), dim=-1) for kind in expected]
        self.item_external.copy_(torch.cat(parts, dim=-1))

    @torch.no_grad()
    def set_graph_users(self, items: torch.Tensor, offsets: torch.Tensor) -> None:
        """Make the users of a graph known, each by its items; needs the items' external embeddings.

        Args:
            items: int64 (m,), the item rows of all users. offsets: int64 (num_users + 1,), user i has
                ``items[offsets[i]:offsets[i + 1]]``.

        Raises:
            ValueError: items that the catalogue does not have.
        """
        if len(items) and not 0 <= int(items.min()) <= int(items.max()) < self.config.num_items:
            raise ValueError(f"the graph's items must be rows below {self.config.num_items}")
        device = self.item_external.device
        self.graph_items, self.graph_offsets = items.long().to(device), offsets.long().to(device)
        self.user_external = self._mean_external(self.graph_items, self.graph_offsets[:-1])

    def _mean_external(self, items: torch.Tensor, offsets: torch.Tensor) -> torch.Tensor:
        """Mean external embedding of each bag of items, per kind of unit length; zeros for empty bags."""
        mean = F.embedding_bag(items, self.item_external, offsets, mode="mean")
        parts = mean.split(tuple(self.config.external_sizes.values()), dim=-1)
        return torch.cat([F.normalize(part, dim=-1) for part in parts], dim=-1)

    def user_vectors(self, user_rows: torch.Tensor, user_items: torch.Tensor) -> torch.Tensor:
        """Users in the language model's space, float (n + m, hidden_size), each by the items it is known by.

        Args:
            user_rows: int64 (n,), of the graph. user_items: int64 (m, k), items of other users, padded with -1.
        """
        given = user_items >= 0
        starts = F.pad(given.sum(1).cumsum(0), (1, 0))[:-1]
        external = self._mean_external(user_items[given], starts)
        vectors = self.user_mapping(torch.cat([self.user_external[user_rows], external]))
        if self.item_residual is None:
            return vectors
        first = self.graph_offsets[user_rows]
        counts = self.graph_offsets[user_rows + 1] - first
        ends = counts.cumsum(0)
        inside = torch.arange(int(counts.sum()), device=counts.device) - (ends - counts).repeat_interleave(counts)
        items = torch.cat([self.graph_items[first.repeat_interleave(counts) + inside], user_items[given]])
        return vectors + self.item_residual(items, torch.cat([ends - counts, starts + counts.sum()]))

    def _with_dropout(self, external: torch.Tensor) -> torch.Tensor:
        """In training, some items lack some kinds of their external embeddings; float (m, external_size)."""
        sizes, chance = self.config.external_sizes, self.config.external_dropout
        if not self.training or not chance:
            return external
        kept = torch.rand(len(external), len(sizes), device=external.device) >= chance
        widths = torch.tensor(list(sizes.values()), device=external.device)
        return external * kept.repeat_interleave(widths, dim=1, output_size=external.shape[1])

    def item_vectors(self, item_rows: torch.Tensor | None = None) -> torch.Tensor:
        """Items in the language model's space, float (m, hidden_size): of rows int64 (m,), or of all."""
        if item_rows is None:
            item_rows = torch.arange(self.config.num_items, device=self.item_external.device)
        vectors = self.item_mapping(self._with_dropout(self.item_external[item_rows]))
        return vectors if self.item_residual is None else vectors + self.item_residual(item_rows)

    def forward(
        self, input_ids: torch.Tensor, text: torch.Tensor, user_items: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Put entity and special tokens into a sequence of text embeddings.

        Args:
            input_ids: int64 (batch, length). text: float (batch, length, hidden_size), anything where there is no text.
            user_items: int64 (batch, k), padded with -1: the items by which the own user of each sequence is known.

        Returns:
            float (batch, length, hidden_size).

        Raises:
            ValueError: users that are not known: of a graph, or the own user without its items.
        """
        config, ids = self.config, input_ids.reshape(-1)
        first_special, own = config.vocab_size, config.special_token_ids["USER"]
        kinds = (
            (ids >= first_special) & (ids < own),
            (ids >= config.first_item_id) & (ids < config.first_user_id),
            ids >= config.first_user_id,
            ids == own,
        )
        special, items, users, owners = (kind.nonzero().squeeze(1) for kind in kinds)
        if len(users) and not len(self.user_external):
            raise ValueError("the sequence has users of a graph: make them known with set_graph_users first")
        if len(owners) and user_items is None:
            raise ValueError("the sequence has the token of its own user: give the user's items as user_items")
        if user_items is None:
            user_items = ids.new_full((len(input_ids), 1), -1)
        # All layers run even for no tokens: DistributedDataParallel waits for the gradient of every parameter.
        rows, place = torch.unique(ids[items] - config.first_item_id, return_inverse=True)
        people = self.user_vectors(ids[users] - config.first_user_id, user_items[owners // input_ids.shape[1]])
        vectors = torch.cat([F.embedding(place, self.item_vectors(rows)), people])
        vectors = torch.cat([self.entity_scale(vectors), self.special_embeddings(ids[special] - first_special)])
        places = torch.cat([items, users, owners, special])
        return text.reshape(len(ids), -1).index_copy(0, places, vectors.to(text.dtype)).view(text.shape)
