"""`train lcrec` with bases of other kinds, and what it refuses before it starts."""

import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    BertConfig,
    BertLMHeadModel,
    GPT2Config,
    GPT2LMHeadModel,
    MistralConfig,
    MistralForCausalLM,
)

from hf_llmrec.cli import build_index, compare, evaluate, train_lcrec
from hf_llmrec.data.item_index import ItemIndex
from hf_llmrec.training.corpus_tokenizer import train_corpus_tokenizer
from hf_llmrec.training.load_backbone import check_backbone

QUICK = ["--max_steps", "6", "--learning_rate", "0.01", "--tokens_per_batch", "600", "--max_length", "96"]
QUICK += ["--eval_users", "10", "--report_to", "none", "--use_cpu", "True", "--disable_tqdm", "True"]
SMALL = ["--backbone_overrides", '{"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2}']
SEQ = ["--task_weights", '{"seq": 1.0}']


@pytest.fixture(scope="module")
def folders(dataset, tmp_path_factory):
    root = tmp_path_factory.mktemp("bases")
    dataset.save(root / "data")
    build_index.main(["--dataset", str(root / "data"), "--output_dir", str(root / "index")])
    base = train_corpus_tokenizer([*dataset.titles, *dataset.descriptions], vocab_size=400)
    torch.manual_seed(0)
    gpt2 = GPT2LMHeadModel(GPT2Config(vocab_size=len(base), n_positions=128, n_embd=32, n_layer=2, n_head=4))
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
    for name, model in (("gpt2", gpt2), ("bert", BertLMHeadModel(BertConfig(vocab_size=len(base), **sizes)))):
        model.save_pretrained(root / name)
        base.save_pretrained(root / name)
    return root


def train(folders, output, *options, index="index"):
    places = ["--dataset", str(folders / "data"), "--index", str(folders / index), "--output_dir", str(output)]
    train_lcrec.main([*places, *QUICK, *options])


@pytest.mark.parametrize("rows", ["rows", "all"])
def test_lora_finds_the_matrices_of_other_architectures(folders, tmp_path, rows):
    before = AutoModelForCausalLM.from_pretrained(folders / "gpt2").get_input_embeddings().weight
    options = ["--model_name_or_path", str(folders / "gpt2"), "--use_peft", "True", "--train_index_rows", rows]
    train(folders, tmp_path, *options, "--task_weights", '{"seq": 1.0, "mut": 0.5}')
    after = AutoModelForCausalLM.from_pretrained(tmp_path).get_input_embeddings().weight
    text_moved = (after[: len(before)] != before).any(dim=1)
    assert len(after) > len(before) and bool(text_moved.any()) == (rows == "all")
    settings = json.loads((tmp_path / "recommender.json").read_text())
    assert settings["prompt"]["max_length"] == 96 and settings["data"]["protocol"] == "leave_one_out"
    names = {path.suffix for path in tmp_path.iterdir() if path.is_file()}
    assert names <= {".json", ".safetensors"} and not (tmp_path / "README.md").exists()


def test_a_model_that_sees_the_future_is_refused(folders, tmp_path):
    with pytest.raises(ValueError, match="no causal language model"):
        train(folders, tmp_path, "--model_name_or_path", str(folders / "bert"), *SEQ)


@pytest.fixture
def overflowing(folders, tmp_path):
    """A causal model whose activations are too large for float16 and fine in bfloat16."""
    model = AutoModelForCausalLM.from_pretrained(folders / "gpt2")
    with torch.no_grad():
        model.transformer.h[0].mlp.c_proj.weight.mul_(1e9)
    model.save_pretrained(tmp_path / "large")
    return model, tmp_path / "large"


def test_overflow_in_float16_is_called_that(folders, overflowing, tmp_path):
    tokenizer = AutoTokenizer.from_pretrained(folders / "gpt2")
    tokenizer.save_pretrained(overflowing[1])
    options = ["--model_name_or_path", str(overflowing[1]), "--dtype", "float16", *SEQ]
    with pytest.raises(ValueError, match=r"large .* in torch.float16: .*--dtype bfloat16 or float32"):
        train(folders, tmp_path / "out", *options)
    assert not (tmp_path / "out").exists()


