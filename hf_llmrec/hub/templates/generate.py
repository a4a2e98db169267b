"""`generate` of an LC-Rec model that only returns items of its catalogue. Copied into published repositories.

With `trust_remote_code=True`, `model.generate(**tokenizer("<a_1><b_7>..."), num_beams=20, num_return_sequences=20)`
returns sequences whose last tokens are the index of an item; `item_index.json` maps indices to items. Needs
transformers only.
"""

import copy
import json

import torch
from transformers import GenerationConfig, LogitsProcessor, LogitsProcessorList
from transformers.utils.hub import cached_file

NORMALIZATIONS = ("vocab", "level", "children")


def generate(
    inputs=None,
    generation_config=None,
    logits_processor=None,
    stopping_criteria=None,
    prefix_allowed_tokens_fn=None,
    *args,
    model,
    normalize=None,
    **kwargs,
):
    """Like `GenerationMixin.generate`, with beams over the indices of the catalogue, in the order of the pipeline.

    Defaults, for options that neither the keywords nor `generation_config` set: the number of beams that the model was
    evaluated with (more, if more sequences are requested; one with `do_sample`), all of them returned, no sampling, no
    length penalty.
    Of the model's own `generation_config`, only the special tokens are used: penalties of a base model are not applied.
    The stored `repeat_bias` is added to the scores of items whose index is in the prompt. With fewer items than
    requested sequences, each item is returned once. With a `prefix_allowed_tokens_fn` or a `logits_processor`, these
    alone determine which tokens are generated.

    Args:
        inputs: int64 (batch, length), the prompts, padded on the left; may be passed as `input_ids` instead.
        generation_config: options of the call.
        logits_processor: replaces the catalogue's constraint.
        stopping_criteria: as in `GenerationMixin.generate`.
        prefix_allowed_tokens_fn: replaces the catalogue's constraint.
        args: further positional arguments of `GenerationMixin.generate`.
        model: the model, loaded from a published repository.
        normalize: set of tokens over which each step's log-probabilities are normalised: `vocab`, `level` (codes of the
            level) or `children` (codes that can follow). Default: the one that the model was evaluated with.
        kwargs: options of the call and model inputs, as in `GenerationMixin.generate`.

    Raises:
        ValueError: an unknown `normalize`, fewer or more new tokens than an index has, prompts padded on the right, or
            logits that are NaN.
    """
    base_generate = type(model).generate
    if prefix_allowed_tokens_fn is not None or logits_processor:
        constraints = (logits_processor, stopping_criteria, prefix_allowed_tokens_fn)
        return base_generate(model, inputs, generation_config, *constraints, *args, **kwargs)
    if not hasattr(model, "_item_catalogue"):
        model._item_catalogue = ItemCatalogue(*_read_catalogue(model)), _read(model, "recommender.json")
    catalogue, settings = model._item_catalogue
    normalize = normalize or settings["normalize"]
    if normalize not in NORMALIZATIONS:
        raise ValueError(f"normalize must be one of {NORMALIZATIONS}, got {normalize!r}")
    mask = kwargs.get("attention_mask")
    if mask is not None and not bool(mask[:, -1].all()):
        raise ValueError('prompts must be padded on the left: set tokenizer.padding_side = "left"')
    config = copy.deepcopy(generation_config) or GenerationConfig()
    kwargs = {name: value for name, value in kwargs.items() if value is not None}
    if config.num_beams is None:
        sequences = kwargs.get("num_return_sequences") or config.num_return_sequences or 1
        is_sampling = kwargs.get("do_sample", config.do_sample)
        kwargs.setdefault("num_beams", 1 if is_sampling else max(settings["num_beams"], sequences))
    kwargs = config.update(**kwargs)
    prompt = next((each for each in (inputs, kwargs.get("input_ids")) if each is not None), None)
    _complete(config, model.generation_config, catalogue, 0 if prompt is None else prompt.shape[1])
    # A shallow copy that shares the weights: `generate` takes missing options from the model's own configuration.
    model = copy.copy(model)
    model.generation_config = GenerationConfig()
    processors = LogitsProcessorList([CatalogueLogitsProcessor(catalogue, normalize, settings.get("repeat_bias", 0.0))])
    return base_generate(model, inputs, config, processors, stopping_criteria, None, *args, **kwargs)


