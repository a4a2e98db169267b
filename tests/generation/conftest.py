"""Random tiny models of several architectures, random catalogues, and slow references to compare with."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM as Auto
from transformers import (
    Gemma2Config,
    Gemma3TextConfig,
    GemmaConfig,
    GPT2Config,
    LlamaConfig,
    MistralConfig,
    Qwen3Config,
    set_seed,
)

from hf_llmrec.generation import ItemTrie

VOCAB = 97
WINDOW = 6
SIZES = {
    "vocab_size": VOCAB,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "initializer_range": 0.4,  # far from uniform, so that no two items tie within rounding
    "max_position_embeddings": 64,
    "bos_token_id": None,
    "eos_token_id": None,
    "pad_token_id": None,
}
GPT2 = {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 64, "vocab_size": VOCAB, "initializer_range": 0.4}
CONFIGS = {
    "llama": lambda: LlamaConfig(**SIZES),
    "qwen3": lambda: Qwen3Config(**SIZES),
    "gpt2": lambda: GPT2Config(**GPT2, bos_token_id=None, eos_token_id=None),
    "mistral": lambda: MistralConfig(**SIZES, sliding_window=None),
    "mistral-window": lambda: MistralConfig(**SIZES, sliding_window=WINDOW),
    "gemma": lambda: GemmaConfig(**SIZES),
    "gemma2": lambda: Gemma2Config(**SIZES, final_logit_softcapping=2.0),
    "gemma2-window": lambda: Gemma2Config(**SIZES, sliding_window=WINDOW, final_logit_softcapping=2.0),
    "gemma3": lambda: Gemma3TextConfig(**SIZES),
    "gemma3-window": lambda: Gemma3TextConfig(
        **SIZES, sliding_window=WINDOW, layer_types=["sliding_attention", "full_attention"]
    ),
}


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def make_model():
    def make(name: str, dtype=torch.float64, attention: str | None = None, seed: int = 0):
        set_seed(seed)
        return Auto.from_config(CONFIGS[name](), attn_implementation=attention).to(dtype).eval()

    return make


@dataclass
class Shop:
    """A random catalogue: codes (n, levels), its trie, scattered token ids per level, and left-padded prompts."""

    codes: np.ndarray
    trie: ItemTrie
    token_ids: list[torch.Tensor]
    input_ids: torch.Tensor
    mask: torch.Tensor

    @property
    def args(self):
        return self.input_ids, self.mask, self.trie, self.token_ids


@pytest.fixture
def make_shop():
    def make(items: int = 40, levels: int = 3, size: int = 6, lengths=(9, 4, 12, 1), seed: int = 0) -> Shop:
        rng = np.random.default_rng(seed)
        strings = rng.permutation(size**levels)[:items]
        codes = np.stack([strings // size**level % size for level in range(levels)], axis=1)
        ids = torch.from_numpy(rng.permutation(VOCAB)[: levels * size])
        longest = max(lengths)
        input_ids = torch.from_numpy(rng.integers(0, VOCAB, (len(lengths), longest)))
        mask = torch.zeros_like(input_ids)
        for row, length in enumerate(lengths):
            mask[row, longest - length :] = 1
        return Shop(codes, ItemTrie.from_codes(codes), list(ids.view(levels, size)), input_ids, mask)

    return make


@pytest.fixture
def generate_reference():
    """Core beam search over a Python dictionary of prefixes, dead beams dropped: per prompt [(item row, score)]."""

    def run(model, shop: Shop, num_beams: int):
        follow, item_of = {}, {}
        for row, item in enumerate(shop.codes):
            tokens = [int(shop.token_ids[level][code]) for level, code in enumerate(item)]
            item_of[tuple(tokens)] = row
            for level, token in enumerate(tokens):
                follow.setdefault(tuple(tokens[:level]), set()).add(token)
        if model.config._attn_implementation == "eager":
            # Stock eager attention gives NaN for padding in float64: one prompt at a time.
            prompts = [
                (ids[mask.bool()][None], mask[mask.bool()][None])
                for ids, mask in zip(shop.input_ids, shop.mask, strict=True)
            ]
        else:
            prompts = [(shop.input_ids, shop.mask)]
        return [found for ids, mask in prompts for found in search(model, shop, num_beams, ids, mask, follow, item_of)]

    def search(model, shop, num_beams, input_ids, mask, follow, item_of):
        start = input_ids.shape[1]
        out = model.generate(
            input_ids=input_ids,
            attention_mask=mask,
            num_beams=num_beams,
            num_return_sequences=num_beams,
            max_new_tokens=shop.trie.depth,
            do_sample=False,
            length_penalty=0,
            pad_token_id=0,
            prefix_allowed_tokens_fn=lambda _, ids: sorted(follow.get(tuple(ids[start:].tolist()), {0})),
            return_dict_in_generate=True,
            output_scores=True,
        )
        tokens = out.sequences[:, start:].view(len(input_ids), num_beams, -1).tolist()
        scores = out.sequences_scores.view(len(input_ids), num_beams).tolist()
        results = []
        for beams, values in zip(tokens, scores, strict=True):
            found = {}
            for beam, value in zip(beams, values, strict=True):
                if tuple(beam) in item_of and value > -1e6:
                    found.setdefault(item_of[tuple(beam)], value)
            results.append(sorted(found.items(), key=lambda pair: -pair[1]))
        return results

    return run


@pytest.fixture
def exhaustive_reference():
    """Scores (batch, items) of the whole catalogue: one unpadded plain forward per prompt and item."""

    @torch.no_grad()
    def run(model, shop: Shop, normalize: str) -> torch.Tensor:
        table = torch.zeros(len(shop.input_ids), len(shop.codes), dtype=torch.float64)
        for row, (ids, mask) in enumerate(zip(shop.input_ids, shop.mask, strict=True)):
            prompt = ids[mask.bool()]
            for item, codes in enumerate(shop.codes):
                tokens = torch.stack([shop.token_ids[level][code] for level, code in enumerate(codes)])
                logits = model(input_ids=torch.cat([prompt, tokens[:-1]]).unsqueeze(0)).logits[0, -len(codes) :]
                for level in range(len(codes)):
                    same = (shop.codes[:, :level] == codes[:level]).all(1)
                    among = {
                        "vocab": torch.arange(VOCAB),
                        "level": shop.token_ids[level],
                        "children": shop.token_ids[level][np.unique(shop.codes[same, level])],
                    }[normalize]
                    table[row, item] += logits[level, tokens[level]] - logits[level, among].logsumexp(0)
        return table

    return run
