"""Tree-of-beams decoding beside transformers' constrained beam search, in one run.

    python benchmarks/decoding.py --items 12101 --batch_size 32 --num_beams 20

Both search the same valid indices with the same model and prompts and must return the same items: the run fails if they
do not. Prints seconds per batch (median of interleaved repeats) and their ratio, and writes ``--output``.
"""

from __future__ import annotations

import statistics
import time
from dataclasses import dataclass, field

import numpy as np
import torch
from transformers import HfArgumentParser, LlamaConfig, LlamaForCausalLM, Qwen3Config, Qwen3ForCausalLM

from hf_llmrec.data.files import write_json
from hf_llmrec.generation.beam_search import recommend_items
from hf_llmrec.generation.item_trie import ItemTrie


@dataclass
class BenchmarkArguments:
    """What is measured.

    Args:
        architecture: ``llama`` or ``qwen3``, with random weights.
        hidden_size, num_hidden_layers: size of the model.
        items, levels, codes: catalogue, drawn at random.
        text_tokens: vocabulary beside the index tokens.
        batch_size, prompt_length, num_beams: of one call.
        repeats: calls of each method, interleaved.
        output: JSON file.
    """

    architecture: str = "qwen3"
    hidden_size: int = 256
    num_hidden_layers: int = 4
    items: int = 12_101
    levels: int = 4
    codes: int = 256
    text_tokens: int = 4_000
    batch_size: int = 16
    prompt_length: int = 80
    num_beams: int = 20
    repeats: int = 3
    output: str | None = field(default=None)


def make_model(arguments: BenchmarkArguments):
    sizes = {
        "vocab_size": arguments.text_tokens + arguments.levels * arguments.codes,
        "hidden_size": arguments.hidden_size,
        "intermediate_size": 3 * arguments.hidden_size,
        "num_hidden_layers": arguments.num_hidden_layers,
        "num_attention_heads": 8,
        "num_key_value_heads": 4,
        "max_position_embeddings": 2048,
        "initializer_range": 0.1,
    }
    torch.manual_seed(0)
    if arguments.architecture == "llama":
        return LlamaForCausalLM(LlamaConfig(**sizes)).eval()
    return Qwen3ForCausalLM(Qwen3Config(head_dim=arguments.hidden_size // 8, **sizes)).eval()


def draw_codes(arguments: BenchmarkArguments) -> np.ndarray:
    """Distinct codes int64 (items, levels), crowded at the first levels as real ones are."""
    rng = np.random.default_rng(0)
    found: set[tuple[int, ...]] = set()
    while len(found) < arguments.items:
        share = rng.random(arguments.levels) ** 1.5
        found.add(tuple(int(value * arguments.codes) for value in share))
    return np.array(sorted(found))


def children_by_prefix(codes: np.ndarray, level_ids: list[np.ndarray]) -> dict[tuple[int, ...], list[int]]:
    """Token prefix -> tokens that may follow: the dictionary trie of public LC-Rec implementations."""
    tokens = np.stack([ids[codes[:, level]] for level, ids in enumerate(level_ids)], axis=1).tolist()
    following: dict[tuple[int, ...], set[int]] = {}
    for row in tokens:
        for level, token in enumerate(row):
            following.setdefault(tuple(row[:level]), set()).add(token)
    return {prefix: sorted(values) for prefix, values in following.items()}


@torch.no_grad()
def main() -> None:
    (arguments,) = HfArgumentParser((BenchmarkArguments,)).parse_args_into_dataclasses()
    model = make_model(arguments)
    codes = draw_codes(arguments)
    starts = [arguments.text_tokens + level * arguments.codes for level in range(arguments.levels)]
    level_ids = [np.arange(start, start + arguments.codes) for start in starts]
    trie = ItemTrie.from_codes(codes)
    allowed = children_by_prefix(codes, level_ids)
    row_of = {tuple(row): number for number, row in enumerate(codes.tolist())}
    shape = (arguments.batch_size, arguments.prompt_length)
    input_ids = torch.randint(arguments.text_tokens, shape)
    attention_mask = torch.ones_like(input_ids)

    def tree(normalize: str) -> np.ndarray:
        rows, _ = recommend_items(
            model,
            input_ids,
            attention_mask,
            trie,
            level_ids,
            num_beams=arguments.num_beams,
            k=arguments.num_beams,
            normalize=normalize,
        )
        return rows.numpy()

    def generate() -> np.ndarray:
        sequences = model.generate(
            input_ids=input_ids,
            attention_mask=attention_mask,
            num_beams=arguments.num_beams,
            num_return_sequences=arguments.num_beams,
            max_new_tokens=arguments.levels,
            do_sample=False,
            pad_token_id=0,
            eos_token_id=None,
            length_penalty=0.0,
            prefix_allowed_tokens_fn=lambda _, ids: allowed[tuple(ids[arguments.prompt_length :].tolist())],
        )
        found = sequences[:, arguments.prompt_length :].numpy() - np.array(starts)
        rows = [row_of[tuple(row)] for row in found.tolist()]
        return np.array(rows).reshape(arguments.batch_size, arguments.num_beams)

    methods = {
        "generate(prefix_allowed_tokens_fn)": generate,
        "tree, normalize=vocab": lambda: tree("vocab"),
        "tree, normalize=level": lambda: tree("level"),
        "tree, normalize=children": lambda: tree("children"),
    }
    same = (generate() == tree("vocab")).mean()
    if same < 0.99:  # neighbours in rank may swap where float32 scores are equal to rounding
        raise SystemExit(f"the two searches differ: {same:.1%} of the places hold the same item")
    seconds: dict[str, list[float]] = {name: [] for name in methods}
    for repeat in range(arguments.repeats + 1):
        for name, method in methods.items():
            began = time.perf_counter()
            method()
            if repeat:  # the first round warms up
                seconds[name].append(time.perf_counter() - began)
    median = {name: statistics.median(values) for name, values in seconds.items()}
    base = median["generate(prefix_allowed_tokens_fn)"]
    report = {
        "arguments": {name: value for name, value in vars(arguments).items() if name != "output"},
        "threads": torch.get_num_threads(),
        "same_items": float(same),
        "seconds_per_batch": median,
        "times_faster": {name: base / value for name, value in median.items()},
    }
    for name, value in median.items():
        print(f"{name:<38}{value:8.3f} s  {base / value:6.1f} x")
    if arguments.output:
        write_json(arguments.output, report)


if __name__ == "__main__":
    main()