def test_what_else_is_not_finite_is_no_matter_of_float16_or_of_causality(overflowing):
    model, _ = overflowing
    for dtype in (torch.float32, torch.bfloat16):
        check_backbone(model.to(dtype), "large", 64)
    model.float().transformer.ln_f.weight.data.fill_(torch.nan)
    with pytest.raises(ValueError, match="in torch.float32: its weights are damaged"):
        check_backbone(model, "large", 64)


@pytest.mark.parametrize("architecture", ["llama", "qwen3"])
def test_a_folder_without_a_tokenizer_is_refused(folders, tmp_path, architecture):
    """transformers asks for sentencepiece, or makes a tokenizer of no words."""
    AutoConfig.for_model(architecture, num_hidden_layers=1).save_pretrained(tmp_path / "base")
    options = ["--model_name_or_path", str(tmp_path / "base"), *SEQ]
    with pytest.raises(ValueError, match=r"\S*base: the folder holds no tokenizer .*but config.json; save"):
        train(folders, tmp_path / "out", *options)
    (tmp_path / "base" / "config.json").rename(tmp_path / "base" / "model-q4_0.gguf")
    with pytest.raises(ValueError, match=r"but model-q4_0.gguf; GGUF files are not trained"):
        train(folders, tmp_path / "out", *options)


def test_ranking_without_the_tree_is_reported_at_the_end(folders, tmp_path, caplog, capsys):
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2}
    base = AutoTokenizer.from_pretrained(folders / "gpt2")
    config = MistralConfig(vocab_size=len(base), num_key_value_heads=2, sliding_window=8, **sizes)
    MistralForCausalLM(config).save_pretrained(tmp_path / "window")
    base.save_pretrained(tmp_path / "window")
    reason = "its attention window (8) is shorter"
    data = ["--dataset", str(folders / "data"), "--users", "4"]
    for name, is_slow in (("window", True), ("gpt2", False)):
        source, output = (tmp_path if is_slow else folders) / name, tmp_path / "out" / name
        caplog.clear()
        with caplog.at_level("INFO", logger="hf_llmrec"):
            train(folders, output, "--model_name_or_path", str(source), *SEQ)
        said = [record.getMessage() for record in caplog.records]
        after = said[next(place for place, line in enumerate(said) if line.startswith("saved ")) + 1 :]
        assert any("without the tree" in line and reason in line for line in after) == is_slow
        capsys.readouterr()
        evaluate.main(["--model", str(output), *data, "--output", str(output / "metrics.json")])
        assert ("without the tree" in capsys.readouterr().out) == is_slow
        for file in ("training_report.json", "metrics.json"):
            told = json.loads((output / file).read_text())["decoding_fallback"]
            assert reason in told if is_slow else told is None
    caplog.clear()
    models = [str(tmp_path / "out" / name) for name in ("gpt2", "window")]
    compare.main(["--models", *models, *data, "--bootstrap_samples", "100", "--output", str(tmp_path / "both")])
    (line,) = [message for message in caplog.messages if "without the tree" in message]
    assert line.startswith("window: ") and reason in line
    found = json.loads((tmp_path / "both" / "comparison.json").read_text())["models"]
    assert reason in found["window"]["decoding_fallback"] and "decoding_fallback" not in found["gpt2"]


def test_rows_longer_than_the_positions_are_refused(folders, tmp_path):
    options = ["--model_name_or_path", str(folders / "gpt2"), *SEQ, "--max_length", "129"]
    with pytest.raises(ValueError, match="--max_length 129 is longer than the 128 positions"):
        train(folders, tmp_path, *options)


def test_an_index_with_shared_codes_is_refused(folders, tmp_path):
    index = ItemIndex.from_pretrained(folders / "index")
    codes = index.codes.copy()
    codes[1] = codes[0]
    ItemIndex(index.item_ids, codes, index.codebook_sizes, index.codebooks).save_pretrained(folders / "colliding")
    with pytest.raises(ValueError, match="2 items share their codes"):
        train(folders, tmp_path, *SMALL, *SEQ, index="colliding")


