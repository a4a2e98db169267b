"""A fusion in which the text encoder recommends items that the other parts have never seen."""

import json

import numpy as np
import pytest
import torch

from hf_llmrec.cli import main
from hf_llmrec.cli.cold_parts import open_cold_parts
from hf_llmrec.cli.fusion_options import FusionArguments
from hf_llmrec.evaluation.cold_metrics import cold_and_warm
from hf_llmrec.methods.auto import AutoRecommender
from hf_llmrec.methods.fusion.cold_items import ColdWeights, fit_cold_weights, items_without_interactions
from hf_llmrec.methods.fusion.fit import FusionCases, FusionWeights, fit_weights
from hf_llmrec.methods.fusion.recommender import FusionRecommender
from hf_llmrec.methods.item_knn.recommender import ItemKNNRecommender

from .test_trainer import trainer_for

SHARE = 0.15


@pytest.fixture(scope="module")
def splits(kinds):
    """What the parts are trained on, and what the cold part is trained on."""
    return kinds.split(cold_items=SHARE, cold_seed=1), kinds.split(cold_items=SHARE, cold_seed=[1, 2])


@pytest.fixture(scope="module")
def trained(kinds, kind_vectors, splits, tmp_path_factory):
    """Nearest neighbours and a text encoder, and the text encoder that has seen fewer items."""
    encoders = []
    for number, split in enumerate(splits):
        trainer = trainer_for(kinds, kind_vectors, split, tmp_path_factory.mktemp(f"encoder{number}"))
        trainer.train()
        encoders.append(trainer.recommender)
    knn = ItemKNNRecommender.fit(kinds, splits[0])
    return {"knn": knn, "text": encoders[0]}, {"text": encoders[1]}


def test_cold_items_are_recommended_and_others_hardly_suffer(kinds, splits, trained):
    (split, cold_split), (parts, cold_parts) = splits, trained
    is_cold = split.is_cold[split.test.targets]
    assert is_cold.sum() >= 15
    plain = FusionRecommender.fit(parts, kinds, split, num_candidates=20)
    fusion = FusionRecommender.fit(parts, kinds, split, num_candidates=20, cold_parts=cold_parts, cold_split=cold_split)
    assert (fusion.is_cold == split.is_cold).all()
    assert fusion.model.cold_weights.tolist()[0] == 0 and fusion.model.cold_weights.tolist()[1] > 0
    before, after = (cold_and_warm(each.evaluate(split.test), is_cold) for each in (plain, fusion))
    knn = cold_and_warm(parts["knn"].evaluate(split.test), is_cold)
    # What nearest neighbours have never seen stays at the end of their rankings.
    assert knn["cold"]["hit_rate@10"] < 0.1
    assert after["cold"]["hit_rate@10"] > max(1.5 * before["cold"]["hit_rate@10"], 2 * 10 / kinds.num_items)
    assert after["warm"]["ndcg@10"] > 0.85 * before["warm"]["ndcg@10"]


def test_the_fit_ranks_as_the_fusion_does(kinds, splits, trained):
    (split, _), (parts, _) = splits, trained
    cases = FusionCases(list(parts.values()), split.validation, 20, split.is_cold)
    known = fit_weights(cases)
    cold = ColdWeights(split.is_cold, np.array([0.0, 1.0]), -100.0)  # far below all others
    fusion = FusionRecommender.of_weights(parts, known, cold, num_candidates=20)
    assert fusion.evaluate(split.validation)["ndcg@10"] == pytest.approx(known.ndcg, abs=1e-9)


