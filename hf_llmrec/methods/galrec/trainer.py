"""`GALRecTrainer`: TRL's SFTTrainer with L_rec, the graph-aware losses and the momentum queue."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import cast

import torch
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn import functional as F
from transformers import PreTrainedModel, TrainerCallback

from ...data.graph import InteractionGraph
from ...data.splits import RecSplit
from ...training.language_model_trainer import LanguageModelTrainer, start_from_recommender
from ...training.training_dropout import add_training_dropout
from .collator import GALRecCollator
from .losses import GraphAlignment, PairBatch
from .momentum import MomentumEncoder
from .plan import galrec_sizes, galrec_warnings
from .prompt import GALRecPrompt
from .readouts import PLACES, hop_readouts, reads_segments, segment_readouts, stack_segments
from .recommender import GALRecRecommender
from .rows import GALRecDataset, GALRecEvalDataset
from .trainer_config import GALRecTrainingConfig

logger = logging.getLogger(__name__)
QUEUE_FILE = "galrec_queue.safetensors"
MOMENTUM_FILE = "galrec_momentum_{}.safetensors"
_DEFAULT_QUEUE = 4096


class _MomentumCallback(TrainerCallback):
    """Update the momentum weights after every optimizer step, not after every batch."""

    def __init__(self, trainer: GALRecTrainer):
        self.trainer = trainer

    def on_optimizer_step(self, args, state, control, **kwargs):
        self.trainer.momentum_encoder.update()


class GALRecTrainer(LanguageModelTrainer):
    """Train a GAL-Rec (arXiv 2406.13235, section 4.4): L = L_rec + weighted sum of the graph-aware losses.

    Args:
        recommender: from `GALRecRecommender.from_backbone`, or a saved one. Its model is trained in place, and it reads
            neighbours in the graph of the training interactions from now on.
        args: options of the training; a ``max_length`` that is set becomes the recommender's.
        kwargs: ``split``, or ``train_dataset`` (a `GALRecDataset`), ``eval_dataset`` and ``eval_cases``, see
            [`RowTrainerMixin`]; and those of `trl.SFTTrainer`, such as ``peft_config``.

    Attributes:
        alignment: the graph-aware losses with their queues; ``None`` if no loss has a weight.

    Raises:
        ValueError: losses between read-outs that the prompt's ``hops`` do not have, or rows without what the losses
            need.

    Example:
        ```python
        trainer = GALRecTrainer(recommender, GALRecTrainingConfig("out"), split=dataset.split())
        trainer.train()
        print(recommender.evaluate(dataset.split().test))
        ```
    """

    recommender: GALRecRecommender
    args: GALRecTrainingConfig
    train_dataset: GALRecDataset

    _tag_names = ["trl", "sft", "galrec", "hf_llmrec"]
    _group_steps = True

    def __init__(self, recommender: GALRecRecommender, args: GALRecTrainingConfig, **kwargs):
        super().__init__(recommender, args, **kwargs)
        if self._is_peft() and self.accelerator.native_amp:
            # PEFT keeps adapters in float32, but not fully trained layers: half precision would lose small steps.
            for name, parameter in self.model.named_parameters():
                if parameter.requires_grad and ".modules_to_save." in name:
                    parameter.data = parameter.data.float()
        add_training_dropout(recommender.model, 0.0, args.number("residual_dropout"))
        self.alignment: GraphAlignment | None = None
        self._momentum_encoder: MomentumEncoder | None = None
        if args.has_graph_losses:
            graph, length = self.train_dataset.graph, args.queue_length
            entities = {"user": graph.num_users, "item": graph.num_items}
            self.alignment = GraphAlignment(
                args.weights,
                recommender.model.config.projection_size,
                queue_lengths={
                    side: min(_DEFAULT_QUEUE, max(count // 2, 1)) if length is None else length
                    for side, count in entities.items()
                },
                temperature=args.number("contrastive_temperature"),
                symmetric=args.symmetric_losses,
            ).to(args.device)
            self.add_callback(_MomentumCallback(self))

    @staticmethod
    def build_train_dataset(
        recommender: GALRecRecommender, split: RecSplit, args: GALRecTrainingConfig
    ) -> GALRecDataset:
        """Build the training rows that a trainer uses by default.

        Args:
            recommender: gives the layout of sequences.
            split: its training interactions are the examples and the graph.
            args: say what rows hold, see `GALRecDataset`.

        Returns:
            The rows.
        """
        start_from_recommender(args, recommender)
        rows = GALRecDataset(
            split,
            InteractionGraph.from_split(split, len(recommender.item_ids)),
            recommender.layout,
            pairs=args.has_graph_losses or args.lm_loss_weight > 0,
            audience_size=args.audience_size,
            edges_per_user=args.edges_per_user,
            history_targets=args.history_targets,
            latest_share=args.number("latest_share"),
            item_dropout=args.number("item_dropout"),
            neighbor_dropout=args.neighbor_dropout,
            seed=args.seed,
        )
        logger.info("%d training examples per epoch; %s", len(rows), recommender.prompt)
        return rows

    @staticmethod
    def batch_sizes(batch, recommender, args):
        return galrec_sizes(batch, recommender.trunk.config)

    @staticmethod
    def plan_warnings(recommender, adapters):
        return galrec_warnings(recommender.layout)

    def prepare(self, args, train_dataset, *, has_adapters):
        recommender, graph = self.recommender, train_dataset.graph
        if recommender.graph is not graph:
            recommender.attach_graph(graph, () if self.split is None else self.split.require_dataset().user_ids)
        if (args.has_graph_losses or args.lm_loss_weight) and not train_dataset.pairs:
            raise ValueError("graph-aware losses and the vocabulary loss need rows with pairs=True")
        _check_prompt(args, recommender.prompt)
        _freeze_unused(recommender.model, args)
        return super().prepare(args, train_dataset, has_adapters=has_adapters)

    def build_eval_dataset(self, cases):
        return GALRecEvalDataset(cases, self.recommender.graph, self.recommender.layout)

    def build_collator(self):
        return GALRecCollator()

    @property
    def momentum_encoder(self) -> MomentumEncoder:
        """The encoder of the keys, created at first use: by then the weights are loaded, cast and on their device."""
        if self._momentum_encoder is None:
            self._momentum_encoder = MomentumEncoder(
                self.accelerator.unwrap_model(self.model), self.args.number("momentum")
            )
        return self._momentum_encoder

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        """L_rec, averaged over the targets of the accumulated, distributed batch, plus the other losses.

        Args:
            model: as wrapped for training.
            inputs: a batch of `GALRecCollator`.
            return_outputs: must be ``False``.
            num_items_in_batch: number of targets of the accumulated, distributed batch; ``None``: that of this batch.

        Returns:
            float ().

        Raises:
            ValueError: requested outputs, or a batch without the pairs that the graph-aware losses need.
        """
        if return_outputs:
            raise ValueError("GALRecTrainer gives no logits: set prediction_loss_only=True and compute_metrics=None")
        mode = "train" if self.model.training else "eval"
        segments, pairs = inputs.get("segments"), inputs.get("pairs")
        alignment = self.alignment if mode == "train" else None
        if alignment is not None and pairs is None:
            raise ValueError("graph-aware losses need rows with pairs: GALRecDataset(..., pairs=True)")
        main = {name: inputs[name] for name in ("input_ids", "user_items")}
        # Before the queries: between their forward and backward pass sharded weights must not be replaced.
        keys = self._keys(main, segments, alignment.key_kinds) if alignment is not None else {}
        outputs = model(
            **main,
            labels=inputs["labels"],
            num_items_in_batch=num_items_in_batch,
            output_representations=alignment is not None,
        )
        loss = outputs.loss
        if self.args.average_tokens_across_devices and num_items_in_batch is not None:
            # DDP averages gradients, but the number of targets is that of all processes.
            loss = loss * self.accelerator.num_processes
        self._log_rec(mode, outputs, main["input_ids"].numel())
        extra: list[torch.Tensor] = []
        if mode == "train" and (alignment is not None or self.args.lm_loss_weight):
            query_kinds = () if alignment is None else alignment.query_kinds
            queries, text_loss = self._read_segments(model, segments, query_kinds)
            if text_loss is not None:
                extra.append(self.args.lm_loss_weight * text_loss)
                self._metrics[mode]["text_loss"].append(float(text_loss.detach()))
            if alignment is not None:
                queries = {**hop_readouts(outputs.representations), **queries}
                graph_loss, logs = alignment(queries, keys, PairBatch(**pairs), gather=self._gather_rows)
                extra.append(graph_loss)
                means = self._reduced(torch.tensor(list(logs.values()), device=loss.device), "mean").tolist()
                for name, value in zip(logs, means, strict=True):
                    self._metrics[mode][name].append(value)
        if extra:
            # Trainer divides by the number of accumulated batches only if the loss was not divided by their targets.
            steps = 1 if num_items_in_batch is None else self.current_gradient_accumulation_steps
            loss = loss + torch.stack(extra).sum() / steps
        return loss

    def _read_segments(
        self, model: nn.Module, segments: dict[str, torch.Tensor], kinds: tuple[str, ...]
    ) -> tuple[dict[str, torch.Tensor], torch.Tensor | None]:
        """Queries from the short segments, with gradient, and the vocabulary loss; only what the losses need.

        ``kinds`` are those of all queries; empty: there are no graph-aware losses.
        """
        labels = segments["item_text_labels"] if self.args.lm_loss_weight else None
        if labels is None and not reads_segments(kinds):
            return {}, None
        ids, owners = stack_segments(segments)
        if labels is not None:
            labels = F.pad(labels, (0, ids.shape[1] - labels.shape[1], len(ids) - len(labels), 0), value=-100)
        outputs = model(input_ids=ids, user_items=owners, text_labels=labels, output_representations=bool(kinds))
        return segment_readouts(outputs.representations, segments) if kinds else {}, outputs.text_loss

    @torch.no_grad()
    def _keys(
        self, main: dict[str, torch.Tensor], segments: dict[str, torch.Tensor], kinds: tuple[str, ...]
    ) -> dict[str, torch.Tensor]:
        """Keys from the momentum encoder, by kind; only sequences that give a key of ``kinds`` are read."""
        keys: dict[str, torch.Tensor] = {}
        encode = self.momentum_encoder
        with self.compute_loss_context_manager(), self.accelerator.autocast():
            if "user_1" in kinds or "user_2" in kinds:
                keys |= hop_readouts(encode(**main, output_representations=True).representations)
            if reads_segments(kinds):
                ids, owners = stack_segments(segments)
                entities = encode(input_ids=ids, user_items=owners, output_representations=True).representations
                keys |= segment_readouts(entities, segments)
            if "item_1" in kinds:
                audience = encode(input_ids=segments["audience_ids"], output_representations=True).representations
                keys["item_1"] = audience[:, PLACES["ITEM_1"]]
        return keys

    def _gather_rows(self, tensor: torch.Tensor) -> torch.Tensor:
        """Rows of all processes, which may have different numbers of them."""
        if self.accelerator.num_processes == 1:
            return tensor
        padded = self.accelerator.pad_across_processes(tensor, dim=0, pad_index=-1)
        return self._gathered(cast(torch.Tensor, padded))  # a tensor for a tensor

    def _log_rec(self, mode: str, outputs, tokens: int) -> None:
        """Log L_rec at `[REC]` and at the history, over all processes, and the number of tokens."""
        at_rec, losses = outputs.at_rec, outputs.rec_losses.detach().double()
        sums = torch.stack([losses[at_rec].sum(), at_rec.sum(), losses[~at_rec].sum(), (~at_rec).sum()])
        rec, rec_count, history, history_count = self._reduced(sums, "sum").tolist()
        if rec_count:
            self._metrics[mode]["rec_loss"].append(rec / rec_count)
        if history_count:
            self._metrics[mode]["history_loss"].append(history / history_count)
        self._log_tokens(mode, tokens)

    def _save_optimizer_and_scheduler(self, output_dir: str) -> None:
        super()._save_optimizer_and_scheduler(output_dir)
        if self.alignment is not None and self.args.should_save:
            _save(self.alignment.state_dict(), Path(output_dir) / QUEUE_FILE)
        if self.alignment is not None and (self.args.should_save or self.momentum_encoder.is_sharded):
            _save(self.momentum_encoder.state_dict(), Path(output_dir) / self._momentum_file)

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        super()._load_optimizer_and_scheduler(checkpoint)
        if checkpoint is None or self.alignment is None:
            return
        self.alignment.load_state_dict(load_file(Path(checkpoint) / QUEUE_FILE))
        self.momentum_encoder.load_state_dict(load_file(Path(checkpoint) / self._momentum_file))

    @property
    def _momentum_file(self) -> str:
        """File of the averages; if weights are sharded, each process has its own."""
        return MOMENTUM_FILE.format(self.args.process_index if self.momentum_encoder.is_sharded else 0)


def _check_prompt(args: GALRecTrainingConfig, prompt: GALRecPrompt) -> None:
    """Refuse losses between read-outs that sequences do not hold."""
    if prompt.hops < 2 and any(args.weights.get(name) for name in ("user_to_user", "neighborhood")):
        raise ValueError("hops 1 has no E_u^2: set the weights of user_to_user and neighborhood to 0")
    if args.lm_loss_weight and 0 not in prompt.title_hops:
        raise ValueError("lm_loss_weight needs titles in items' segments: 0 in title_hops")


def _freeze_unused(model: PreTrainedModel, args: GALRecTrainingConfig) -> None:
    """Freeze parameters that no loss reaches: DistributedDataParallel would wait for their gradients."""
    if not args.has_graph_losses:
        model.projection.requires_grad_(False)
    if not args.lm_loss_weight and model.lm_head.weight is not model.get_input_embeddings().weight:
        model.lm_head.requires_grad_(False)


def _save(state: dict[str, torch.Tensor], path: Path) -> None:
    save_file({name: value.cpu().contiguous() for name, value in state.items()}, path)