@pytest.mark.parametrize(
    "option, value", [("normalize", "foo"), ("num_beams", "3"), ("tokens_per_batch", "-5"), ("packing", "True")]
)
def test_wrong_options_are_refused_before_training(folders, tmp_path, option, value):
    with pytest.raises(ValueError, match=option):
        train(folders, tmp_path, *SMALL, *SEQ, f"--{option}", value)
    assert not list(tmp_path.iterdir())


def test_defaults_learn_the_data_without_any_option(folders, tmp_path):
    """No rate, epochs or batch size given: on the ring the next item follows from the last one."""
    places = ["--dataset", str(folders / "data"), "--index", str(folders / "index"), "--output_dir", str(tmp_path)]
    quiet = ["--report_to", "none", "--use_cpu", "True", "--disable_tqdm", "True", "--max_length", "96"]
    train_lcrec.main([*places, *SMALL, *SEQ, *quiet])
    report = json.loads((tmp_path / "training_report.json").read_text())
    assert report["validation"]["hit_rate@1"] > 0.8
    assert report["config"]["learning_rate"] == 2e-3


@pytest.fixture(scope="module")
def trained(folders, tmp_path_factory):
    output = tmp_path_factory.mktemp("trained")
    train(folders, output, *SMALL, *SEQ, "--seq_form", "prefix")
    return output


def metrics_of(folders, trained, tmp_path, *options):
    places = ["--model", str(trained), "--dataset", str(folders / "data"), "--output", str(tmp_path / "m.json")]
    evaluate.main([*places, *options])
    return json.loads((tmp_path / "m.json").read_text())


def test_a_model_is_not_scored_on_what_it_was_trained_on(folders, trained, tmp_path):
    # A k-core that removes nothing leaves the same data.
    assert metrics_of(folders, trained, tmp_path, "--k_core", "3")["num_users"] == 60
    other = tmp_path / "other"
    shutil.copytree(folders / "data", other)
    log = pq.read_table(other / "interactions.parquet")
    pq.write_table(log.slice(0, len(log) - 1), other / "interactions.parquet")
    with pytest.raises(ValueError, match="other interactions.*--other_data"):
        metrics_of(folders, trained, tmp_path, "--dataset", str(other))
    found = metrics_of(folders, trained, tmp_path, "--dataset", str(other), "--other_data", "True")
    assert found["num_users"] == 60


def test_all_templates_are_averaged(folders, trained, tmp_path):
    from hf_llmrec.data.interactions import RecDataset
    from hf_llmrec.evaluation.evaluator import evaluate_ranker
    from hf_llmrec.methods.auto import AutoRecommender

    found = metrics_of(folders, trained, tmp_path, "--templates", "all")
    dataset, ranker = RecDataset.load(folders / "data"), AutoRecommender.from_pretrained(trained)
    each = []
    for template in range(ranker.prompt.num_templates):
        ranker.template = template
        each.append(evaluate_ranker(ranker, dataset.split().test, dataset.item_ids).metrics["ndcg@10"])
    assert len(each) >= 2 and found["ndcg@10"] == pytest.approx(np.mean(each))
    assert found["templates"] == "all" and found["num_users"] == 60


@pytest.mark.parametrize("option, value", [("batch_size", "-1"), ("users", "-5"), ("num_beams", "0"), ("split", "x")])
def test_evaluate_names_the_option_that_is_wrong(folders, trained, tmp_path, option, value):
    with pytest.raises(ValueError, match=f"--{option}"):
        metrics_of(folders, trained, tmp_path, f"--{option}", value)


