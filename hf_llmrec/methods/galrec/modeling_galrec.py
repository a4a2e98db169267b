"""GAL-Rec: a stock causal language model that reads users and items as tokens (arXiv 2406.13235).

The paper leaves the architecture's details open; docs/galrec.md of hf_llmrec lists what was chosen.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch
from torch import nn
from torch.nn import functional as F
from transformers import AutoModel, GenerationMixin, PreTrainedModel, initialization
from transformers.modeling_outputs import BaseModelOutputWithPast, CausalLMOutputWithPast

from .configuration_galrec import SPECIAL_TOKENS, GALRecConfig
from .entity_embeddings import EntityEmbeddings
from .entity_layers import EntityScale, ItemResidual, ItemScorer, MappingLayers, ProjectionHead, RecGate
from .next_item_loss import NextItemLoss, history_items


@dataclass
class GALRecOutput(CausalLMOutputWithPast):
    """Output of [`GALRecForCausalLM`]: transformers' `CausalLMOutputWithPast` and what a recommender has besides.

    Args:
        loss: float (), L_rec; ``None`` without labels.
        rec_losses: float (n,), its part of every labelled position. at_rec: bool (n,), which of them stand at `[REC]`.
        text_loss: float (), mean cross-entropy of the vocabulary; ``None`` without text labels.
        representations: float (batch, len(SPECIAL_TOKENS), projection_size), projected read-outs; zero where a sequence
            does not have one. ``None`` unless asked for.
        logits: float (batch, kept, vocab_size), of the next text token; ``None`` with labels or ``representations``.
        last_hidden_state: float (batch, length, hidden_size).
    """

    rec_losses: torch.FloatTensor | None = None
    at_rec: torch.BoolTensor | None = None
    text_loss: torch.FloatTensor | None = None
    representations: torch.FloatTensor | None = None
    last_hidden_state: torch.FloatTensor | None = None


class GALRecPreTrainedModel(PreTrainedModel):
    config_class = GALRecConfig
    base_model_prefix = "model"
    main_input_name = "input_ids"
    supports_gradient_checkpointing = True
    _supports_sdpa = True
    _supports_flash_attn = True
    _supports_attention_backend = True

    @torch.no_grad()
    def _init_weights(self, module):
        std = getattr(self.config.get_text_config(), "initializer_range", 0.02)
        if isinstance(module, MappingLayers):
            for skip in module.skip:
                initialization.orthogonal_(skip.weight)
        elif isinstance(module, EntityScale):
            initialization.constant_(module.factor, float(self.config.entity_scale))
        elif isinstance(module, RecGate):
            initialization.constant_(module.gate, RecGate.START)
        elif isinstance(module, ItemResidual):
            initialization.zeros_(module.weight)
        elif isinstance(module, ItemScorer):
            if module.repeat_bias is not None:
                initialization.zeros_(module.repeat_bias)
        elif isinstance(module, (nn.Linear, nn.Embedding)):
            initialization.normal_(module.weight, std=std)
            if getattr(module, "bias", None) is not None:
                initialization.zeros_(module.bias)
        if isinstance(module, EntityEmbeddings):
            for buffer in (module.item_external, module.user_external, module.graph_items, module.graph_offsets):
                initialization.zeros_(buffer)


class GALRecModel(GALRecPreTrainedModel):
    """The backbone with entity tokens.

    Token ids: below ``config.vocab_size`` text; then `SPECIAL_TOKENS`, then items by row, then the users of a graph by
    row. Entities are no vocabulary rows: their input embeddings are mapped external embeddings. Sequences are padded on
    the right with any id: under causal attention nothing sees the padding, so no attention mask is needed.

    Example:

    ```python
    >>> model = GALRecModel.from_pretrained("org/galrec-beauty")
    >>> scores = model.score_prompts(input_ids, user_items)   # float (batch, num_items)
    ```
    """

    # What `GALRecForCausalLM` has besides.
    _keys_to_ignore_on_load_unexpected = [r"^lm_head\.", r"^projection\."]

    def __init__(self, config: GALRecConfig):
        super().__init__(config)
        self.language_model = AutoModel.from_config(config.text_config)
        self.entities = EntityEmbeddings(config)
        self.embedding_dropout = nn.Dropout(config.embedding_dropout)
        self.rec_gate, self.item_scorer = RecGate(config), ItemScorer(config)
        self.post_init()

    def get_input_embeddings(self) -> nn.Module:
        return self.language_model.get_input_embeddings()

    def set_input_embeddings(self, value: nn.Module) -> None:
        self.language_model.set_input_embeddings(value)

    @property
    def item_external(self) -> torch.Tensor:
        """External embeddings of the items, float (num_items, external_size)."""
        return self.entities.item_external

    def set_item_vectors(self, vectors: dict[str, torch.Tensor]) -> None:
        """See [`EntityEmbeddings.set_item_vectors`]."""
        self.entities.set_item_vectors(vectors)

    def set_graph_users(self, items: torch.Tensor, offsets: torch.Tensor) -> None:
        """See [`EntityEmbeddings.set_graph_users`]."""
        self.entities.set_graph_users(items, offsets)

    def item_vectors(self, item_rows: torch.Tensor | None = None) -> torch.Tensor:
        """See [`EntityEmbeddings.item_vectors`]."""
        return self.entities.item_vectors(item_rows)

    def embed(self, input_ids: torch.Tensor, user_items: torch.Tensor | None = None) -> torch.Tensor:
        """Input embeddings float (batch, length, hidden_size); see `forward`."""
        text = self.get_input_embeddings()(input_ids.masked_fill(input_ids >= self.config.vocab_size, 0))
        return self.embedding_dropout(self.entities(input_ids, text, user_items))

    def forward(
        self,
        input_ids: torch.LongTensor | None = None,
        attention_mask: torch.Tensor | None = None,
        position_ids: torch.LongTensor | None = None,
        inputs_embeds: torch.FloatTensor | None = None,
        user_items: torch.LongTensor | None = None,
        use_cache: bool | None = None,
        **kwargs,
    ) -> BaseModelOutputWithPast:
        """The backbone's output.

        Args:
            input_ids: int64 (batch, length), see the class.
            user_items: int64 (batch, k), padded with -1: the items by whose mean the own user of each sequence, token
                ``USER``, is known.
            others: as in the backbone, the cache among them, whatever transformers calls it.
        """
        if inputs_embeds is None:
            inputs_embeds = self.embed(input_ids, user_items)
        return self.language_model(
            inputs_embeds=inputs_embeds,
            attention_mask=attention_mask,
            position_ids=position_ids,
            use_cache=bool(use_cache),
            **kwargs,
        )

    def readout_states(self, input_ids: torch.Tensor, hidden: torch.Tensor, name: str) -> torch.Tensor:
        """State at the token ``name`` of each sequence, float (batch, hidden_size); zero where there is none."""
        found = input_ids == self.config.special_token_ids[name]
        place = found.int().argmax(dim=1)
        return hidden[torch.arange(len(hidden), device=hidden.device), place] * found.any(1, keepdim=True)

    def rec_states(self, input_ids: torch.Tensor, hidden: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
        """State at `[REC]` after its gate, float (batch, hidden_size); see [`RecGate`]. Without a history, ungated.

        Args:
            places: of the history's items, see `history_items`.
        """
        places = places.masked_fill(places == input_ids.shape[1], -1).amax(1)
        rows = torch.arange(len(hidden), device=hidden.device)
        rec = self.readout_states(input_ids, hidden, "REC")
        gated = self.rec_gate(hidden[rows, places.clamp_min(0)], rec)
        return torch.where((places >= 0).unsqueeze(1), gated, rec)

    def score_prompts(
        self,
        input_ids: torch.LongTensor,
        user_items: torch.LongTensor,
        attention_mask: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Scores of the whole catalogue at `[REC]`, float32 (batch, num_items), in one pass; see `forward`."""
        hidden = self(input_ids, attention_mask=attention_mask, user_items=user_items).last_hidden_state
        items, places = history_items(input_ids, self.config)
        history = torch.zeros(len(items), self.config.num_items + 1, dtype=torch.bool, device=items.device)
        history = history.scatter_(1, items, True)[:, :-1]
        return self.item_scorer(self.rec_states(input_ids, hidden, places), self.item_vectors(), history)


