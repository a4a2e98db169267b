"""`generate` of an LC-Rec model that gives items of its catalogue and nothing else. Copied into published repositories.

With `trust_remote_code=True`, `model.generate(**tokenizer("<a_1><b_7>..."), num_beams=20, num_return_sequences=20)`
returns sequences whose last tokens are the index of an item; `item_index.json` says of which. Needs transformers only.
"""

import json

from transformers.utils import cached_file


def _read(model, name):
    revision = getattr(model.config, "_commit_hash", None)
    with open(cached_file(model.name_or_path, name, revision=revision), encoding="utf-8") as stream:
        return json.load(stream)


def _children(model):
    """Per tuple of token ids that begins an item's index, the token ids that may follow."""
    index, vocabulary = _read(model, "item_index.json"), _read(model, "tokenizer.json")
    ids = {token["content"]: token["id"] for token in vocabulary["added_tokens"]}
    found = {}
    for codes in index["codes"]:
        tokens = tuple(ids[f"<{chr(ord('a') + level)}_{code}>"] for level, code in enumerate(codes))
        for level, token in enumerate(tokens):
            found.setdefault(tokens[:level], set()).add(token)
    return {prefix: sorted(tokens) for prefix, tokens in found.items()}, len(index["codebook_sizes"])


def generate(model, *args, **kwargs):
    """As `GenerationMixin.generate`, in beams over the indices of the catalogue.

    Defaults: `num_beams=20`, all of them returned, no sampling, scores without a length penalty. Who passes a
    `prefix_allowed_tokens_fn` or a `logits_processor` decides alone what may come.
    """
    plain = type(model).generate
    kwargs = {name: value for name, value in kwargs.items() if value is not None}
    if "prefix_allowed_tokens_fn" in kwargs or kwargs.get("logits_processor"):
        return plain(model, *args, **kwargs)
    if not hasattr(model, "_item_children"):
        model._item_children = _children(model)
    children, levels = model._item_children
    prompt = args[0] if args else kwargs["input_ids"] if "input_ids" in kwargs else kwargs["inputs"]
    start = prompt.shape[1]

    def allowed(_, sequence):
        # A beam that has left the catalogue has the score -inf; transformers still asks what follows it.
        return children.get(tuple(sequence[start:].tolist())) or children[()]

    beams = kwargs.setdefault("num_beams", 20)
    kwargs.setdefault("num_return_sequences", beams)
    settings = {"do_sample": False, "length_penalty": 0.0, "early_stopping": False, "eos_token_id": None}
    kwargs = {**settings, **kwargs, "min_new_tokens": levels, "max_new_tokens": levels}
    return plain(model, *args, prefix_allowed_tokens_fn=allowed, **kwargs)