def test_pushing_uploads_the_whole_folder_once(folders, tmp_path, monkeypatch):
    """Against a stand-in for the Hub's client: which files would go up, under which name."""
    uploads = []

    class Client:
        def __init__(self, token=None):
            assert token == "secret"

        def create_repo(self, name, repo_type, private=None, exist_ok=False, space_sdk=None):
            assert (repo_type, space_sdk) == ("model", None)
            return type("Repo", (), {"repo_id": name})()

        def whoami(self):
            return {"name": "me"}

        def create_commit(self, repo_id, operations, **kwargs):
            (operation,) = operations
            assert operation.path_in_repo.endswith(".whl")
            return type("Commit", (), {"oid": "0" * 40})()

        def repo_info(self, repo_id, repo_type):
            return type("Repo", (), {"private": False})()

        def upload_folder(self, *, folder_path, repo_id, allow_patterns, **kwargs):
            from huggingface_hub.utils import filter_repo_objects

            files = [str(p.relative_to(folder_path)) for p in Path(folder_path).rglob("*") if p.is_file()]
            uploads.append((repo_id, sorted(filter_repo_objects(files, allow_patterns=allow_patterns))))
            return "https://hub/commit"

    monkeypatch.setattr("hf_llmrec.hub.export.HfApi", Client)
    push = ["--push_to_hub", "True", "--hub_model_id", "lcrec-ring", "--hub_token", "secret", "--save_steps", "3"]
    train(folders, tmp_path, *SMALL, *SEQ, *push)
    ((repo, files),) = uploads
    assert repo == "me/lcrec-ring"
    assert {"model.safetensors", "item_catalog.json", "recommender.json", "tokenizer.json"} <= set(files)
    others = {name for name in files if not name.endswith((".json", ".safetensors"))}
    assert others == {
        *("README.md", "training_config.yaml", "handler.py", "requirements.txt", "custom_generate/generate.py")
    }
    assert (tmp_path / "checkpoint-3").is_dir() and not any("checkpoint" in name for name in files)


def test_kernels_for_a_gpu_are_refused_without_one(folders, tmp_path):
    with pytest.raises(ValueError, match="--liger_kernels needs a GPU"):
        train(folders, tmp_path, *SMALL, *SEQ, "--liger_kernels", "True")


def test_what_is_saved_has_the_precision_that_was_asked_for(folders, tmp_path):
    train(folders, tmp_path, *SMALL, *SEQ, "--save_dtype", "bfloat16")
    assert AutoModelForCausalLM.from_pretrained(tmp_path).dtype == torch.bfloat16
    with pytest.raises(ValueError, match="--save_dtype must be one of"):
        train(folders, tmp_path, *SMALL, *SEQ, "--save_dtype", "int8")


@pytest.mark.parametrize("lora", [[], ["--use_peft", "True"]], ids=["full", "lora"])
def test_a_base_whose_generation_options_contradict_each_other_is_trained_and_saved(folders, tmp_path, caplog, lora):
    """Sampling options beside `do_sample: false`, as many chat models are published with."""
    base = tmp_path / "base"
    shutil.copytree(folders / "gpt2", base)
    options = {"do_sample": False, "temperature": 0.6, "top_p": 0.9, "eos_token_id": 2}
    (base / "generation_config.json").write_text(json.dumps(options))
    places = ["--model_name_or_path", str(base), "--save_strategy", "steps", "--save_steps", "3"]
    train(folders, tmp_path / "out", *places, *SEQ, *lora)
    assert "cannot be saved as it is" in caplog.text and "temperature (was 0.6)" in caplog.text
    saved = AutoModelForCausalLM.from_pretrained(tmp_path / "out").generation_config
    assert not saved.do_sample and saved.temperature in (None, 1.0)


def index_rows(folder, index):
    """Input rows of the index tokens of items, by token."""
    tokens = sorted({token for row in range(index.num_items) for token in index.item_tokens(row)})
    weight = AutoModelForCausalLM.from_pretrained(folder).get_input_embeddings().weight.detach()
    ids = AutoTokenizer.from_pretrained(folder).convert_tokens_to_ids(tokens)
    return dict(zip(tokens, weight[ids], strict=True))


STILL = ["--learning_rate", "1e-12", "--max_steps", "1", "--save_strategy", "no"]