def test_scores_of_cold_items_are_those_of_the_parts_that_know_them(kinds, splits, trained):
    """Recomputed with every item as a candidate: means and deviations are those over the items that are not cold."""
    (split, _), (parts, _) = splits, trained
    known = FusionWeights.constant([1.0, 0.5])
    cold = ColdWeights(split.is_cold, np.array([0.0, 2.0]), -0.75)
    fusion = FusionRecommender.of_weights(parts, known, cold, num_candidates=kinds.num_items)
    histories = [split.test.histories[number] for number in range(12)]
    every = [np.arange(kinds.num_items)] * len(histories)
    scores = [np.stack(part.score(histories, every)) for part in parts.values()]
    seen = ~split.is_cold
    scores = [(each - each[:, seen].mean(1, keepdims=True)) / each[:, seen].std(1, keepdims=True) for each in scores]
    expected = np.where(seen, scores[0] + 0.5 * scores[1], 2.0 * scores[1] - 0.75)
    rows, values = fusion.rank(histories, kinds.num_items)
    np.testing.assert_allclose(values, np.take_along_axis(expected, rows, 1), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(np.stack(fusion.score(histories, every)), expected, rtol=1e-4, atol=1e-5)
    # The limits of a request hold for cold items, too.
    cold_rows = np.flatnonzero(split.is_cold)
    limited, _ = fusion.rank(histories, 5, exclude=[cold_rows[:1]] * 12, allowed=np.append(cold_rows[:3], 0))
    assert set(limited.reshape(-1).tolist()) == {*cold_rows[1:3].tolist(), 0, -1}


def test_cold_items_are_candidates_however_few_items_are_proposed(splits, trained):
    (split, _), (parts, _) = splits, trained
    known = FusionWeights.constant([1.0, 0.0])
    cold = ColdWeights(split.is_cold, np.array([0.0, 1.0]), 100.0)
    fusion = FusionRecommender.of_weights(parts, known, cold, num_candidates=2)
    histories = [split.test.histories[number] for number in range(12)]
    rows, _ = fusion.rank(histories, 2)
    assert split.is_cold[rows].all()
    best = parts["text"].rank(histories, 2, allowed=np.flatnonzero(split.is_cold))[0]
    assert rows.tolist() == best.tolist()


def test_saved_and_loaded(splits, trained, tmp_path):
    (split, _), (parts, _) = splits, trained
    known = FusionWeights.constant([1.0, 0.5])
    fusion = FusionRecommender.of_weights(parts, known, ColdWeights(split.is_cold, np.array([0.0, 2.0]), -0.75))
    fusion.save_pretrained(tmp_path / "f")
    loaded = AutoRecommender.from_pretrained(tmp_path / "f")
    assert (loaded.is_cold == split.is_cold).all() and loaded.model.cold_bias.item() == -0.75
    histories = [split.test.histories[number] for number in range(12)]
    for mine, theirs in zip(fusion.rank(histories, 5), loaded.rank(histories, 5), strict=True):
        np.testing.assert_array_equal(mine, theirs)
    plain = FusionRecommender.of_weights(parts, known)
    assert plain.is_cold is None and set(plain.model.state_dict()) == {"weights", "length_weights"}


def test_what_does_not_fit_is_refused(kinds, splits, trained):
    (split, cold_split), (parts, cold_parts) = splits, trained
    known, cases = FusionWeights.constant([1.0, 1.0]), split.validation

    def fit(cold_parts, cold_split, cases=cases):
        return fit_cold_weights(parts, cold_parts, known, split, cold_split, cases, num_candidates=20)

    with pytest.raises(ValueError, match="cold_parts: 'other' is no part of this fusion"):
        fit({"other": cold_parts["text"]}, cold_split)
    with pytest.raises(ValueError, match="'text' is a text_encoder, but its cold part a knn"):
        fit({"text": parts["knn"]}, cold_split)
    for wrong in (split, kinds.split(), kinds.split(cold_items=SHARE, cold_seed=2)):
        with pytest.raises(ValueError, match="cold_split must hold out all items that split holds out, and some more"):
            fit(cold_parts, wrong)
    held_out = items_without_interactions(cold_split, kinds.num_items)
    with pytest.raises(ValueError, match="the next item of 0 validation users is a held-out one"):
        fit(cold_parts, cold_split, cases.take(np.flatnonzero(~held_out[cases.targets])))
    with pytest.raises(ValueError, match="cold_split is needed with cold_parts"):
        FusionRecommender.fit(parts, kinds, split, cold_parts=cold_parts)


def test_the_command(kinds, kind_vectors, splits, trained, tmp_path, capsys):
    (split, cold_split), (parts, cold_parts) = splits, trained
    kinds.save(tmp_path / "data")
    for name, recommender in {**parts, "cold": cold_parts["text"]}.items():
        recommender.trained_on(kinds, cold_split if name == "cold" else split)
        recommender.save_pretrained(tmp_path / name)
    cold = ["--cold_items", str(SHARE), "--cold_seed", "1"]
    data = ["--dataset", str(tmp_path / "data"), *cold]
    words = ["train", "fusion", *data, "--report_to", "none", "--use_cpu", "True", "--num_candidates", "20"]
    words += ["--parts", str(tmp_path / "knn"), str(tmp_path / "text"), "--output_dir", str(tmp_path / "f")]
    assert main([*words, "--cold_parts", f"text={tmp_path / 'cold'}"]) == 0
    loaded = AutoRecommender.from_pretrained(tmp_path / "f")
    expected = FusionRecommender.fit(
        parts, kinds, split, num_candidates=20, cold_parts=cold_parts, cold_split=cold_split
    )
    torch.testing.assert_close(loaded.model.state_dict(), expected.model.state_dict(), rtol=1e-4, atol=1e-4)
    report = json.loads((tmp_path / "f" / "training_report.json").read_text())
    assert report["config"]["cold_parts"] == ["text"] and str(tmp_path) not in json.dumps(report["config"])
    assert f"{split.is_cold.sum()} items without training interactions: knn 0, text" in report["chosen"][-1]
    assert main(["evaluate", "--model", str(tmp_path / "f"), *data]) == 0

    capsys.readouterr()
    assert main([*words, "--cold_parts", f"text={tmp_path / 'text'}"]) == 1
    assert "cold_split must hold out all items that split holds out, and some more" in capsys.readouterr().err
    assert main([*words, "--cold_parts", f"other={tmp_path / 'cold'}"]) == 1
    assert "--cold_parts must be NAME=FOLDER with a name of ['knn', 'text']" in capsys.readouterr().err
    assert main([*words, "--cold_parts", f"text={tmp_path / 'cold'}", f"text={tmp_path / 'text'}"]) == 1
    assert "--cold_parts names a part twice" in capsys.readouterr().err
    assert main([*words, "--weights", "1", "1", "--cold_parts", f"text={tmp_path / 'cold'}"]) == 1
    assert "--cold_parts has weights of its own" in capsys.readouterr().err

    parts["knn"].trained_on(kinds, kinds.split())
    parts["knn"].save_pretrained(tmp_path / "all_items")
    arguments = FusionArguments(
        str(tmp_path / "data"), parts=["knn", "text"], cold_parts=[f"knn={tmp_path / 'all_items'}"]
    )
    with pytest.raises(ValueError, match="trained without --cold_items, so that no item is new to it"):
        open_cold_parts(arguments, kinds)
