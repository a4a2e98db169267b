"""`LightGCNTrainer`: PyTorch Geometric's LightGCN under transformers' Trainer."""

from __future__ import annotations

import numpy as np
import torch
from scipy.sparse import coo_matrix
from torch import nn
from transformers import Trainer

from ...data.epoch_dataset import EpochDataset
from ...data.splits import RecSplit
from ...training.budget import fill_row_budget
from ...training.row_trainer import RowTrainerMixin
from .configuration_lightgcn import LightGCNConfig
from .modeling_lightgcn import LightGCNModel
from .recommender import LightGCNRecommender
from .trainer_config import LightGCNTrainingConfig


class EdgeDataset(EpochDataset):
    """Batches of (user, item of the user, random item) triples, which depend on (seed, epoch, batch) only.

    Args:
        users: int (n,), the user row of each interaction.
        items: int (n,), the item row of each interaction.
        num_items: negatives are drawn uniformly from this many items.
        batch_size: number of interactions per batch, at most.
        seed: of the order of the interactions and of the negatives.
        num_processes: the number of batches is a multiple of this.
    """

    def __init__(
        self,
        users: np.ndarray,
        items: np.ndarray,
        num_items: int,
        *,
        batch_size: int,
        seed: int = 0,
        num_processes: int = 1,
    ):
        super().__init__()
        self.users, self.items = np.asarray(users, dtype=np.int64), np.asarray(items, dtype=np.int64)
        self.num_items, self.seed = num_items, seed
        self.num_batches = -(-len(self.users) // (batch_size * num_processes)) * num_processes
        self._order: tuple[int, np.ndarray] | None = None

    def __len__(self) -> int:
        return self.num_batches

    def lengths(self, epoch: int) -> np.ndarray:
        """Lengths of the rows, int64 (batches,): every batch counts as one row of length 1.

        Args:
            epoch: not used.
        """
        return np.ones(len(self), dtype=np.int64)

    def build(self, slot: int, epoch: int) -> dict[str, np.ndarray]:
        """Build one batch.

        Args:
            slot: number of the batch, from 0.
            epoch: from 0.

        Returns:
            ``users``, ``positives`` and ``negatives``, int64 (interactions,).
        """
        if self._order is None or self._order[0] != epoch:
            self._order = (epoch, np.random.default_rng((self.seed, epoch)).permutation(len(self.users)))
        chosen = np.array_split(self._order[1], len(self))[slot]
        negatives = np.random.default_rng((self.seed, epoch, slot)).integers(self.num_items, size=len(chosen))
        return {"users": self.users[chosen], "positives": self.items[chosen], "negatives": negatives}


def one_batch(rows: list[dict[str, np.ndarray]]) -> dict[str, torch.Tensor]:
    """Collate the batches of `EdgeDataset`: there is one per step, which is only converted to tensors."""
    return {name: torch.as_tensor(np.concatenate([row[name] for row in rows])) for name in rows[0]}


class LightGCNNetwork(nn.Module):
    """PyTorch Geometric's LightGCN over the training graph, whose nodes are users, then items.

    Args:
        split: its training interactions are the edges.
        config: sizes of the model; ``num_users`` is the number of users of the split.

    Raises:
        ImportError: PyTorch Geometric is not installed.
    """

    def __init__(self, split: RecSplit, config: LightGCNConfig):
        super().__init__()
        try:
            from torch_geometric.nn.models import LightGCN
        except ImportError as error:
            raise ImportError("LightGCN is trained by PyTorch Geometric: pip install 'hf_llmrec[lightgcn]'") from error
        self.config = config
        users = split.train_users
        nodes = config.num_users + config.num_items
        items = split.train_indices + config.num_users
        rows, columns = np.concatenate([users, items]), np.concatenate([items, users])
        graph = coo_matrix((np.ones(len(rows), dtype=np.float32), (rows, columns)), shape=(nodes, nodes)).tocsr()
        graph.data[:] = 1.0  # a pair that occurs twice is one edge
        self.degrees = np.diff(graph.indptr)
        scale = 1 / np.sqrt(np.maximum(self.degrees, 1))
        graph.data *= np.repeat(scale, self.degrees) * scale[graph.indices]
        # Normalised once here, in CSR, so that a convolution is one sparse product. Not part of the saved state.
        self.adjacency = torch.sparse_csr_tensor(
            torch.from_numpy(graph.indptr.astype(np.int64)),
            torch.from_numpy(graph.indices.astype(np.int64)),
            torch.from_numpy(graph.data.astype(np.float32)),
            size=graph.shape,
        )
        self.lightgcn = LightGCN(nodes, config.embedding_size, config.num_layers, normalize=False)
        nn.init.normal_(self.lightgcn.embedding.weight, std=0.1)

    def forward(
        self, users: torch.Tensor, positives: torch.Tensor, negatives: torch.Tensor, regularization: float = 0.0
    ) -> dict[str, torch.Tensor]:
        """Bayesian personalised ranking loss.

        Args:
            users: int64 (interactions,), user rows.
            positives: int64 (interactions,), the item row of each interaction.
            negatives: int64 (interactions,), a random item row for each interaction.
            regularization: weight of the squared length of the embeddings.

        Returns:
            ``{"loss": float ()}``.
        """
        self.adjacency = self.adjacency.to(users.device)
        vectors = self.lightgcn.get_embedding(self.adjacency)
        positives, negatives = positives + self.config.num_users, negatives + self.config.num_users
        own = vectors[users]
        loss = self.lightgcn.recommendation_loss(
            (own * vectors[positives]).sum(-1),
            (own * vectors[negatives]).sum(-1),
            node_id=torch.cat([users, positives, negatives]),
            lambda_reg=regularization,
        )
        return {"loss": loss}

    @torch.no_grad()
    def export(self, *, with_users: bool = False) -> LightGCNModel:
        """Convert the vectors after the convolutions to a model that needs neither the graph nor PyTorch Geometric.

        Args:
            with_users: include the vectors of the users.
        """
        users, layers = self.config.num_users, self.config.num_layers
        vectors = self.lightgcn.embedding.weight.float()
        self.adjacency = self.adjacency.to(vectors.device)
        total, below = vectors.clone(), torch.zeros_like(vectors[users:])
        for convolution in self.lightgcn.convs:
            below += vectors[users:]  # what the next layer sums for a user
            vectors = convolution(vectors, self.adjacency)
            total += vectors
        scale = 1 / (layers + 1)
        degrees = torch.from_numpy(np.maximum(self.degrees[users:], 1)).to(vectors)
        config = LightGCNConfig(**{**self.config.to_diff_dict(), "num_users": users if with_users else 0})
        model = LightGCNModel(config)
        model.to(vectors.device)  # pyright: ignore[reportArgumentType]  # transformers wraps it, `self` included
        model.item_embeddings.copy_(total[users:] * scale)
        model.fold_in_embeddings[:-1].copy_(below * scale / degrees.sqrt().unsqueeze(1))
        model.fold_in_embeddings[-1].zero_()
        if with_users:
            model.user_embeddings.copy_(total[:users] * scale)
        return model.eval()


class LightGCNTrainer(RowTrainerMixin, Trainer):
    """Trains LightGCN (arXiv 2002.02126) and selects the best checkpoint by validation NDCG@10.

    Args:
        recommender: from `LightGCNRecommender.from_dataset`; after training its model has the trained vectors.
        args: options of the training.
        split: from `RecDataset.split`; its training interactions are the graph and the positive examples.
        kwargs: ``eval_cases`` and the other parameters of [`RowTrainerMixin`], and those of [`transformers.Trainer`].

    Raises:
        ImportError: PyTorch Geometric is not installed.
        ValueError: no user has enough interactions to be evaluated, or the dataset has other items than the
            recommender.
    """

    recommender: LightGCNRecommender
    args: LightGCNTrainingConfig
    split: RecSplit

    def __init__(self, recommender: LightGCNRecommender, args: LightGCNTrainingConfig, *, split: RecSplit, **kwargs):
        fields = {**recommender.model.config.to_diff_dict(), "num_users": len(split.train_indptr) - 1}
        self.network = LightGCNNetwork(split, LightGCNConfig(**fields))
        super().__init__(recommender, args, split=split, **kwargs)

    @staticmethod
    def build_train_dataset(
        recommender: LightGCNRecommender, split: RecSplit, args: LightGCNTrainingConfig
    ) -> EdgeDataset:
        """Create batches of training interactions with random negatives.

        Args:
            recommender: its number of items is used.
            split: its training interactions are used.
            args: its ``tokens_per_batch``, ``world_size`` and ``seed`` are used; the batch size and the number of
                epochs are filled in where they are not set.
        """
        users = split.train_users
        fill_row_budget(args, len(users))
        sizes = {"batch_size": args.tokens_per_batch, "num_processes": args.world_size}
        return EdgeDataset(users, split.train_indices, len(recommender.item_ids), seed=args.seed, **sizes)

    def build_eval_dataset(self, cases):
        cases, size = self.split.validation, self._pairs_per_batch
        return EdgeDataset(cases.user_rows, cases.targets, len(self.recommender.item_ids), batch_size=size)

    def build_collator(self):
        return one_batch

    def prepare(self, args, train_dataset, *, has_adapters):
        self._pairs_per_batch = args.tokens_per_batch
        # A row of the dataset is a batch, so a step reads one row.
        args.tokens_per_batch, args.per_device_train_batch_size, args.per_device_eval_batch_size = None, 1, 1
        return self.network

    def train(self, *args, **kwargs):
        """Train as [`transformers.Trainer.train`] does; afterwards the recommender has the trained vectors."""
        output = super().train(*args, **kwargs)
        self.recommender.model = self._recommending(self.network)
        return output

    def user_vectors(self) -> np.ndarray:
        """The trained vectors of the split's users, float32 (num_users, embedding_size)."""
        return self.network.export(with_users=True).user_embeddings.detach().float().cpu().numpy()

    def _recommending(self, model: LightGCNNetwork) -> LightGCNModel:
        return model.export(with_users=self.recommender.user_rows is not None)

    def _tokens_of(self, inputs) -> int:
        return len(inputs["users"])

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        """Bayesian personalised ranking with regularised embeddings."""
        output = model(**inputs, regularization=self.args.regularization)
        return (output["loss"], output) if return_outputs else output["loss"]