def test_going_on_from_a_saved_model_keeps_its_index_rows(folders, trained, tmp_path):
    index = ItemIndex.from_pretrained(folders / "index")
    train(folders, tmp_path, "--model_name_or_path", str(trained), *SEQ, *STILL)
    before, after = index_rows(trained, index), index_rows(tmp_path, index)
    assert all(torch.allclose(before[token], after[token], atol=1e-6) for token in before)


def test_its_own_index_needs_no_codewords(folders, trained, tmp_path):
    train(folders, tmp_path, "--model_name_or_path", str(trained), *SEQ, *STILL, index=trained)
    index = ItemIndex.from_pretrained(trained)
    before, after = index_rows(trained, index), index_rows(tmp_path, index)
    assert index.codebooks is None and all(torch.allclose(before[token], after[token], atol=1e-6) for token in before)


def test_another_index_under_the_same_tokens_is_refused_or_drawn_anew(folders, trained, tmp_path, caplog):
    index = ItemIndex.from_pretrained(folders / "index")
    other = ItemIndex(index.item_ids, index.codes[::-1], index.codebook_sizes, index.codebooks)
    other.save_pretrained(tmp_path / "other")
    options = ["--model_name_or_path", str(trained), *SEQ, *STILL]
    with pytest.raises(ValueError, match=r"24 of 24 items have other codes, such as 'i0'.*--replace_index True"):
        train(folders, tmp_path / "out", *options, index=tmp_path / "other")
    assert not (tmp_path / "out").exists()
    train(folders, tmp_path / "out", *options, "--replace_index", "True", index=tmp_path / "other")
    assert "all index rows are drawn anew" in caplog.text
    before, after = index_rows(trained, index), index_rows(tmp_path / "out", index)
    assert not any(torch.allclose(before[token], after[token], atol=1e-3) for token in before)


def test_a_grown_index_draws_only_the_tokens_that_are_new(folders, trained, tmp_path):
    """As when items were added: the others keep their codes, a level has one code more."""
    index = ItemIndex.from_pretrained(folders / "index")
    sizes = list(index.codebook_sizes)
    books = [np.concatenate([book, book[:1] + 1]) for book in index.codebooks]
    ItemIndex(index.item_ids, index.codes, [size + 1 for size in sizes], books).save_pretrained(tmp_path / "grown")
    train(folders, tmp_path / "out", "--model_name_or_path", str(trained), *SEQ, *STILL, index=tmp_path / "grown")
    before, after = index_rows(trained, index), index_rows(tmp_path / "out", index)
    assert all(torch.allclose(before[token], after[token], atol=1e-6) for token in before)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "out")
    new = tokenizer.convert_tokens_to_ids([f"<{level}_{size}>" for level, size in zip("abcdefgh", sizes, strict=False)])
    assert min(new) > max(AutoTokenizer.from_pretrained(trained).get_vocab().values())
    rows = AutoModelForCausalLM.from_pretrained(tmp_path / "out").get_input_embeddings().weight[new]
    assert rows.norm(dim=1).min() > 0.1 * torch.stack(list(after.values())).norm(dim=1).mean()


def test_rows_of_index_tokens_without_an_index_are_kept_with_a_warning(folders, trained, tmp_path, caplog):
    """Public checkpoints have the tokens, and no item_index.json."""
    public = tmp_path / "public"
    shutil.copytree(trained, public)
    (public / "item_index.json").unlink()
    config = json.loads((public / "tokenizer_config.json").read_text())
    (public / "tokenizer_config.json").write_text(json.dumps({**config, "tokenizer_class": "PreTrainedTokenizerFast"}))
    train(folders, tmp_path / "out", "--model_name_or_path", str(public), *SEQ, *STILL)
    index = ItemIndex.from_pretrained(folders / "index")
    before, after = index_rows(trained, index), index_rows(tmp_path / "out", index)
    assert all(torch.allclose(before[token], after[token], atol=1e-6) for token in before)
    assert "has rows for" in caplog.text and "no item_index.json" in caplog.text