class ItemCatalogue:
    """A trie of the items' token sequences: per level the sorted keys `parent * vocabulary + token` of its nodes.

    Args:
        items: int64 (items, levels), the token ids of every item's index.
        level_tokens: per level int64 (codes,), the token ids of all its codes.
    """

    def __init__(self, items, level_tokens):
        self.vocabulary = 1 + max(int(tokens.max()) for tokens in level_tokens)
        self.level_tokens, self.keys = level_tokens, []
        nodes = torch.zeros(len(items), dtype=torch.long)
        for tokens in items.T:
            keys, nodes = torch.unique(nodes * self.vocabulary + tokens, return_inverse=True)
            self.keys.append(keys)
        # Per level, the node above each leaf, and how many leaves are below each node.
        above = torch.arange(len(self.keys[-1]))
        self.above, self.leaves = [above], [torch.ones_like(above)]
        for keys in reversed(self.keys[1:]):
            above = keys[above] // self.vocabulary
            self.above.insert(0, above)
            self.leaves.insert(0, torch.bincount(above))

    @property
    def num_levels(self):
        """Number of tokens of an item."""
        return len(self.keys)

    @property
    def num_items(self):
        """Number of items in the catalogue."""
        return len(self.keys[-1])

    def to(self, device):
        """Move the tables to a device, if they are on another one.

        Args:
            device: the device.
        """
        for name in ("keys", "above", "leaves", "level_tokens"):
            setattr(self, name, [table.to(device) for table in getattr(self, name)])

    def nodes(self, tokens):
        """Find the nodes of token sequences.

        Args:
            tokens: int64 (rows, length), the first tokens of an index.

        Returns:
            int64 (rows,); an arbitrary node for sequences that no item begins with.
        """
        nodes = torch.zeros(len(tokens), dtype=torch.long, device=tokens.device)
        for keys, token in zip(self.keys, tokens.T):  # noqa: B905 (fewer tokens than levels)
            nodes = torch.searchsorted(keys, nodes * self.vocabulary + token).clamp_max(len(keys) - 1)
        return nodes

    def children(self, nodes, level):
        """Find the tokens that may follow nodes.

        Args:
            nodes: int64 (rows,).
            level: level of the tokens, from 0.

        Returns:
            Rows, tokens and the nodes that they lead to, int64 (n,): each token may follow the node of its row.
        """
        keys = self.keys[level]
        begin, end = (torch.searchsorted(keys, (nodes + step) * self.vocabulary) for step in (0, 1))
        rows = torch.repeat_interleave(torch.arange(len(nodes), device=nodes.device), end - begin)
        # The keys of a row are consecutive.
        place = torch.arange(len(rows), device=nodes.device) - (torch.cumsum(end - begin, 0) - end)[rows]
        return rows, keys[place] % self.vocabulary, place

    def leaves_in(self, tokens):
        """Find the items whose token sequences occur in prompts, each once.

        Args:
            tokens: int64 (rows, length).

        Returns:
            Rows and leaves, int64 (n,).
        """
        starts = max(tokens.shape[1] - self.num_levels + 1, 0)
        nodes = torch.zeros(len(tokens), starts, dtype=torch.long, device=tokens.device)
        is_item = torch.ones_like(nodes, dtype=torch.bool)
        for level, keys in enumerate(self.keys):
            token = tokens[:, level : level + starts]
            key = nodes * self.vocabulary + token
            nodes = torch.searchsorted(keys, key).clamp_max(len(keys) - 1)
            is_item = is_item & (token < self.vocabulary) & (keys[nodes] == key)
        rows, place = torch.nonzero(is_item, as_tuple=True)
        pairs = torch.unique(rows * self.num_items + nodes[rows, place])
        return pairs // self.num_items, pairs % self.num_items


