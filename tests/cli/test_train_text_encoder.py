"""``train text_encoder``: folder, evaluation, pipeline, and exported vectors that other commands take."""

import json

import numpy as np
import pytest
from safetensors.numpy import load_file
from transformers import pipeline

from hf_llmrec.cli import build_index, evaluate, train_text_encoder
from hf_llmrec.data.embedding_files import load_item_embeddings, read_data_fingerprint, save_embeddings
from hf_llmrec.data.item_index import ItemIndex
from hf_llmrec.methods.auto import AutoRecommender

SHORT = ["--use_cpu", "True", "--disable_tqdm", "True", "--learning_rate", "0.01", "--tokens_per_batch", "100"]
SHORT += ["--max_steps", "100", "--model_options", '{"hidden_size": 16, "num_negatives": 16}']


@pytest.fixture(scope="module")
def folder(dataset, tmp_path_factory):
    root = tmp_path_factory.mktemp("text_encoder")
    dataset.save(root / "data")
    vectors = np.random.default_rng(0).standard_normal((dataset.num_items, 20)).astype(np.float32)
    save_embeddings(root / "texts.safetensors", dataset, items=vectors)
    places = ["--dataset", str(root / "data"), "--output_dir", str(root / "model")]
    files = ["--text_embeddings", str(root / "texts.safetensors"), "--export_embeddings", str(root / "out.safetensors")]
    train_text_encoder.main([*places, *files, *SHORT])
    return root


def test_folder_evaluation_and_pipeline(folder, dataset):
    output, result = folder / "metrics.json", folder / "result.json"
    options = ["--model", str(folder / "model"), "--dataset", str(folder / "data")]
    evaluate.main([*options, "--output", str(output), "--result", str(result)])
    assert json.loads(output.read_text())["ndcg@10"] > 0.8, "a ring can be learned from any vectors that differ"
    config = json.loads(result.read_text())["config"]
    assert config["model"] == "text_encoder" and config["text_embeddings"] == "texts.safetensors"
    answer = pipeline("recommendation", model=str(folder / "model"))({"history": ["i3", "i4", "i5"]}, top_k=3)
    rows, _ = AutoRecommender.from_pretrained(folder / "model").rank([np.array([3, 4, 5])], 3)
    assert [each["item_id"] for each in answer] == [dataset.item_ids[row] for row in rows[0]]


def test_exported_vectors_carry_the_interactions_and_feed_the_index(folder, dataset, tmp_path):
    file = folder / "out.safetensors"
    assert read_data_fingerprint(file) == dataset.data_fingerprint(dataset.split())
    vectors = load_file(file)
    recommender = AutoRecommender.from_pretrained(folder / "model")
    np.testing.assert_allclose(vectors["item_embeddings"], recommender.item_vectors(), atol=1e-6)
    histories = [dataset.split().train_sequence(user) for user in range(dataset.num_users)]
    np.testing.assert_allclose(vectors["user_embeddings"], recommender.user_vectors(histories), atol=1e-5)
    for option in ("--text_embeddings", "--collaborative"):
        places = ["--dataset", str(folder / "data"), "--output_dir", str(tmp_path / option), option, str(file)]
        build_index.main([*places, "--levels", "3", "--codebook_size", "8"])
        assert ItemIndex.from_pretrained(tmp_path / option).data_fingerprint.split is not None
    with pytest.raises(ValueError, match="another split"):
        load_item_embeddings(file, dataset, dataset.split(cold_items=0.2))


@pytest.mark.parametrize(
    "options, message",
    [
        (["--text_encoder", "a/b", "--text_embeddings", "F"], "give --text_embeddings or --text_encoder, not both"),
        (["--finetune", "lora"], "--finetune lora needs --text_encoder"),
        (["--finetune", "full", "--text_embeddings", "F"], "--finetune full needs --text_encoder"),
        (["--finetune", "all"], "finetune must be one of"),
        (["--model_options", '{"width": 3}'], r"--model_options: TextEncoderConfig has no \['width'\]"),
        (["--model_options", '{"hidden_size": 15}'], "--model_options: .*multiple of num_attention_heads"),
        (["--max_tokens", "0"], "--max_tokens must be at least 1"),
        (["--item_dropout", "1"], r"item_dropout must lie in \[0, 1\)"),
    ],
)
def test_bad_options(folder, tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        train_text_encoder.main([*options, "--dataset", str(folder / "data"), "--output_dir", str(tmp_path)])
