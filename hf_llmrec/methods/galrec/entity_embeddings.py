"""Tables of users and items, and the input embeddings of their tokens (section 4.2)."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

from .configuration_galrec import SPECIAL_TOKENS, GALRecConfig
from .entity_layers import EntityScale, ItemResidual, MappingLayers


class EntityEmbeddings(nn.Module):
    """Input embeddings of items, users and read-outs.

    An item is represented by its mapped external embedding, plus a learned vector if the configuration has
    ``item_residual``. A user is represented by items: the mean of their external embeddings, mapped, plus the mean of
    their learned vectors. No user is stored with the model, so a new one is represented as well as any other.

    Args:
        config: of the model.

    Attributes:
        config: of the model.
        item_external: float (num_items, external_size), the items' external embeddings, saved with the model.
        user_external: float (users, external_size), the graph users' mean external embeddings, never saved.
        graph_items: int64 (edges,), the items of all users of the graph, never saved.
        graph_offsets: int64 (users + 1,), where each user's items begin in ``graph_items``, never saved.
    """

    item_external: torch.Tensor
    user_external: torch.Tensor
    graph_items: torch.Tensor
    graph_offsets: torch.Tensor

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
        """Set the external embeddings of items.

        Args:
            vectors: float (num_items, size) for each kind of ``config.external_sizes``. Rows are normalised to unit
                length; a row of zeros is an item without an embedding.

        Raises:
            ValueError: kinds or shapes that differ from the configuration's.
        """
        expected = {kind: (self.config.num_items, size) for kind, size in self.config.external_widths.items()}
        shapes = {kind: tuple(value.shape) for kind, value in vectors.items()}
        if shapes != expected:
            raise ValueError(f"external embeddings of items must be {expected}, got {shapes}")
        parts = [F.normalize(torch.as_tensor(vectors[kind]).float(), dim=-1) for kind in expected]
        self.item_external.copy_(torch.cat(parts, dim=-1))

    @torch.no_grad()
    def set_graph_users(self, items: torch.Tensor, offsets: torch.Tensor) -> None:
        """Register the users of a graph, each represented by its items; set the items' external embeddings first.

        Args:
            items: int64 (m,), the item rows of all users.
            offsets: int64 (num_users + 1,), user i has ``items[offsets[i]:offsets[i + 1]]``.

        Raises:
            ValueError: items that the catalogue does not have.
        """
        if len(items) and not 0 <= int(items.min()) <= int(items.max()) < self.config.num_items:
            raise ValueError(f"the graph's items must be rows below {self.config.num_items}")
        device = self.item_external.device
        self.graph_items, self.graph_offsets = items.long().to(device), offsets.long().to(device)
        self.user_external = self._mean_external(self.graph_items, self.graph_offsets[:-1])

    def _mean_external(self, items: torch.Tensor, offsets: torch.Tensor) -> torch.Tensor:
        """Mean external embedding of each bag of items, each kind of unit length; zeros for empty bags."""
        mean = F.embedding_bag(items, self.item_external, offsets, mode="mean")
        parts = mean.split(tuple(self.config.external_widths.values()), dim=-1)
        return torch.cat([F.normalize(part, dim=-1) for part in parts], dim=-1)

    def user_vectors(self, user_rows: torch.Tensor, user_items: torch.Tensor) -> torch.Tensor:
        """Represent users in the language model's space by their items.

        Args:
            user_rows: int64 (n,), users of the graph.
            user_items: int64 (m, k), items of other users, padded with -1.

        Returns:
            float (n + m, hidden_size), the users of the graph first.
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
        """Drop kinds of external embeddings of single items in training; float (m, external_size)."""
        sizes, chance = self.config.external_widths, self.config.external_dropout
        if not self.training or not chance:
            return external
        keep = torch.rand(len(external), len(sizes), device=external.device) >= chance
        widths = torch.tensor(list(sizes.values()), device=external.device)
        return external * keep.repeat_interleave(widths, dim=1, output_size=external.shape[1])

    def item_vectors(self, item_rows: torch.Tensor | None = None) -> torch.Tensor:
        """Represent items in the language model's space.

        Args:
            item_rows: int64 (m,); ``None``: all items.

        Returns:
            float (m, hidden_size).
        """
        if item_rows is None:
            item_rows = torch.arange(self.config.num_items, device=self.item_external.device)
        vectors = self.item_mapping(self._with_dropout(self.item_external[item_rows]))
        return vectors if self.item_residual is None else vectors + self.item_residual(item_rows)

    def forward(
        self, input_ids: torch.Tensor, text: torch.Tensor, user_items: torch.Tensor | None = None
    ) -> torch.Tensor:
        """Insert the embeddings of entity and special tokens into a sequence of text embeddings.

        Args:
            input_ids: int64 (batch, length).
            text: float (batch, length, hidden_size), any value at positions without text.
            user_items: int64 (batch, k), padded with -1: the items that represent the own user of each sequence.

        Returns:
            float (batch, length, hidden_size).

        Raises:
            ValueError: users of a graph that are not registered, or the own user without its items.
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
            raise ValueError("the sequence has users of a graph: register them with set_graph_users first")
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
