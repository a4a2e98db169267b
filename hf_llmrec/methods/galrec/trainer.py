"""`GALRecTrainer`: TRL's SFTTrainer with L_rec, the graph-aware losses and the momentum queue."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch.nn import functional as F
from transformers import PreTrainedModel, TrainerCallback

from ...data.graph import InteractionGraph
from ...data.splits import RecSplit
from ...training.language_model_trainer import LanguageModelTrainer, start_from_recommender
from ...training.training_dropout import add_training_dropout
from .collator import GALRecCollator
from .configuration_galrec import SPECIAL_TOKENS
from .losses import GraphAlignment, PairBatch
from .momentum import MomentumEncoder
from .prompt import GALRecPrompt
from .recommender import GALRecRecommender
from .rows import GALRecDataset, GALRecEvalDataset
from .trainer_config import GALRecTrainingConfig

QUEUE_FILE = "galrec_queue.safetensors"
MOMENTUM_FILE = "galrec_momentum_{}.safetensors"
_PLACE = {name: place for place, name in enumerate(SPECIAL_TOKENS)}
_DEFAULT_QUEUE = 4096


class _MomentumCallback(TrainerCallback):
    """Moves the momentum weights after every optimizer step, not after every batch."""

    def __init__(self, trainer: GALRecTrainer):
        self.trainer = trainer

    def on_optimizer_step(self, args, state, control, **kwargs):
        self.trainer.momentum_encoder.update()


class GALRecTrainer(LanguageModelTrainer):
    """Training of GAL-Rec (arXiv 2406.13235, section 4.4): L = L_rec + sum of weighted graph-aware losses.

    Args:
        recommender: from `GALRecRecommender.from_backbone`, or a saved one. Its model is trained in place, and it reads
            neighbours in the graph of the training interactions from now on.
        args: `GALRecTrainingConfig`; its ``max_length``, where it is set, becomes the recommender's.
        kwargs: ``split``, or ``train_dataset`` (a `GALRecDataset`), ``eval_dataset`` and ``eval_cases``, see
            `RowTrainerMixin`; and those of `trl.SFTTrainer`, such as ``peft_config``.

    Raises:
        ValueError: losses between read-outs that the prompt's ``hops`` leave out, or rows without what the losses need.

    Example:
        ```python
        trainer = GALRecTrainer(recommender, GALRecTrainingConfig("out"), split=dataset.split())
        trainer.train()
        print(recommender.evaluate(dataset.split().test))
        ```
    """

    _tag_names = ["trl", "sft", "galrec", "hf_llmrec"]
    _group_steps = True

    def __init__(self, recommender: GALRecRecommender, args: GALRecTrainingConfig, **kwargs):
        super().__init__(recommender, args, **kwargs)
        if self._is_peft() and self.accelerator.native_amp:
            # PEFT keeps adapters in float32, but not whole layers: half precision would round small steps away.
            for name, parameter in self.model.named_parameters():
                if parameter.requires_grad and ".modules_to_save." in name:
                    parameter.data = parameter.data.float()
        add_training_dropout(recommender.model, 0.0, args.residual_dropout)
        self.alignment: GraphAlignment | None = None
        self._momentum_encoder: MomentumEncoder | None = None
        if args.has_graph_losses:
            graph, wanted = self.train_dataset.graph, args.queue_length
            entities = {"user": graph.num_users, "item": graph.num_items}
            self.alignment = GraphAlignment(
                args.loss_weights,
                recommender.model.config.projection_size,
                queue_lengths={
                    side: min(_DEFAULT_QUEUE, max(count // 2, 1)) if wanted is None else wanted
                    for side, count in entities.items()
                },
                temperature=args.contrastive_temperature,
                symmetric=args.symmetric_losses,
            ).to(args.device)
            self.add_callback(_MomentumCallback(self))

    @staticmethod
    def build_train_dataset(
        recommender: GALRecRecommender, split: RecSplit, args: GALRecTrainingConfig
    ) -> GALRecDataset:
        """The examples that a trainer of these three trains on.

        Args:
            recommender: gives the layout of sequences.
            split: its training interactions are the examples and the graph.
            args: says what examples hold, see `GALRecDataset`.
        """
        start_from_recommender(args, recommender)
        return GALRecDataset(
            split,
            InteractionGraph.from_split(split, len(recommender.item_ids)),
            recommender.layout,
            pairs=args.has_graph_losses or args.lm_loss_weight > 0,
            audience_size=args.audience_size,
            edges_per_user=args.edges_per_user,
            history_targets=args.history_targets,
            latest_share=args.latest_share,
            item_dropout=args.item_dropout,
            neighbor_dropout=args.neighbor_dropout,
            seed=args.seed,
        )

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
        """Made at first use: only then are the weights where training finds them, loaded and cast."""
        if self._momentum_encoder is None:
            self._momentum_encoder = MomentumEncoder(self.accelerator.unwrap_model(self.model), self.args.momentum)
        return self._momentum_encoder

    def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
        """L_rec per target of the whole (accumulated, distributed) batch, plus the other losses."""
        if return_outputs:
            raise ValueError("GALRecTrainer gives no logits: set prediction_loss_only=True and compute_metrics=None")
        mode = "train" if self.model.training else "eval"
        segments, pairs = inputs.get("segments"), inputs.get("pairs")
        aligned = mode == "train" and self.alignment is not None
        if aligned and pairs is None:
            raise ValueError("graph-aware losses need rows with pairs: GALRecDataset(..., pairs=True)")
        main = {name: inputs[name] for name in ("input_ids", "user_items")}
        # Before the queries: between their forward and backward pass spread weights must stay as they are.
        keys = self._keys(main, segments) if aligned else {}
        outputs = model(
            **main,
            labels=inputs["labels"],
            num_items_in_batch=num_items_in_batch,
            output_representations=aligned,
        )
        loss = outputs.loss
        if self.args.average_tokens_across_devices and num_items_in_batch is not None:
            # DDP averages gradients, the number of targets is that of all processes.
            loss = loss * self.accelerator.num_processes
        self._log_rec(mode, outputs, main["input_ids"].numel())
        extra: list[torch.Tensor] = []
        if mode == "train" and (aligned or self.args.lm_loss_weight):
            found = self._read_segments(model, segments, aligned)
            if self.args.lm_loss_weight:
                extra.append(self.args.lm_loss_weight * found["text_loss"])
                self._metrics[mode]["text_loss"].append(float(found["text_loss"].detach()))
        if aligned:
            queries = {**_hops(outputs.representations), **found["queries"]}
            graph_loss, logs = self.alignment(queries, keys, PairBatch(**pairs), gather=self._gather)
            extra.append(graph_loss)
            means = self.accelerator.reduce(torch.tensor(list(logs.values()), device=loss.device), "mean").tolist()
            for name, value in zip(logs, means, strict=True):
                self._metrics[mode][name].append(value)
        if extra:
            # Trainer divides by the accumulated batches only what was not divided by their targets.
            steps = 1 if num_items_in_batch is None else self.current_gradient_accumulation_steps
            loss = loss + torch.stack(extra).sum() / steps
        return loss

    def _read_segments(self, model, segments: dict[str, torch.Tensor], aligned: bool) -> dict[str, Any]:
        """Queries from the short segments, with gradient, and the vocabulary loss."""
        wanted = self.alignment.query_kinds if aligned else ()
        labels = segments["item_text_labels"] if self.args.lm_loss_weight else None
        queries, text_loss = {}, None
        if "user_0" in wanted or "item_0" in wanted or labels is not None:
            ids, owners = _stacked(segments)
            if labels is not None:
                labels = F.pad(labels, (0, ids.shape[1] - labels.shape[1], len(ids) - len(labels), 0), value=-100)
            outputs = model(input_ids=ids, user_items=owners, text_labels=labels, output_representations=aligned)
            text_loss = outputs.text_loss
            if aligned:
                queries = _entities(outputs.representations, segments)
        return {"queries": queries, "text_loss": text_loss}

    @torch.no_grad()
    def _keys(self, main: dict[str, torch.Tensor], segments: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Keys of the momentum encoder; only sequences that give a wanted key are read."""
        wanted, keys = self.alignment.key_kinds, {}
        encode = self.momentum_encoder
        with self.compute_loss_context_manager(), self.accelerator.autocast():
            if "user_1" in wanted or "user_2" in wanted:
                keys |= _hops(encode(**main, output_representations=True).representations)
            if "user_0" in wanted or "item_0" in wanted:
                ids, owners = _stacked(segments)
                found = encode(input_ids=ids, user_items=owners, output_representations=True).representations
                keys |= _entities(found, segments)
            if "item_1" in wanted:
                found = encode(input_ids=segments["audience_ids"], output_representations=True).representations
                keys["item_1"] = found[:, _PLACE["ITEM_1"]]
        return keys

    def _gather(self, tensor: torch.Tensor) -> torch.Tensor:
        """Rows of all processes, which may have different numbers of them."""
        if self.accelerator.num_processes == 1:
            return tensor
        return self.accelerator.gather(self.accelerator.pad_across_processes(tensor, dim=0, pad_index=-1))

    def _log_rec(self, mode: str, outputs, tokens: int) -> None:
        at_rec, losses = outputs.at_rec, outputs.rec_losses.detach().double()
        sums = torch.stack([losses[at_rec].sum(), at_rec.sum(), losses[~at_rec].sum(), (~at_rec).sum()])
        rec, rec_count, history, history_count = self.accelerator.reduce(sums, "sum").tolist()
        if rec_count:
            self._metrics[mode]["rec_loss"].append(rec / rec_count)
        if history_count:
            self._metrics[mode]["history_loss"].append(history / history_count)
        self._log_tokens(mode, tokens)

    def _save_optimizer_and_scheduler(self, output_dir: str) -> None:
        super()._save_optimizer_and_scheduler(output_dir)
        if self.alignment is not None and self.args.should_save:
            _save(self.alignment.state_dict(), Path(output_dir) / QUEUE_FILE)
        if self.alignment is not None and (self.args.should_save or self.momentum_encoder.is_spread):
            _save(self.momentum_encoder.state_dict(), Path(output_dir) / self._momentum_file)

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        super()._load_optimizer_and_scheduler(checkpoint)
        if checkpoint is None or self.alignment is None:
            return
        self.alignment.load_state_dict(load_file(Path(checkpoint) / QUEUE_FILE))
        self.momentum_encoder.load_state_dict(load_file(Path(checkpoint) / self._momentum_file))

    @property
    def _momentum_file(self) -> str:
        """Where weights are spread, each process keeps averages of its own."""
        return MOMENTUM_FILE.format(self.args.process_index if self.momentum_encoder.is_spread else 0)