class GALRecForCausalLM(GALRecPreTrainedModel, GenerationMixin):
    """GAL-Rec with what training adds: L_rec, the projection head of the contrastive losses, and the text head."""

    def __init__(self, config: GALRecConfig):
        super().__init__(config)
        # Labels stand where they are predicted, from the first position on. By the class's name `Trainer` takes them
        # for a causal language model's, which its loss shifts, and leaves the first out of `num_items_in_batch`.
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
        """Build around a causal language model, whose modules are taken over, not copied.

        Args:
            backbone: any stock ``...ForCausalLM``.
            low_memory: make no second language model meanwhile, as for large ones. The layers around it draw other
                random numbers then.
            fields: of `GALRecConfig`, but ``text_config``.

        Raises:
            ValueError: a backbone without a plain linear head as wide as its states.
        """
        head = backbone.get_output_embeddings()
        kernel = backbone.config.get_text_config()._attn_implementation  # making a model around it chooses anew
        config = GALRecConfig(text_config=backbone.config.get_text_config(), **fields)
        shape = (config.vocab_size, config.hidden_size)
        weight = getattr(head, "weight", torch.empty(0))
        # Under DeepSpeed ZeRO-3 a weight's own shape is that of what is gathered now.
        found = tuple(getattr(weight, "ds_shape", weight.shape))
        if not isinstance(head, nn.Linear) or head.bias is not None or found != shape:
            raise ValueError(f"{type(backbone).__name__}: the backbone needs a linear head {shape} without bias")
        if low_memory:
            # ZeRO-3 makes models in parts, and none without memory. What it draws for them must not count.
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
        model.to(dtype=backbone.dtype, device=backbone.device)
        model.tie_weights()
        model.set_attn_implementation(kernel)
        return model

    def get_output_embeddings(self) -> nn.Module:
        return self.lm_head

    def set_output_embeddings(self, value: nn.Module) -> None:
        self.lm_head = value

    def forward(
        self,
        input_ids: torch.LongTensor | None = None,
        attention_mask: torch.Tensor | None = None,
        position_ids: torch.LongTensor | None = None,
        inputs_embeds: torch.FloatTensor | None = None,
        user_items: torch.LongTensor | None = None,
        labels: torch.LongTensor | None = None,
        text_labels: torch.LongTensor | None = None,
        output_representations: bool = False,
        num_items_in_batch: torch.Tensor | int | None = None,
        use_cache: bool | None = None,
        logits_to_keep: int = 0,
        return_dict: bool | None = None,
        **kwargs,
    ) -> GALRecOutput | tuple:
        """L_rec with labels; read-outs where asked for; logits of text otherwise.

        Args:
            input_ids, user_items: see [`GALRecModel.forward`].
            labels: int64 (batch, length), the item row that follows a position, -100 where there is none.
            text_labels: int64 (batch, length), the text token that stands at a position, -100 where it is not to be
                predicted (by the position before it).
            output_representations: project the read-outs.
            num_items_in_batch: divide L_rec by so many targets (of an accumulated, distributed batch) instead of by
                those of this one.
            logits_to_keep: of the last so many positions (0: all).
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
        # The cache, and states and attentions where they were asked for, under the backbone's names.
        known = {field.name for field in fields(GALRecOutput)}
        result = GALRecOutput(**{name: value for name, value in outputs.items() if name in known})
        if labels is not None:
            sampled = self.config.rec_loss == "sampled_softmax" and self.training
            compute = NextItemLoss(self.config, self.model.item_scorer, self.model.item_vectors)
            history = history_items(input_ids, self.config)
            at_rec = (input_ids == self.config.special_token_ids["REC"]).unsqueeze(2)
            states = torch.where(at_rec, self.model.rec_states(input_ids, hidden, history[1]).unsqueeze(1), hidden)
            result.rec_losses, result.at_rec = compute(input_ids, history, states, labels, sampled)
            total = max(len(result.rec_losses), 1) if num_items_in_batch is None else num_items_in_batch
            weights = torch.where(result.at_rec, float(self.config.rec_weight), 1.0)
            result.loss = (result.rec_losses * weights).sum() / total
        if text_labels is not None:
            told = text_labels[:, 1:] != -100
            logits = self.lm_head(hidden[:, :-1][told]).float()
            result.text_loss = F.cross_entropy(logits, text_labels[:, 1:][told], reduction="sum") / told.sum().clamp(1)
        if output_representations:
            states = [self.model.readout_states(input_ids, hidden, name) for name in SPECIAL_TOKENS]
            result.representations = self.projection(torch.stack(states, dim=1))
        if text_labels is None and self.config.tie_word_embeddings:
            # FSDP2 groups tied layers, and takes their forward pass as over only when all of them were called.
            self.lm_head(hidden[:0])
        if labels is None and text_labels is None and not output_representations:
            result.logits = self.lm_head(hidden[:, -logits_to_keep:] if logits_to_keep else hidden)
        return result if return_dict in (None, True) else result.to_tuple()


GALRecConfig.register_for_auto_class()
GALRecModel.register_for_auto_class("AutoModel")
GALRecForCausalLM.register_for_auto_class("AutoModelForCausalLM")

__all__ = ["GALRecForCausalLM", "GALRecModel", "GALRecOutput", "GALRecPreTrainedModel"]
