"""The `generate` that is published with an LC-Rec model recommends what the pipeline does."""

import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from transformers import GenerationConfig, pipeline

from hf_llmrec.data.item_index import ItemIndex
from hf_llmrec.data.recommender_folder import ItemCatalog, save_settings
from hf_llmrec.generation.level_head import NORMALIZATIONS
from hf_llmrec.hub.publish import Publication, prepare
from hf_llmrec.hub.templates.generate import generate
from hf_llmrec.methods.auto import AutoRecommender
from hf_llmrec.methods.lcrec.prompt import LCRecPrompt
from hf_llmrec.methods.lcrec.tokenization_lcrec import LCRecTokenizer
from hf_llmrec.training.backbones import build_backbone
from hf_llmrec.training.corpus_tokenizer import train_corpus_tokenizer

LEVELS, SIZE = 3, 5
# What base models bring: each of these changes what comes out.
OF_THE_BASE = {
    "repetition_penalty": 1.6,
    "no_repeat_ngram_size": 1,
    "suppress_tokens": [7],
    "length_penalty": 2.0,
    "num_beams": 2,
    "max_length": 9,
}


@pytest.fixture(scope="module")
def make_recommender(tmp_path_factory):
    """Folder of an untrained LC-Rec model of so many items, whose scores are far from uniform."""

    def make(items: int, normalize: str = "level", num_beams: int = 12, **more):
        folder = tmp_path_factory.mktemp("lcrec")
        strings = np.random.default_rng(items).permutation(SIZE**LEVELS)[:items]
        codes = np.stack([strings // SIZE**level % SIZE for level in range(LEVELS)], axis=1)
        ids, titles = [f"i{row}" for row in range(items)], [f"piece {row}" for row in range(items)]
        index = ItemIndex(ids, codes, (SIZE,) * LEVELS)
        tokenizer = LCRecTokenizer.from_base(train_corpus_tokenizer(titles, vocab_size=300), index, titles)
        torch.manual_seed(3)
        sizes = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
        model = build_backbone("tiny", tokenizer, overrides={**sizes, "initializer_range": 0.5})
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        stored = {name: getattr(model.generation_config, f"{name}_token_id") for name in ("bos", "eos", "pad")}
        stored = {f"{name}_token_id": value for name, value in stored.items()}
        (folder / "generation_config.json").write_text(json.dumps({**stored, **OF_THE_BASE}))
        ItemCatalog(ids, titles, index.fingerprint).save(folder)
        prompt = LCRecPrompt("packed", "", 6).to_dict()
        save_settings(folder, "lcrec", {"prompt": prompt, "num_beams": num_beams, "normalize": normalize, **more})
        return folder

    return make


@pytest.fixture(scope="module")
def rankers(make_recommender):
    """A ranker of 40 items per normalisation."""
    return {normalize: AutoRecommender.from_pretrained(make_recommender(40, normalize)) for normalize in NORMALIZATIONS}


def inputs_of(ranker, histories):
    prompts = [ranker.prompt.encode_history(ranker.tokenizer, history) for history in histories]
    input_ids, mask = ranker._left_pad(prompts)
    return prompts, {"input_ids": input_ids, "attention_mask": mask}


def items_of(ranker, sequences, batch):
    row_of = {tuple(tokens): row for row, tokens in enumerate(ranker.tokenizer.item_token_ids.tolist())}
    found = [row_of[tuple(each)] for each in sequences[:, -LEVELS:].tolist()]
    return np.array(found).reshape(batch, -1)


HISTORIES = [[3, 1, 4, 1], [5], [], [0, 2, 6, 5, 3, 5]]


@pytest.mark.parametrize("normalize", NORMALIZATIONS)
@pytest.mark.parametrize("num_beams", [None, 1, 2, 7, 40, 64])
def test_the_items_and_scores_are_the_rankers(rankers, normalize, num_beams):
    ranker = rankers[normalize]
    prompts, inputs = inputs_of(ranker, HISTORIES)
    options = {} if num_beams is None else {"num_beams": num_beams}
    found = generate(
        **inputs, **options, model=ranker.model, return_dict_in_generate=True, output_scores=True, custom_generate=None
    )
    ranker.num_beams = num_beams or 12
    k = min(ranker.num_beams, 40)
    rows, scores = ranker.rank_prompts(prompts, k)
    assert items_of(ranker, found.sequences, len(HISTORIES)).tolist() == rows.tolist()
    if num_beams != 1:
        np.testing.assert_allclose(found.sequences_scores.view(len(HISTORIES), -1), scores, atol=1e-4)


@pytest.mark.parametrize("bias", [2.5, -2.5, -60.0])
@pytest.mark.parametrize("num_beams", [1, 3, 12, 40])
def test_items_of_the_history_are_biased_as_in_the_ranker(make_recommender, bias, num_beams):
    ranker = AutoRecommender.from_pretrained(make_recommender(40, repeat_bias=bias))
    assert ranker.repeat_bias == bias
    # The last history holds all items that begin as its first item does, so that prefixes lead to its items only.
    codes = ranker.tokenizer.item_index.codes
    histories = [*HISTORIES, np.flatnonzero(codes[:, 0] == codes[0, 0])[:6]]
    prompts, inputs = inputs_of(ranker, histories)
    found = generate(
        **inputs, model=ranker.model, num_beams=num_beams, return_dict_in_generate=True, output_scores=True
    )
    ranker.num_beams = num_beams
    rows, scores = ranker.rank_prompts(prompts, num_beams)
    assert items_of(ranker, found.sequences, len(histories)).tolist() == rows.tolist()
    if num_beams > 1:
        np.testing.assert_allclose(found.sequences_scores.view(len(histories), -1), scores, atol=1e-4)
    ranker.repeat_bias = 0.0
    assert num_beams < 12 or rows.tolist() != ranker.rank_prompts(prompts, num_beams)[0].tolist()


def test_the_normalisations_differ_here(rankers):
    """Else the test above would say nothing about them."""
    orders = set()
    for ranker in rankers.values():
        ranker.num_beams = 40
        orders.add(tuple(ranker.rank([[3, 1, 4, 1]], 40)[0][0].tolist()))
    assert len(orders) == 3
    prompts, inputs = inputs_of(rankers["level"], HISTORIES)
    found = generate(**inputs, model=rankers["level"].model, num_beams=40, normalize="vocab")
    expected, _ = rankers["vocab"].rank_prompts(prompts, 40)
    assert items_of(rankers["level"], found, len(HISTORIES)).tolist() == expected.tolist()


@pytest.mark.parametrize("items", [1, 2, 3, 5, 12])
@pytest.mark.parametrize("num_beams", [1, 2, 4, 20])
def test_a_small_catalogue_gives_every_item_once(make_recommender, items, num_beams):
    ranker = AutoRecommender.from_pretrained(make_recommender(items, "children"))
    histories = [[0], [0] * 4]
    prompts, inputs = inputs_of(ranker, histories)
    found = generate(**inputs, model=ranker.model, num_beams=num_beams, num_return_sequences=num_beams)
    ranker.num_beams = num_beams
    expected, _ = ranker.rank_prompts(prompts, min(items, num_beams))
    assert int(found.min()) >= 0
    assert items_of(ranker, found, 2).tolist() == expected.tolist()


def test_what_the_call_says_counts_and_what_the_base_says_does_not(rankers):
    ranker = rankers["level"]
    _, inputs = inputs_of(ranker, HISTORIES)

    def found(**options):
        return items_of(ranker, generate(**inputs, model=ranker.model, **options), len(HISTORIES)).tolist()

    as_words = found(num_beams=5, num_return_sequences=3)
    assert found(generation_config=GenerationConfig(num_beams=5, num_return_sequences=3)) == as_words
    assert found(generation_config=GenerationConfig(num_beams=9), num_beams=5, num_return_sequences=3) == as_words
    assert found(num_return_sequences=30, generation_config=GenerationConfig()) == found(num_beams=30)
    assert np.shape(found(generation_config=GenerationConfig(num_beams=5))) == (len(HISTORIES), 5)
    for penalty in ({"repetition_penalty": 5.0}, {"suppress_tokens": [int(ranker.tokenizer.level_token_ids[0][2])]}):
        assert found(**penalty) == found(generation_config=GenerationConfig(**penalty)) != found()
    longer = found(num_beams=5, num_return_sequences=3, max_new_tokens=50, min_new_tokens=1, max_length=None)
    assert longer == as_words
    assert ranker.model.generation_config.repetition_penalty == 1.6, "the model is left as it was"


def test_sampling_is_over_the_catalogue_too(rankers):
    ranker = rankers["level"]
    _, inputs = inputs_of(ranker, HISTORIES)
    sampled = generate(**inputs, model=ranker.model, do_sample=True, num_return_sequences=60, top_k=0)
    assert len(np.unique(items_of(ranker, sampled, len(HISTORIES))[0])) > 5


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"max_new_tokens": LEVELS - 1}, "the index of an item has 3 tokens"),
        ({"min_new_tokens": LEVELS + 1}, "the index of an item has 3 tokens"),
        ({"generation_config": GenerationConfig(max_length=8)}, "the index of an item has 3 tokens"),
        ({"normalize": "items"}, "normalize must be one of"),
    ],
)
def test_what_cannot_be_done_is_refused(rankers, wrong, said):
    _, inputs = inputs_of(rankers["level"], HISTORIES)
    with pytest.raises(ValueError, match=said):
        generate(**inputs, model=rankers["level"].model, **wrong)