def _check_prompt(args: GALRecTrainingConfig, prompt: GALRecPrompt) -> None:
    """Refuse losses of what sequences do not hold."""
    if prompt.hops < 2 and any(args.loss_weights.get(name) for name in ("user_to_user", "neighborhood")):
        raise ValueError("hops 1 has no E_u^2: set the weights of user_to_user and neighborhood to 0")
    if args.lm_loss_weight and 0 not in prompt.title_hops:
        raise ValueError("lm_loss_weight needs titles in items' segments: 0 in title_hops")


def _freeze_unused(model: PreTrainedModel, args: GALRecTrainingConfig) -> None:
    """Parameters that no loss reaches would leave DistributedDataParallel waiting for their gradients."""
    if not args.has_graph_losses:
        model.projection.requires_grad_(False)
    if not args.lm_loss_weight and model.lm_head.weight is not model.get_input_embeddings().weight:
        model.lm_head.requires_grad_(False)


def _hops(representations: torch.Tensor) -> dict[str, torch.Tensor]:
    return {"user_1": representations[:, _PLACE["USER_1"]], "user_2": representations[:, _PLACE["USER_2"]]}


def _entities(representations: torch.Tensor, segments: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """E_u^0 and E_t^0 of every pair."""
    own, item = representations.split([len(segments["own_ids"]), len(segments["item_ids"])])
    return {"user_0": own[:, _PLACE["USER_0"]], "item_0": item[segments["item_places"], _PLACE["ITEM_0"]]}


def _stacked(segments: dict[str, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
    """Own segments, then item segments, as one batch int64 (pairs + items, longest), with the own users' items."""
    own, item, owners = segments["own_ids"], segments["item_ids"], segments["own_items"]
    width = max(own.shape[1], item.shape[1])
    ids = torch.cat([F.pad(part, (0, width - part.shape[1])) for part in (own, item)])
    return ids, F.pad(owners, (0, 0, 0, len(item)), value=-1)


def _save(state: dict[str, torch.Tensor], path: Path) -> None:
    save_file({name: value.cpu().contiguous() for name, value in state.items()}, path)
