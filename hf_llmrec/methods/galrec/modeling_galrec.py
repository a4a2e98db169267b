"""GAL-Rec: a stock causal language model that reads users and items as tokens (arXiv 2406.13235).

The paper leaves details of the architecture open; docs/galrec.md of hf_llmrec lists the choices made here.
"""

from __future__ import annotations

from dataclasses import fields
from typing import cast

import torch
from torch import nn
from torch.nn import functional as F
from transformers import AutoModel, GenerationMixin, PreTrainedModel
from transformers.modeling_outputs import BaseModelOutputWithPast

from .configuration_galrec import SPECIAL_TOKENS, GALRecConfig
from .entity_embeddings import EntityEmbeddings
from .entity_layers import ItemScorer, ProjectionHead, RecGate
from .galrec_base import GALRecOutput, GALRecPreTrainedModel, require_ids
from .next_item_loss import NextItemLoss, history_items


class GALRecModel(GALRecPreTrainedModel):
    """The backbone with entity tokens.

    Ids below ``config.vocab_size`` are text tokens; `SPECIAL_TOKENS`, items by row, and the users of a graph by row
    follow. Entities have no vocabulary rows: their input embeddings are mapped external embeddings. Sequences are
    padded on the right with any id: under causal attention no token sees the padding, so no attention mask is needed.

    Args:
        config: of the model.

    Example:

    ```python
    >>> model = GALRecModel.from_pretrained("org/galrec-beauty")
    >>> scores = model.score_prompts(input_ids, user_items)   # float (batch, num_items)
    ```
    """

    # Parameters that only `GALRecForCausalLM` has.
    _keys_to_ignore_on_load_unexpected = [r"^lm_head\.", r"^projection\."]

    def __init__(self, config: GALRecConfig):
        super().__init__(config)
        self.language_model = AutoModel.from_config(config.text_config)
        self.entities = EntityEmbeddings(config)
        self.embedding_dropout = nn.Dropout(config.embedding_dropout)
        self.rec_gate, self.item_scorer = RecGate(config), ItemScorer(config)
        self.post_init()

    def get_input_embeddings(self) -> nn.Module:
        """The backbone's text embeddings."""
        return self.language_model.get_input_embeddings()

    def set_input_embeddings(self, value: nn.Module) -> None:
        """Replace the backbone's text embeddings."""
        self.language_model.set_input_embeddings(value)

    @property
    def item_external(self) -> torch.Tensor:
        """External embeddings of the items, float (num_items, external_size)."""
        return self.entities.item_external

    def set_item_vectors(self, vectors: dict[str, torch.Tensor]) -> None:
        """Set the items' external embeddings by kind, see [`EntityEmbeddings.set_item_vectors`]."""
        self.entities.set_item_vectors(vectors)

    def set_graph_users(self, items: torch.Tensor, offsets: torch.Tensor) -> None:
        """Register the users of a graph, see [`EntityEmbeddings.set_graph_users`]."""
        self.entities.set_graph_users(items, offsets)

    def item_vectors(self, item_rows: torch.Tensor | None = None) -> torch.Tensor:
        """Items in the language model's space, see [`EntityEmbeddings.item_vectors`]."""
        return self.entities.item_vectors(item_rows)

    def embed(self, input_ids: torch.Tensor, user_items: torch.Tensor | None = None) -> torch.Tensor:
        """Input embeddings of text, entities and read-outs.

        Args:
            input_ids: int64 (batch, length).
            user_items: int64 (batch, k), items that represent the own user of each sequence, see `forward`.

        Returns:
            float (batch, length, hidden_size).
        """
        text = self.get_input_embeddings()(input_ids.masked_fill(input_ids >= self.config.vocab_size, 0))
        return self.embedding_dropout(self.entities(input_ids, text, user_items))

    def forward(
        self,
        input_ids: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        position_ids: torch.Tensor | None = None,
        inputs_embeds: torch.Tensor | None = None,
        user_items: torch.Tensor | None = None,
        use_cache: bool | None = None,
        **kwargs,
    ) -> BaseModelOutputWithPast:
        """Run the backbone on a sequence of text, entities and read-outs.

        Args:
            input_ids: int64 (batch, length), ids as described at the class.
            attention_mask: (batch, length), as in the backbone; not needed for padding on the right.
            position_ids: int64 (batch, length), as in the backbone.
            inputs_embeds: float (batch, length, hidden_size), used instead of ``input_ids``.
            user_items: int64 (batch, k), padded with -1: the items whose mean represents the own user of each sequence,
                token ``USER``.
            use_cache: whether to return the backbone's cache; default: no.
            kwargs: passed to the backbone, the cache among them, whose name depends on the version of transformers.

        Returns:
            The backbone's output.

        Raises:
            ValueError: neither ``input_ids`` nor ``inputs_embeds``, or users that are not registered.
        """
        if inputs_embeds is None:
            if input_ids is None:
                raise ValueError("input_ids or inputs_embeds are needed")
            inputs_embeds = self.embed(input_ids, user_items)
        return self.language_model(
            inputs_embeds=inputs_embeds,
            attention_mask=attention_mask,
            position_ids=position_ids,
            use_cache=bool(use_cache),
            **kwargs,
        )

    def readout_states(self, input_ids: torch.Tensor, hidden: torch.Tensor, name: str) -> torch.Tensor:
        """State at a read-out of each sequence.

        Args:
            input_ids: int64 (batch, length).
            hidden: float (batch, length, hidden_size), states of the language model.
            name: of the read-out, in `SPECIAL_TOKENS`.

        Returns:
            float (batch, hidden_size), zero for sequences without this read-out.
        """
        is_readout = input_ids == self.config.special_token_ids[name]
        place = is_readout.int().argmax(dim=1)
        return hidden[torch.arange(len(hidden), device=hidden.device), place] * is_readout.any(1, keepdim=True)

    def rec_states(self, input_ids: torch.Tensor, hidden: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
        """State at `[REC]` after its gate, see [`RecGate`]; without a history, the state itself.

        Args:
            input_ids: int64 (batch, length).
            hidden: float (batch, length, hidden_size), states of the language model.
            places: int64 (batch, k), positions of the history's items, from `history_items`.

        Returns:
            float (batch, hidden_size).
        """
        places = places.masked_fill(places == input_ids.shape[1], -1).amax(1)
        rows = torch.arange(len(hidden), device=hidden.device)
        rec = self.readout_states(input_ids, hidden, "REC")
        gated = self.rec_gate(hidden[rows, places.clamp_min(0)], rec)
        return torch.where((places >= 0).unsqueeze(1), gated, rec)

    def score_prompts(
        self,
        input_ids: torch.Tensor,
        user_items: torch.Tensor,
        attention_mask: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Score all items at `[REC]` in one forward pass.

        Args:
            input_ids: int64 (batch, length), users' sequences.
            user_items: int64 (batch, k), padded with -1: the items that represent each sequence's own user.
            attention_mask: (batch, length), as in `forward`.

        Returns:
            float32 (batch, num_items).
        """
        hidden = self(input_ids, attention_mask=attention_mask, user_items=user_items).last_hidden_state
        items, places = history_items(input_ids, self.config)
        history = torch.zeros(len(items), self.config.num_items + 1, dtype=torch.bool, device=items.device)
        history = history.scatter_(1, items, True)[:, :-1]
        return self.item_scorer(self.rec_states(input_ids, hidden, places), self.item_vectors(), history)


class GALRecForCausalLM(GALRecPreTrainedModel, GenerationMixin):
    """GAL-Rec with what training needs: L_rec, the projection head of the contrastive losses, and the text head.

    Args:
        config: of the model.
    """

    def __init__(self, config: GALRecConfig):
        super().__init__(config)
        # Labels stand at the position that predicts them, from the first position on. By the name of this class
        # `Trainer` would take them for those of a causal language model, whose loss shifts them, and leave the first
        # out of `num_items_in_batch`.
        self.loss_type = None
        self.model = GALRecModel(config)
        self.lm_head = nn.Linear(config.hidden_size, config.vocab_size, bias=False)
        self.projection = ProjectionHead(config)
        if config.tie_word_embeddings:
            table = self.model.get_input_embeddings()
            name = next(name for name, module in self.named_modules() if module is table)
            self._tied_weights_keys = {"lm_head.weight": f"{name}.weight"}
        self.post_init()

    @classmethod
    def from_backbone(cls, backbone: PreTrainedModel, low_memory: bool = False, **fields) -> GALRecForCausalLM:
        """Build a model around a causal language model, whose modules are used as they are, not copied.

        Args:
            backbone: any stock ``...ForCausalLM``.
            low_memory: do not create a second language model in the meantime, for large ones. The new layers draw
                different random numbers then.
            fields: of `GALRecConfig`, except ``text_config``.

        Raises:
            ValueError: a backbone without a plain linear head as wide as its states.
        """
        head = backbone.get_output_embeddings()
        kernel = backbone.config.get_text_config()._attn_implementation  # building a model around it resets it
        config = GALRecConfig(text_config=backbone.config.get_text_config(), **fields)
        shape = (config.vocab_size, config.hidden_size)
        weight = getattr(head, "weight", torch.empty(0))
        # With DeepSpeed ZeRO-3 a weight's own shape is that of the part that is currently gathered.
        full_shape = tuple(getattr(weight, "ds_shape", weight.shape))
        if not isinstance(head, nn.Linear) or head.bias is not None or full_shape != shape:
            raise ValueError(f"{type(backbone).__name__}: the backbone needs a linear head {shape} without bias")
        if low_memory:
            # ZeRO-3 cannot build a model on the device "meta": it shards parameters as they are created. The random
            # numbers that it draws for them must not advance the generator.
            device = backbone.device if hasattr(weight, "ds_shape") else "meta"
            with torch.random.fork_rng(devices=[]), torch.device(device):
                model = cls(config)
        else:
            model = cls(config)
        model.model.language_model = backbone.base_model
        model.lm_head = head
        if low_memory:
            for part in (model.model.entities, model.model.rec_gate, model.model.item_scorer, model.projection):
                part.to_empty(device=backbone.device)
                part.apply(model._init_weights)
        model.to(dtype=backbone.dtype, device=backbone.device)  # pyright: ignore[reportCallIssue]  # wraps nn.Module.to
        model.tie_weights()
        model.set_attn_implementation(cast(str, kernel))  # every model has one, though its type allows None
        return model

    def get_output_embeddings(self) -> nn.Module:
        """The text head."""
        return self.lm_head

    def set_output_embeddings(self, value: nn.Module) -> None:
        """Replace the text head."""
        self.lm_head = value

    def forward(
        self,
        input_ids: torch.Tensor | None = None,
        attention_mask: torch.Tensor | None = None,
        position_ids: torch.Tensor | None = None,
        inputs_embeds: torch.Tensor | None = None,
        user_items: torch.Tensor | None = None,
        labels: torch.Tensor | None = None,
        text_labels: torch.Tensor | None = None,
        output_representations: bool = False,
        num_items_in_batch: torch.Tensor | int | None = None,
        use_cache: bool | None = None,
        logits_to_keep: int = 0,
        return_dict: bool | None = None,
        **kwargs,
    ) -> GALRecOutput | tuple:
        """Compute L_rec if there are labels, read-outs on request, and logits of text otherwise.

        Args:
            input_ids: int64 (batch, length), as in [`GALRecModel.forward`].
            attention_mask: (batch, length), as in [`GALRecModel.forward`].
            position_ids: int64 (batch, length), as in the backbone.
            inputs_embeds: float (batch, length, hidden_size), used instead of ``input_ids``; without labels or
                read-outs, which need the ids.
            user_items: int64 (batch, k), padded with -1, as in [`GALRecModel.forward`].
            labels: int64 (batch, length), the item row that follows a position, -100 where there is none.
            text_labels: int64 (batch, length), the text token at a position, -100 where the position before it is not
                to predict it.
            output_representations: whether to return projected read-outs.
            num_items_in_batch: number of targets to divide L_rec by, of an accumulated, distributed batch; default:
                that of this batch.
            use_cache: whether to return the backbone's cache; default: no.
            logits_to_keep: compute the logits of this many last positions only; 0: of all.
            return_dict: whether to return a `GALRecOutput`, the default, or a tuple.
            kwargs: passed to the backbone.

        Returns:
            A [`GALRecOutput`], or its values as a tuple.

        Raises:
            ValueError: labels or requested read-outs without ``input_ids``, and those of [`GALRecModel.forward`].
        """
        outputs = self.model(
            input_ids,
            attention_mask=attention_mask,
            position_ids=position_ids,
            inputs_embeds=inputs_embeds,
            user_items=user_items,
            use_cache=use_cache,
            **kwargs,
        )
        hidden = outputs.last_hidden_state
        # The cache, and states and attentions if they were requested, under the backbone's names.
        names = {field.name for field in fields(GALRecOutput)}
        result = GALRecOutput(**{name: value for name, value in outputs.items() if name in names})
        if labels is not None:
            sampled = self.config.rec_loss == "sampled_softmax" and self.training
            compute = NextItemLoss(self.config, self.model.item_scorer, self.model.item_vectors)
            ids = require_ids(input_ids)
            history = history_items(ids, self.config)
            is_rec = (ids == self.config.special_token_ids["REC"]).unsqueeze(2)
            states = torch.where(is_rec, self.model.rec_states(ids, hidden, history[1]).unsqueeze(1), hidden)
            losses, at_rec = compute(ids, history, states, labels, sampled)
            total = max(len(losses), 1) if num_items_in_batch is None else num_items_in_batch
            weights = torch.where(at_rec, float(self.config.rec_weight), 1.0)
            result.rec_losses, result.at_rec, result.loss = losses, at_rec, (losses * weights).sum() / total
        if text_labels is not None:
            targets = text_labels[:, 1:]
            has_target = targets != -100
            logits = self.lm_head(hidden[:, :-1][has_target]).float()
            text_loss = F.cross_entropy(logits, targets[has_target], reduction="sum")
            result.text_loss = text_loss / has_target.sum().clamp(1)
        if output_representations:
            ids = require_ids(input_ids)
            states = [self.model.readout_states(ids, hidden, name) for name in SPECIAL_TOKENS]
            result.representations = self.projection(torch.stack(states, dim=1))
        if text_labels is None and self.config.tie_word_embeddings:
            # FSDP2 groups tied layers, and considers their forward pass finished only when all of them were called.
            self.lm_head(hidden[:0])
        if labels is None and text_labels is None and not output_representations:
            result.logits = self.lm_head(hidden[:, -logits_to_keep:] if logits_to_keep else hidden)
        return result if return_dict in (None, True) else result.to_tuple()


GALRecConfig.register_for_auto_class()
GALRecModel.register_for_auto_class("AutoModel")
GALRecForCausalLM.register_for_auto_class("AutoModelForCausalLM")

__all__ = ["GALRecForCausalLM", "GALRecModel", "GALRecOutput", "GALRecPreTrainedModel"]
