"""The saved recommender folder: plain transformers in a fresh process, and the pipeline."""

import json
import logging
import shutil
import subprocess
import sys

import numpy as np
import pytest
from transformers import AutoTokenizer, pipeline

from hf_llmrec.data import recommender_folder
from hf_llmrec.data.recommender_folder import load_settings
from hf_llmrec.evaluation.evaluator import evaluate_ranker
from hf_llmrec.methods.auto import AutoRecommender
from hf_llmrec.methods.lcrec.prompt import LCRecPrompt
from hf_llmrec.methods.lcrec.recommender import LCRecRecommender
from hf_llmrec.methods.lcrec.tokenization_lcrec import LCRecTokenizer


@pytest.fixture
def folder(lcrec_folder):
    return lcrec_folder


def test_plain_transformers_loads_it_without_the_package(folder, tokenizer):
    code = f"""
import sys
from transformers import AutoModel, AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerFast
model = AutoModelForCausalLM.from_pretrained({str(folder)!r})
assert type(AutoModel.from_pretrained({str(folder)!r})).__name__ == "LlamaModel"
tokenizer = AutoTokenizer.from_pretrained({str(folder)!r})
assert "hf_llmrec" not in sys.modules
import json
print(json.dumps([tokenizer("<a_1><b_2><c_3>")["input_ids"], model.config.vocab_size, len(tokenizer)]))
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    ids, vocabulary, length = json.loads(run.stdout)
    codes = [int(level[code]) for level, code in zip(tokenizer.level_token_ids, (1, 2, 3), strict=True)]
    assert [i for i in ids if i not in tokenizer.all_special_ids] == codes and vocabulary == length


def test_auto_tokenizer_gives_the_index_back_once_the_package_is_imported(folder, tokenizer):
    loaded = AutoTokenizer.from_pretrained(folder)
    assert isinstance(loaded, LCRecTokenizer) and loaded.item_index.item_ids == tokenizer.item_index.item_ids


def test_ranker_round_trip(folder, model, tokenizer, dataset):
    split = dataset.split()
    fresh = LCRecRecommender(model, tokenizer, LCRecPrompt("packed", "Chosen: ", 6), num_beams=12)
    loaded = AutoRecommender.from_pretrained(folder)
    histories = [split.test.histories[i] for i in range(10)]
    rows, scores = fresh.rank(histories, 5)
    again, values = loaded.rank(histories, 5)
    assert np.array_equal(rows, again) and np.allclose(scores, values, atol=1e-6)
    assert AutoRecommender.from_pretrained(folder, num_beams=3).num_beams == 3


def test_rankings_do_not_depend_on_the_batch(folder, dataset):
    split = dataset.split()
    histories = [split.test.histories[i][: 1 + i % 7] for i in range(20)] + [np.array([], dtype=np.int32)]
    one, many = (
        AutoRecommender.from_pretrained(folder, batch_size=1),
        AutoRecommender.from_pretrained(folder, batch_size=64),
    )
    assert np.array_equal(one.rank(histories, 6)[0], many.rank(histories, 6)[0])


def test_metrics_map_a_catalogue_in_another_order(folder, dataset):
    split = dataset.split()
    ranker = AutoRecommender.from_pretrained(folder)
    plain = evaluate_ranker(ranker, split.test, dataset.item_ids)
    order = np.random.default_rng(0).permutation(dataset.num_items)
    moved = np.argsort(order)
    cases = type(split.test)(
        split.test.user_rows,
        moved[split.test.targets],
        [moved[split.test.histories[i]] for i in range(len(split.test))],
    )
    other = evaluate_ranker(ranker, cases, [dataset.item_ids[i] for i in order])
    assert other.metrics == plain.metrics and np.array_equal(other.ranks, plain.ranks)
    with pytest.raises(ValueError, match="does not match"):
        evaluate_ranker(ranker, split.test, [*dataset.item_ids[:-1], "another"])


def test_masked_items_are_not_recommended(folder, dataset):
    split = dataset.split()
    result = evaluate_ranker(AutoRecommender.from_pretrained(folder), split.test, dataset.item_ids, mask_seen=True)
    assert not any(set(row) & set(split.test.histories[i]) for i, row in enumerate(result.item_rows))


def test_pipeline_answers(folder, dataset, caplog):
    rec = pipeline("recommendation", model=str(folder))
    answer = rec({"history": ["i1", "i2", "i3"]}, top_k=4)
    assert len(answer) == 4 and set(answer[0]) == {"item_id", "title", "score"}
    assert [x["score"] for x in answer] == sorted((x["score"] for x in answer), reverse=True)
    titles = dict(zip(dataset.item_ids, dataset.titles, strict=True))
    assert all(x["title"] == titles[x["item_id"]] for x in answer)
    row = AutoRecommender.from_pretrained(folder).rank([np.array([1, 2, 3])], 4)[0][0]
    assert [x["item_id"] for x in answer] == [dataset.item_ids[i] for i in row]
    both = rec([{"history": ["i1", "i2", "i3"]}, {"history": ["i5"], "query": "a red piece"}], top_k=4)
    assert both[0] == answer and len(both[1]) == 4
    limited = rec({"history": ["i1"]}, top_k=5, exclude=["i4"], allowed=["i4", "i7", "i8"])
    assert sorted(x["item_id"] for x in limited) == ["i7", "i8"]
    requests = [
        {"history": ["i1"], "allowed": ["i7", "i8"]},
        {"history": ["i1"]},
        {"history": ["i1"], "exclude": ["i4"]},
    ]
    one_by_one = [rec(request, top_k=3, exclude=["i5"], allowed=["i4", "i5", "i7"]) for request in requests]
    assert rec(requests, top_k=3, exclude=["i5"], allowed=["i4", "i5", "i7"]) == one_by_one
    assert [sorted(x["item_id"] for x in found) for found in one_by_one] == [["i7"], ["i4", "i7"], ["i7"]]
    assert rec({"history": np.array(["i1", "i2", "i3"])}, top_k=np.int64(4)) == answer
    assert rec({"history": ["i1"]}, allowed=[]) == [] and rec([]) == []
    many = [{"history": [f"i{i}"], "query": "a red piece" if i % 3 == 0 else None} for i in range(10)]
    assert rec(many, batch_size=3) == rec(many) == pipeline("recommendation", model=str(folder), batch_size=2)(many)
    with caplog.at_level(logging.WARNING):
        rec({"history": ["i1", "nothing"]})
        rec({"history": []})
    assert "nothing" in caplog.text and "empty history" in caplog.text


@pytest.mark.parametrize(
    "request_, options, message",
    [
        ({"history": ["nothing"]}, {"strict": True}, "nothing"),
        ({"history": "i1"}, {}, "list of item ids"),
        ({"history": 7}, {}, "list of item ids"),
        ({"history": [["i1"]]}, {}, "item ids, which are strings"),
        ({"history": [1]}, {}, "item ids, which are strings"),
        ({"history": ["i1"], "query": 3}, {}, "must be text"),
        ({"history": ["i1"]}, {"batch_size": 0}, "batch_size"),
        ({"items": ["i1"]}, {}, "history"),
        ({"history": ["i1"], "wish": "x"}, {}, "wish"),
        ({"history": ["i1"], "allowed": ["nothing"]}, {}, "nothing"),
        ({"history": ["i1"], "exclude": "i1"}, {}, "list of item ids"),
        ({"history": ["i1"]}, {"top_k": 0}, "top_k"),
        ({"history": ["i1"]}, {"beams": 3}, "beams"),
        ({"history": ["i1"]}, {"exclude": ["nothing"]}, "nothing"),
    ],
)
def test_bad_requests(folder, request_, options, message):
    rec = pipeline("recommendation", model=str(folder))
    with pytest.raises(ValueError, match=message):
        rec(request_, **options)


def test_where_a_model_is_read_from_holds_for_everything_beside_it(folder, monkeypatch):
    """Revision, token and the like reach the weights, the tokenizer, the catalogue and the settings alike."""
    asked: dict[str, set] = {}
    cached_file = recommender_folder.cached_file

    def spy(path, file, **options):
        asked.setdefault(file, set()).add((options.get("revision"), options.get("token")))
        return cached_file(path, file, **options)

    monkeypatch.setattr(recommender_folder, "cached_file", spy)
    where = {"revision": "v2", "token": "secret"}
    pipeline("recommendation", model=str(folder), **where)
    assert asked == {name: {("v2", "secret")} for name in ("recommender.json", "item_catalog.json")}
    asked.clear()
    AutoRecommender.from_pretrained(folder, **where)
    assert asked == {name: {("v2", "secret")} for name in ("recommender.json", "item_catalog.json")}


def test_a_model_in_a_subfolder(folder):
    inner = folder / "inner"
    names = [file for file in folder.iterdir() if file.is_file()]
    inner.mkdir()
    for file in names:
        shutil.move(file, inner / file.name)
    with pytest.raises(FileNotFoundError, match="recommender.json"):
        AutoRecommender.from_pretrained(folder)
    assert AutoRecommender.from_pretrained(folder, subfolder="inner").item_ids


def test_a_folder_that_is_no_recommender(model, tmp_path):
    model.save_pretrained(tmp_path)
    with pytest.raises(FileNotFoundError, match="recommender.json"):
        load_settings(tmp_path)