class CatalogueLogitsProcessor(LogitsProcessor):
    """Normalises the scores of the tokens that can follow in the catalogue, and sets all others to -inf.

    Args:
        catalogue: the `ItemCatalogue`.
        normalize: see `generate`.
        repeat_bias: added to the scores of items whose index is in the prompt.
    """

    def __init__(self, catalogue, normalize, repeat_bias=0.0):
        self.catalogue, self.normalize, self.repeat_bias, self.start = catalogue, normalize, repeat_bias, None

    def __call__(self, input_ids, scores):
        """Normalised and masked scores of the next token.

        Args:
            input_ids: int64 (rows, length), the prompts and the tokens generated so far.
            scores: float (rows, vocabulary), logits of the next token.
        """
        if scores.isnan().any():
            raise ValueError("the model's logits are not numbers (NaN): load it in bfloat16 or float32")
        if self.start is None:  # the first step: there is only the prompt
            self.start = input_ids.shape[1]
        self.catalogue.to(scores.device)
        level = input_ids.shape[1] - self.start
        # A beam without an item has the score -inf; transformers still requests the scores of its next tokens.
        nodes = self.catalogue.nodes(input_ids[:, self.start :])
        rows, tokens, children = self.catalogue.children(nodes, level)
        masked = torch.full_like(scores, -torch.inf)
        masked[rows, tokens] = scores[rows, tokens]
        if self.normalize != "vocab":
            among = masked if self.normalize == "children" else scores[:, self.catalogue.level_tokens[level]]
            total = among.logsumexp(-1, keepdim=True)
            masked = masked - total.masked_fill(total.isneginf(), 0)  # a call may suppress all tokens of a level
        if self.repeat_bias:
            # The steps add up to the bias at the leaf. Before, beams are ordered by the best bias of an item below.
            prompts = self.catalogue.leaves_in(input_ids[:, : self.start])
            added = self._best_bias(prompts, level, rows, children)
            if level:
                added = added - self._best_bias(prompts, level - 1, rows, nodes[rows])
            masked[rows, tokens] += added.to(masked.dtype)
        return masked

    def _best_bias(self, prompts, level, rows, nodes):
        """The largest bias of an item below each node, float (n,): 0 if an item below is not in the prompt."""
        catalogue, (owners, leaves) = self.catalogue, prompts
        if not len(owners):
            return torch.zeros(len(rows), device=rows.device)
        size = len(catalogue.keys[level])
        keys, counts = torch.unique(owners * size + catalogue.above[level][leaves], return_counts=True)
        place = torch.searchsorted(keys, rows * size + nodes).clamp_max(len(keys) - 1)
        is_biased = keys[place] == rows * size + nodes
        if self.repeat_bias < 0:
            is_biased = is_biased & (counts[place] == catalogue.leaves[level][nodes])
        return is_biased * self.repeat_bias


def _complete(config, stored, catalogue, prompt_length):
    """Complete a call's `GenerationConfig`, and reject lengths other than that of an index."""
    levels = catalogue.num_levels
    longest = config.max_new_tokens or config.max_length and config.max_length - prompt_length
    shortest = config.min_new_tokens or config.min_length and config.min_length - prompt_length
    if longest and longest < levels or shortest and shortest > levels:
        raise ValueError(
            f"the index of an item has {levels} tokens, no more and no fewer: leave out max_new_tokens and the like"
        )
    config.max_new_tokens, config.max_length, config.min_new_tokens, config.min_length = levels, None, None, None
    defaults = {"num_return_sequences": config.num_beams, "do_sample": False}
    defaults |= {"length_penalty": 0.0, "early_stopping": False} if config.num_beams > 1 else {}
    special = {name: getattr(stored, name) for name in ("bos_token_id", "pad_token_id", "eos_token_id")}
    for name, value in {**defaults, **special}.items():
        if getattr(config, name) is None:
            setattr(config, name, value)
    if 1 < config.num_beams >= config.num_return_sequences:
        # Further beams would be copies. A single beam would be a different search, with different outputs.
        config.num_return_sequences = min(config.num_return_sequences, catalogue.num_items)
        config.num_beams = min(config.num_beams, max(catalogue.num_items, 2))


def _read(model, name):
    path = cached_file(model.name_or_path, name, revision=getattr(model.config, "_commit_hash", None))
    if path is None:
        raise FileNotFoundError(f"{model.name_or_path} has no {name}")
    with open(path, encoding="utf-8") as stream:
        return json.load(stream)


def _read_catalogue(model):
    """The arguments of `ItemCatalogue`: token ids of the items' indices, and token ids of all codes per level."""
    index, vocabulary = _read(model, "item_index.json"), _read(model, "tokenizer.json")
    ids = {token["content"]: token["id"] for token in vocabulary["added_tokens"]}
    levels = [
        torch.tensor([ids[f"<{chr(ord('a') + level)}_{code}>"] for code in range(size)])
        for level, size in enumerate(index["codebook_sizes"])
    ]
    codes = torch.tensor(index["codes"])
    return torch.stack([tokens[codes[:, level]] for level, tokens in enumerate(levels)], dim=1), levels
