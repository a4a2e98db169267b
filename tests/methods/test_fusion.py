"""Recommenders that rank together: weights on validation users, parts inside or by reference, limits and queries."""

import json
import shutil

import numpy as np
import pytest
import torch
from transformers import pipeline

from hf_llmrec.cli import main, train_fusion
from hf_llmrec.data.recommender_folder import load_settings
from hf_llmrec.hub.published_files import recommender_files
from hf_llmrec.methods.auto import AutoRecommender
from hf_llmrec.methods.fusion.candidates import normalized
from hf_llmrec.methods.fusion.fit import FusionCases, FusionWeights, fit_weights
from hf_llmrec.methods.fusion.recommender import FusionRecommender
from hf_llmrec.methods.item_knn.recommender import ItemKNNRecommender
from hf_llmrec.methods.popularity.recommender import PopularityRecommender


@pytest.fixture
def parts(dataset):
    split = dataset.split()
    return {
        "knn": ItemKNNRecommender.fit(dataset, split),
        "popular": PopularityRecommender.fit(dataset, split),
    }


@pytest.fixture
def histories(dataset):
    split = dataset.split()
    return [split.test.histories[case][: 1 + case % 8] for case in range(12)]


def test_it_ranks_by_the_weighted_sum(parts, histories, dataset):
    weights = FusionWeights(np.array([2.0, 0.25]), np.array([-0.5, 1.0]), mean_log_length=1.5)
    fusion = FusionRecommender.of_weights(parts, weights, num_candidates=dataset.num_items)
    every = [np.arange(dataset.num_items)] * len(histories)
    scores = [np.stack(part.score(histories, every)) for part in parts.values()]
    scores = [(each - each.mean(1, keepdims=True)) / each.std(1, keepdims=True) for each in scores]
    position = np.log(1 + np.array([len(history) for history in histories]))[:, None] - 1.5
    expected = (2.0 - 0.5 * position) * scores[0] + (0.25 + position) * scores[1]
    rows, values = fusion.rank(histories, 7)
    order = np.argsort(-expected, axis=1, kind="stable")[:, :7]
    np.testing.assert_allclose(values, np.take_along_axis(expected, order, 1), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(values, np.take_along_axis(expected, rows, 1), rtol=1e-5, atol=1e-6)


def test_what_nobody_proposes_is_not_ranked(parts, histories):
    fusion = FusionRecommender(parts, num_candidates=2)
    proposed = [part.rank(histories, 2)[0] for part in parts.values()]
    rows, values = fusion.rank(histories, 2)
    for number, row in enumerate(rows):
        assert set(row.tolist()) <= set(np.concatenate([each[number] for each in proposed]).tolist())
    longer, _ = fusion.rank(histories, 9)  # each part proposes as many as are asked for
    assert (longer >= 0).all()
    # Scores are those of the ranking, and the limits hold.
    scores = fusion.score(histories, list(rows))
    np.testing.assert_allclose(np.stack(scores), values, rtol=1e-6)
    limited, _ = fusion.rank(histories, 4, exclude=[row[:1] for row in rows], allowed=np.arange(12))
    assert limited.max() < 12 and all(rows[n, 0] not in limited[n] for n in range(len(rows)))


def test_a_part_without_weight_has_no_say(parts, histories):
    fusion = FusionRecommender(parts)
    fusion.model.weights.data = torch.tensor([1.0, 0.0])
    assert fusion.rank(histories, 5)[0].tolist() == parts["knn"].rank(histories, 5)[0].tolist()


class Candidates(FusionCases):
    """What `FusionCases` holds, of given scores."""

    def __init__(self, scores, is_target, lengths):
        self.scores, self.is_target, self.lengths = scores, is_target, lengths


def chosen_by(weights, lengths, rng, width=20):
    """Users who choose by the weighted sums of two parts' scores: a conditional logit whose weights are known."""
    scores = rng.normal(size=(len(lengths), 2, width))
    logits = np.einsum("np,npk->nk", weights.of_users(lengths), scores) + rng.gumbel(size=(len(lengths), width))
    return Candidates(scores, np.arange(width) == logits.argmax(1)[:, None], lengths)


def test_weights_are_those_that_users_choose_by():
    rng = np.random.default_rng(0)
    lengths = rng.integers(1, 30, 6000)
    truth = FusionWeights(np.array([1.5, 0.7]), np.array([0.6, -0.5]), float(np.log1p(lengths).mean()))
    found = fit_weights(chosen_by(truth, lengths, rng))
    np.testing.assert_allclose(found.weights, truth.weights, atol=0.06)
    np.testing.assert_allclose(found.length_weights, truth.length_weights, atol=0.1)
    assert found.mean_log_length == pytest.approx(truth.mean_log_length)
    assert not fit_weights(chosen_by(truth, lengths, rng), by_history=False).length_weights.any()


@pytest.mark.parametrize("weights", [[5.0, 1.0], [-1.0, 1.5]], ids=["large", "negative"])
def test_the_order_of_the_parts_does_not_matter(weights):
    """Unions of different length are padded; weights may be large, and a part that is wrong tells something, too."""
    rng = np.random.default_rng(0)
    lengths = rng.integers(1, 30, 4000)
    cases = chosen_by(FusionWeights.constant(weights), lengths, rng)
    scores = np.pad(cases.scores, [(0, 0), (0, 0), (0, 30)], constant_values=-np.inf)
    is_target = np.pad(cases.is_target, [(0, 0), (0, 30)])
    found = fit_weights(Candidates(scores, is_target, lengths), by_history=False).weights
    swapped = fit_weights(Candidates(scores[:, ::-1], is_target, lengths), by_history=False).weights
    np.testing.assert_allclose(found, weights, rtol=0.08)
    np.testing.assert_allclose(swapped[::-1], found, rtol=1e-3)


def test_a_part_alone_where_nothing_is_better(caplog):
    """The other part's scores are noise: fitted weights would only add some of it, here on few users."""
    rng = np.random.default_rng(0)
    is_target = np.arange(20) == rng.integers(0, 20, 40)[:, None]
    scores = rng.normal(size=(40, 2, 20)) * [[[1.0], [30.0]]]
    scores[:, 0] += 4.0 * is_target
    cases = Candidates(scores, is_target, np.full(40, 3))
    found = fit_weights(cases)
    assert found.ndcg >= cases.ndcg(scores[:, 0])
    # Nobody's next item is a candidate: nothing can be learned, and all parts are as good.
    assert fit_weights(Candidates(scores, is_target & False, np.full(40, 3))).weights.tolist() == [1.0, 0.0]
    assert "no weights are learned, the best part ranks alone" in caplog.text
    # The same part twice: what is fitted is not better than one of them.
    twice = np.repeat(scores[:, :1], 2, axis=1)
    assert fit_weights(Candidates(twice, is_target, np.full(40, 3))).weights.tolist() == [1.0, 0.0]


def test_the_metric_of_the_fit_is_that_of_the_fusion(parts, dataset):
    split = dataset.split()
    cases = FusionCases(list(parts.values()), split.validation, 24)
    chosen = fit_weights(cases)
    for alone in np.eye(2):
        assert chosen.ndcg >= cases.ndcg(cases.combined(FusionWeights.constant(alone))) - 0.02
    fusion = FusionRecommender.of_weights(parts, chosen, num_candidates=24)
    assert fusion.evaluate(split.validation)["ndcg@10"] == pytest.approx(chosen.ndcg, abs=1e-9)


def test_normalising_keeps_a_constant_part_finite():
    among = np.array([[1.0, 3.0], [5.0, 5.0]])
    assert normalized(among, among).tolist() == [[-1.0, 1.0], [0.0, 0.0]]
    assert normalized(among, among[:, :0]).tolist() == among.tolist()


def test_a_query_goes_to_the_part_that_reads(recommender_folders):
    parts = {name: AutoRecommender.from_pretrained(recommender_folders[name]) for name in ("sasrec", "lcrec")}
    fusion = FusionRecommender(parts)
    assert fusion.supports_query
    asked = fusion.rank_queries([np.array([3])], ["red"], 4)
    assert asked[0].tolist() == parts["lcrec"].rank_queries([np.array([3])], ["red"], 4)[0].tolist()
    assert not FusionRecommender({"sasrec": parts["sasrec"]}).supports_query


def test_saved_inside_and_missing(recommender_folders, tmp_path, histories):
    folder = tmp_path / "fusion"
    shutil.copytree(recommender_folders["fusion"], folder)
    whole = AutoRecommender.from_pretrained(folder)
    assert list(whole.parts) == ["sasrec", "lcrec", "knn"] and whole.rank(histories, 5)[0].min() >= 0
    published = recommender_files(folder)
    assert "parts/lcrec/tokenizer.json" in published and "parts/knn/model.safetensors" in published
    ids = {"history": [whole.item_ids[row] for row in histories[3]]}
    assert pipeline("recommendation", model=str(folder))(ids, top_k=3) == whole.recommend([ids], 3)[0]
    # A fusion of fewer parts leaves nothing of the earlier ones.
    FusionRecommender({"knn": whole.parts["knn"]}).save_pretrained(folder)
    assert not [file for file in (folder / "parts").rglob("*") if file.is_file() and "knn" not in file.parts]
    shutil.rmtree(folder / "parts" / "knn")
    with pytest.raises(FileNotFoundError, match="the part 'knn' is missing: its folder parts/knn"):
        AutoRecommender.from_pretrained(folder)


def test_a_reference_is_not_copied(recommender_folders, tmp_path, histories):
    parts = {name: AutoRecommender.from_pretrained(recommender_folders[name]) for name in ("sasrec", "knn")}
    reference = str(recommender_folders["sasrec"])  # stands for a Hub id
    fusion = FusionRecommender(parts, references={"sasrec": reference})
    fusion.save_pretrained(tmp_path / "f")
    assert [path.name for path in (tmp_path / "f" / "parts").iterdir()] == ["knn"]
    assert not [file for file in recommender_files(tmp_path / "f") if "sasrec" in file]
    loaded = AutoRecommender.from_pretrained(tmp_path / "f")
    assert loaded.rank(histories, 5)[0].tolist() == fusion.rank(histories, 5)[0].tolist()
    settings = load_settings(tmp_path / "f")
    settings["parts"][0]["source"] = str(tmp_path / "gone")
    (tmp_path / "f" / "recommender.json").write_text(json.dumps(settings))
    with pytest.raises(FileNotFoundError, match="the part 'sasrec' is missing: .*gone"):
        AutoRecommender.from_pretrained(tmp_path / "f")


def test_parts_of_other_catalogues_are_refused(parts, dataset):
    other = dataset.k_core(0)
    shuffled = PopularityRecommender.fit(other, other.split())
    shuffled.item_ids = shuffled.item_ids[::-1]
    with pytest.raises(ValueError, match=r"the parts 'knn' \(24 items\) and 'other' \(24 items\) have other items"):
        FusionRecommender({**parts, "other": shuffled})
    with pytest.raises(ValueError, match="at least one part"):
        FusionRecommender({})
    with pytest.raises(ValueError, match=r"weights must be \(1,\), got \(2,\)"):
        FusionRecommender({"knn": parts["knn"]}, FusionRecommender(parts).model)
    with pytest.raises(ValueError, match="names of parts may have letters"):
        FusionRecommender({"a/b": parts["knn"]})


def test_the_command(dataset, parts, tmp_path, capsys):
    dataset.save(tmp_path / "data")
    data = ["--dataset", str(tmp_path / "data")]
    for name, part in parts.items():
        part.save_pretrained(tmp_path / name)
    folders = [str(tmp_path / name) for name in parts]
    words = [*data, "--parts", *folders, "--report_to", "none", "--use_cpu", "True"]
    train_fusion.main([*words, "--output_dir", str(tmp_path / "f")])
    report = json.loads((tmp_path / "f" / "training_report.json").read_text())
    loaded = AutoRecommender.from_pretrained(tmp_path / "f")
    split = dataset.split()
    assert report["validation"]["ndcg@10"] == pytest.approx(loaded.evaluate(split.validation)["ndcg@10"])
    best = max(part.evaluate(split.validation)["ndcg@10"] for part in parts.values())
    assert report["validation"]["ndcg@10"] >= best - 0.02
    assert report["config"]["names"] == ["knn", "popular"] and "weights" in report["chosen"][0]
    assert main(["evaluate", "--model", str(tmp_path / "f"), *data]) == 0

    for option in (["--max_history", "3"], ["--num_beams", "10"]):
        assert main(["evaluate", "--model", str(tmp_path / "f"), *data, *option]) == 1
        assert option[0] in capsys.readouterr().err
    assert main(["evaluate", "--model", str(tmp_path / "f"), *data, "--batch_size", "5", "--memory", "False"]) == 0

    equal = [*words, "--weights", "1", "1", "--names", "one", "two", "--output_dir", str(tmp_path / "g")]
    assert main(["train", "fusion", *equal]) == 0
    averaged = AutoRecommender.from_pretrained(tmp_path / "g")
    assert averaged.model.weights.tolist() == [1.0, 1.0]
    assert list(averaged.parts) == ["one", "two"]


@pytest.mark.parametrize(
    "options, message",
    [
        (["--parts", "a"], "--parts needs at least two"),
        (["--parts", "a", "x/a"], "--names must be 2 different names"),
        (["--parts", "a", "b", "--names", "a", "b c"], "names of parts may have letters"),
        (["--parts", "a", "b", "--weights", "1"], "--weights must be 2 non-negative numbers"),
        (["--parts", "a", "b", "--weights", "0", "0"], "--weights must be 2 non-negative numbers"),
        (["--parts", "a", "b", "--num_candidates", "0"], "--num_candidates must be at least 1"),
    ],
)
def test_wrong_options(options, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        train_fusion.main(["--dataset", "demo", "--output_dir", str(tmp_path), *options])