def test_prompts_that_are_padded_on_the_right_are_refused(rankers):
    _, inputs = inputs_of(rankers["level"], HISTORIES)
    with pytest.raises(ValueError, match="padded on the left"):
        generate(**{name: value.flip(1) for name, value in inputs.items()}, model=rankers["level"].model)


def test_logits_that_are_not_numbers_are_refused(make_recommender):
    ranker = AutoRecommender.from_pretrained(make_recommender(5))
    with torch.no_grad():
        ranker.model.get_output_embeddings().weight[3] = torch.nan
    with pytest.raises(ValueError, match="not numbers"):
        generate(inputs_of(ranker, [[1]])[1]["input_ids"], model=ranker.model)


def test_who_passes_what_may_come_decides_alone(rankers):
    _, inputs = inputs_of(rankers["level"], [[3]])
    model = rankers["level"].model
    found = generate(**inputs, model=model, prefix_allowed_tokens_fn=lambda *_: [9, 10], max_new_tokens=2, min_length=0)
    assert set(found[:, -2:].flatten().tolist()) <= {9, 10}


ASK = """
import json, sys
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig
model = AutoModelForCausalLM.from_pretrained(sys.argv[1], trust_remote_code=True)
tokenizer = AutoTokenizer.from_pretrained(sys.argv[1])
index = json.load(open(sys.argv[1] + "/item_index.json"))
texts = ["".join(f"<{chr(97 + level)}_{code}>" for level, code in enumerate(codes)) for codes in index["codes"]]
text_of = dict(zip(index["item_ids"], texts))
item_of = {tuple(tokenizer(text, add_special_tokens=False)["input_ids"]): item for item, text in text_of.items()}
prompts = [tokenizer.bos_token + "".join(map(text_of.get, history)) for history in json.loads(sys.argv[2])]
inputs = tokenizer(prompts, return_tensors="pt", padding=True, add_special_tokens=False)
inputs.pop("token_type_ids", None)
# The prompt by its position, as a keyword, and with a configuration.
found = [
    model.generate(inputs["input_ids"], attention_mask=inputs["attention_mask"]),
    model.generate(**inputs),
    model.generate(inputs["input_ids"], GenerationConfig(num_beams=12), attention_mask=inputs["attention_mask"]),
]
assert all(torch.equal(each, found[0]) for each in found)
assert "hf_llmrec" not in sys.modules
names = [item_of[tuple(tokens)] for tokens in found[0][:, -len(index["codebook_sizes"]):].tolist()]
print(json.dumps([names[row * 12 : (row + 1) * 12] for row in range(len(prompts))]))
"""


@pytest.mark.parametrize("normalize", NORMALIZATIONS)
def test_a_process_without_the_package_gets_the_pipelines_items(make_recommender, tmp_path, normalize):
    folder, repo = make_recommender(40, normalize), tmp_path / "repo"
    prepare(folder, "me/lcrec", Publication(), repo)
    histories = [["i3", "i4", "i5", "i30"], ["i9"]]
    words = [sys.executable, "-W", "error::FutureWarning", "-c", ASK, str(repo), json.dumps(histories)]
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    expected = pipeline("recommendation", model=str(repo))([{"history": each} for each in histories], top_k=12)
    assert json.loads(done.stdout.splitlines()[-1]) == [[each["item_id"] for each in row] for row in expected]
