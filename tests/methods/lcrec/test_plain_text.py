"""Plain text as a task of the training, and its perplexity before and after."""

import math

import numpy as np
import pytest
import torch

from hf_llmrec.methods.auto import AutoRecommender
from hf_llmrec.methods.lcrec.plain_text import base_vocabulary, pack_texts, plain_text_perplexity, read_plain_text
from hf_llmrec.methods.lcrec.prompt import LCRecPrompt
from hf_llmrec.methods.lcrec.rows import LCRecDataset
from hf_llmrec.methods.lcrec.trainer_config import LCRecTrainingConfig

TEXTS = ["Piece number 1 of a ring", "Ring piece 2 blue, <a_1> and </s> are words here.", "of"]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("one\ntwo\n", ["one", "two"]),
        ("one\r\nstill one\r\n\r\n\r\ntwo\r\n", ["one still one", "two"]),
        ("\n\n  one  \n", ["one"]),
        ("a\n \nb\nc", ["a", "b c"]),
    ],
)
def test_paragraphs(tmp_path, content, expected):
    (tmp_path / "t.txt").write_bytes(content.encode())
    assert read_plain_text(tmp_path / "t.txt") == expected


@pytest.mark.parametrize(
    ("content", "message"), [(b"\n \n", r"t\.txt: holds no text"), (b"\xff\xfe", r"t\.txt: not UTF")]
)
def test_files_without_text(tmp_path, content, message):
    (tmp_path / "t.txt").write_bytes(content)
    with pytest.raises(ValueError, match=message):
        read_plain_text(tmp_path / "t.txt")


def test_packing_keeps_every_token():
    rows = pack_texts([[1, 2, 3], [4], [5, 6]], end=0, length=4)
    assert rows == [[1, 2, 3, 0], [4, 0, 5, 6]], "a rest of one token is left out"
    assert pack_texts([[1, 2, 3], [4]], end=0, length=5) == [[1, 2, 3, 0, 4]]
    assert pack_texts([[1], [2]], end=0, length=3) == [[1, 0, 2]]
    with pytest.raises(ValueError, match="at least 2"):
        pack_texts([[1]], end=0, length=1)


def test_rows_of_the_task(dataset, tokenizer):
    weights = {"seq": 1.0, "text": 2.0}
    split, prompt = dataset.split(), LCRecPrompt()
    rows = LCRecDataset(dataset, split, tokenizer, prompt, weights, max_length=32, plain_text=TEXTS * 5)
    packed = pack_texts(tokenizer.encode_texts(TEXTS * 5), tokenizer.end_token_id, 32)
    assert rows.rows_per_direction == {"seq_packed": dataset.num_users, "text": 2 * len(packed)}
    built = [rows.build(slot, 3) for slot in range(dataset.num_users, len(rows))]
    assert sorted(row["input_ids"] for row in built) == sorted(packed * 2)
    assert all(row["labels"] == row["input_ids"] for row in built)
    assert rows.lengths(3)[dataset.num_users :].tolist() == [len(row["input_ids"]) for row in built]
    codes = np.concatenate(tokenizer.level_token_ids)
    assert not np.isin(np.concatenate(packed), codes).any(), "index tokens are words in plain text"
    with pytest.raises(ValueError, match="needs plain_text"):
        LCRecDataset(dataset, split, tokenizer, prompt, weights)


def test_options(tmp_path):
    with pytest.raises(ValueError, match="needs plain_text"):
        LCRecTrainingConfig(str(tmp_path), task_weights={"seq": 1, "text": 1}, report_to="none")
    options = {"plain_text": "t.txt", "report_to": "none"}
    assert LCRecTrainingConfig(str(tmp_path), **options).all_task_weights()["text"] == 1
    chosen = LCRecTrainingConfig(str(tmp_path), task_weights={"seq": 1, "text": 0.5}, **options)
    assert chosen.all_task_weights() == {"seq": 1, "text": 0.5}


def test_perplexity_is_over_the_base_vocabulary(lcrec_folder):
    lcrec = AutoRecommender.from_pretrained(lcrec_folder)
    model, tokenizer = lcrec.model, lcrec.tokenizer
    report = plain_text_perplexity(model, tokenizer, TEXTS)
    vocabulary = base_vocabulary(tokenizer)
    assert not np.isin(np.concatenate(tokenizer.level_token_ids), vocabulary).any()
    encoded = tokenizer.encode_texts(TEXTS)
    total = 0.0
    for ids in encoded:
        with torch.no_grad():
            logits = model(input_ids=torch.tensor([ids])).logits[0]
        for place in range(1, len(ids)):
            total -= float(logits[place - 1, vocabulary].log_softmax(-1)[list(vocabulary).index(ids[place])])
    count = sum(len(ids) - 1 for ids in encoded)
    assert report.num_tokens == count and report.num_texts == 3
    assert report.perplexity == pytest.approx(math.exp(total / count), rel=1e-4)
    assert report.bits_per_byte == pytest.approx(total / math.log(2) / sum(map(len, TEXTS)), rel=1e-4)
    assert plain_text_perplexity(model, tokenizer, TEXTS, max_length=3).num_tokens == count, "parts overlap by a token"
    with torch.no_grad():  # likely index tokens change nothing
        model.get_output_embeddings().weight[np.concatenate(tokenizer.level_token_ids)] *= 50
    assert plain_text_perplexity(model, tokenizer, TEXTS).perplexity == pytest.approx(report.perplexity, rel=1e-5)
    with pytest.raises(ValueError, match="two tokens"):
        plain_text_perplexity(model, tokenizer, [""])
