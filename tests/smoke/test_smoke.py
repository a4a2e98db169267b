"""Everything that users do, once, in under three minutes: `make smoke-newest` runs it on the newest releases.

It needs the base install and pytest alone.
"""

import json
import logging
import math
import subprocess
import sys

import pytest
import torch
from transformers import AutoModel, AutoModelForCausalLM, AutoTokenizer, LlamaConfig, Qwen3Config, pipeline

from hf_llmrec.cli import build_index, evaluate, train_baseline, train_galrec, train_lcrec
from hf_llmrec.evaluation.rankings import load_metric
from hf_llmrec.generation import ItemTrie, recommend_items
from hf_llmrec.methods.auto import AutoRecommender
from hf_llmrec.methods.lcrec.tokenization_lcrec import LCRecTokenizer

SIZES = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4}
SIZES |= {"num_key_value_heads": 2, "head_dim": 8, "max_position_embeddings": 64}
CONFIGS = {"llama": LlamaConfig, "qwen3": Qwen3Config}
FALLBACK = "without the tree"


def test_import_and_command():
    code = "import hf_llmrec; from transformers import AutoConfig; print(AutoConfig.for_model('galrec').model_type)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.split() == ["galrec"], done.stderr
    done = subprocess.run([sys.executable, "-m", "hf_llmrec.cli", "--help"], capture_output=True, text=True)
    assert done.returncode == 0 and "train lcrec" in done.stdout, done.stderr


def test_tokenizer(tokenizer, tmp_path):
    """An index is one token per level, also for the stock class; text never becomes one."""
    tokenizer.save_pretrained(tmp_path)
    loaded = AutoTokenizer.from_pretrained(tmp_path)
    assert isinstance(loaded, LCRecTokenizer)
    assert loaded.item_index.item_ids == tokenizer.item_index.item_ids
    code = f"""
from transformers import AutoTokenizer
print(AutoTokenizer.from_pretrained({str(tmp_path)!r})("<a_1><b_2><c_3>", add_special_tokens=False)["input_ids"])
"""
    stock = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    expected = [int(ids[place]) for ids, place in zip(tokenizer.level_token_ids, (1, 2, 3), strict=True)]
    assert json.loads(stock.stdout) == expected, stock.stderr


@pytest.mark.parametrize("architecture", list(CONFIGS))
def test_tree_decoding_is_generate(architecture, tokenizer, index, caplog):
    """The items, order and scores of `generate`, of a stock model, and without falling back to it."""
    torch.manual_seed(0)
    # Far from uniform, so that no two items tie within rounding.
    config = CONFIGS[architecture](vocab_size=len(tokenizer), initializer_range=0.4, eos_token_id=None, **SIZES)
    model = AutoModelForCausalLM.from_config(config).double().eval()
    input_ids = torch.randint(5, len(tokenizer), (3, 9))
    mask = torch.ones_like(input_ids)
    mask[1, :4] = 0
    levels = [torch.as_tensor(ids) for ids in tokenizer.level_token_ids]
    with caplog.at_level(logging.WARNING, logger="hf_llmrec"):
        trie = ItemTrie.from_codes(index.codes)
        rows, scores = recommend_items(model, input_ids, mask, trie, levels, num_beams=6, k=6, normalize="vocab")
    assert FALLBACK not in caplog.text
    items = [tuple(int(ids[code]) for ids, code in zip(levels, codes, strict=True)) for codes in index.codes.tolist()]

    def allowed(_, sequence):
        prefix = tuple(sequence[input_ids.shape[1] :].tolist())
        return sorted({item[len(prefix)] for item in items if item[: len(prefix)] == prefix})

    found = model.generate(
        input_ids=input_ids,
        attention_mask=mask,
        num_beams=6,
        num_return_sequences=6,
        max_new_tokens=len(levels),
        do_sample=False,
        length_penalty=0.0,
        pad_token_id=0,
        prefix_allowed_tokens_fn=allowed,
        return_dict_in_generate=True,
        output_scores=True,
    )
    generated = found.sequences[:, input_ids.shape[1] :].tolist()
    assert rows.flatten().tolist() == [items.index(tuple(item)) for item in generated]
    torch.testing.assert_close(scores.flatten(), found.sequences_scores.double(), rtol=2e-5, atol=2e-5)


QUICK = ["--max_steps", "1", "--logging_steps", "1", "--report_to", "none", "--use_cpu", "True"]
TINY = ["--eval_users", "10", "--backbone_overrides", json.dumps({"hidden_size": 32, "num_hidden_layers": 2})]


@pytest.fixture(scope="module")
def shop(dataset, tmp_path_factory):
    root = tmp_path_factory.mktemp("smoke")
    dataset.save(root / "data")
    build_index.main(["--dataset", str(root / "data"), "--output_dir", str(root / "index")])
    return root


@pytest.mark.parametrize("method", ["lcrec", "galrec", "sasrec"])
def test_one_step_of_training_to_the_pipeline(method, shop, dataset, tmp_path, caplog):
    main, own = {
        "lcrec": (train_lcrec.main, ["--index", str(shop / "index"), "--max_length", "96", *TINY]),
        "galrec": (train_galrec.main, ["--external", "text", "--per_device_train_batch_size", "15", *TINY]),
        "sasrec": (train_baseline.main, ["--model", "sasrec"]),
    }[method]
    folder, data = tmp_path / "model", ["--dataset", str(shop / "data")]
    with caplog.at_level(logging.WARNING, logger="hf_llmrec"):
        main([*data, "--output_dir", str(folder), *own, *QUICK])
        evaluate.main([*data, "--model", str(folder), "--output", str(tmp_path / "metrics.json")])
        answers = pipeline("recommendation", model=str(folder))({"history": ["i3", "i4"]}, top_k=5)
    assert FALLBACK not in caplog.text
    report = json.loads((folder / "training_report.json").read_text())
    (loss,) = [entry["loss"] for entry in report["log"] if "loss" in entry]
    assert math.isfinite(loss) and loss > 0
    assert json.loads((tmp_path / "metrics.json").read_text())["num_users"] == 60
    # The five best, best first, as the ranker of the folder has them.
    rows, scores = AutoRecommender.from_pretrained(folder).rank(
        [[dataset.item_ids.index(item) for item in ("i3", "i4")]], 5
    )
    assert [answer["item_id"] for answer in answers] == [dataset.item_ids[row] for row in rows[0]]
    assert len({answer["item_id"] for answer in answers}) == 5
    assert [answer["score"] for answer in answers] == pytest.approx(sorted(scores[0].tolist(), reverse=True), abs=1e-5)
    # Saved again by transformers, every weight comes back.
    kind = AutoModel if method == "sasrec" else AutoModelForCausalLM
    model = kind.from_pretrained(folder)
    model.save_pretrained(tmp_path / "again")
    again = kind.from_pretrained(tmp_path / "again").state_dict()
    assert again.keys() == model.state_dict().keys()
    assert all(torch.equal(value, again[name]) for name, value in model.state_dict().items())


def test_metrics():
    """`evaluate` reads the metrics' modules as files."""
    assert load_metric("ndcg").compute(predictions=[["b", "a"]], references=["b"], k=2) == {"ndcg@2": 1.0}
