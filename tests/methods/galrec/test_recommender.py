"""GAL-Rec behind the ranking interface: histories alone, neighbours where there is a graph, and the folder."""

import numpy as np
import pytest
import torch

from hf_llmrec.data.graph import InteractionGraph
from hf_llmrec.data.graph_files import GRAPH_FILE, load_graph, save_graph
from hf_llmrec.evaluation.pair_auc import pair_auc
from hf_llmrec.methods.auto import AutoRecommender
from hf_llmrec.methods.galrec.modeling_galrec import GALRecForCausalLM
from hf_llmrec.methods.galrec.prompt import GALRecLayout, GALRecPrompt
from hf_llmrec.methods.galrec.recommender import GALRecRecommender
from hf_llmrec.methods.galrec.rows import served_sequence
from hf_llmrec.training.backbones import build_backbone
from hf_llmrec.training.corpus_tokenizer import train_corpus_tokenizer


@pytest.fixture(scope="module")
def tokenizer(dataset):
    return train_corpus_tokenizer(dataset.titles, vocab_size=300)


@pytest.fixture
def model(dataset, tokenizer):
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    backbone = build_backbone("tiny", tokenizer, overrides=sizes)
    model = GALRecForCausalLM.from_backbone(backbone, num_items=dataset.num_items, external_sizes={"text": 8})
    model.model.set_item_vectors({"text": torch.randn(dataset.num_items, 8)})
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.normal_(std=0.3)
    return model


@pytest.fixture
def graph(dataset):
    return InteractionGraph.from_split(dataset.split(), dataset.num_items)


@pytest.fixture
def ranker(model, dataset, tokenizer):
    layout = GALRecLayout(GALRecPrompt(num_neighbors=3), model.config, tokenizer, dataset.titles)
    return GALRecRecommender(model, layout, dataset.item_ids, batch_size=3)


@pytest.fixture
def histories(dataset):
    split = dataset.split()
    return [split.test.histories[i][: i % 8] for i in range(20)]


def test_every_history_is_ranked_by_its_own_scores(ranker, model, graph, histories):
    ranker.attach_graph(graph)
    rows, scores = ranker.rank(histories, 5)
    assert model.model.training, "it was training before"
    model.eval()
    for history, row, score in zip(histories, rows, scores, strict=True):
        ids, items = served_sequence(ranker.layout, history, graph)
        own = torch.from_numpy(items)[None] if len(items) else torch.tensor([[-1]])
        expected = model.model.score_prompts(torch.from_numpy(ids)[None], own)[0].detach()
        assert row.tolist() == expected.argsort(descending=True)[:5].tolist()
        np.testing.assert_allclose(score, expected[row].numpy(), rtol=1e-4, atol=1e-4)


def test_exclude_and_allowed(ranker, histories):
    rows, _ = ranker.rank(histories, 4, exclude=histories, allowed=np.arange(10))
    for history, row in zip(histories, rows, strict=True):
        assert not set(row[row >= 0]) & set(history) and row.max() < 10


def test_neighbours_change_scores_and_a_known_user_is_none_of_its_own(ranker, graph, dataset, histories):
    alone = ranker.rank(histories[5:6], 5)[1]
    ranker.attach_graph(graph, dataset.user_ids)
    asked = dataset.user_ids[3]
    read = []
    encode = ranker.layout.user_sequence
    ranker.layout.user_sequence = lambda history, neighbors, items: (
        read.append(set(neighbors.tolist())),
        encode(history, neighbors, items),
    )[1]
    with_graph = ranker.rank(histories[5:6], 5)[1]
    assert not np.allclose(alone, with_graph)
    for _ in range(8):
        ranker.rank([dataset.split().train_sequence(3)], 5, user_ids=[asked])
    assert read[0] and all(3 not in neighbors for neighbors in read[1:])
    ranker.detach_graph()
    np.testing.assert_allclose(ranker.rank(histories[5:6], 5)[1], alone)


def test_a_folder_without_a_tokenizer_says_so(model, tokenizer, save_recommender, tmp_path):
    settings = {"prompt": GALRecPrompt().to_dict(), "graph": False}
    folder = save_recommender(tmp_path / "model", "galrec", model, tokenizer, settings)
    for file in folder.glob("tokenizer*"):
        file.unlink()
    with pytest.raises(ValueError, match=r"model .*model: the folder holds no tokenizer \(tokenizer.json\), but"):
        AutoRecommender.from_pretrained(folder)


def test_the_folder_with_and_without_its_graph(
    ranker, model, graph, tokenizer, dataset, save_recommender, histories, tmp_path
):
    for name, published in (("alone", False), ("whole", True)):
        settings = {"prompt": ranker.layout.prompt.to_dict(), "graph": published}
        folder = save_recommender(tmp_path / name, "galrec", model, tokenizer, settings)
        if published:
            save_graph(folder, graph)
            ranker.attach_graph(graph)
        loaded = AutoRecommender.from_pretrained(folder)
        assert type(loaded) is GALRecRecommender and (loaded.graph is not None) == published
        assert loaded.max_history == 50 and AutoRecommender.from_pretrained(folder, max_history=2).max_history == 2
        for found, expected in zip(loaded.rank(histories, 5), ranker.rank(histories, 5), strict=True):
            np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)
    text = (tmp_path / "whole" / GRAPH_FILE).read_bytes()
    assert not any(user.encode() in text for user in dataset.user_ids), "no user id is published"
    again = load_graph(tmp_path / "whole")
    assert np.array_equal(again.user_items.indices, graph.user_items.indices)
    with pytest.raises(FileNotFoundError, match=GRAPH_FILE):
        load_graph(tmp_path / "alone")


def test_clear_errors(ranker, model, graph, dataset):
    with pytest.raises(ValueError, match="the catalogue has 2"):
        GALRecRecommender(model, ranker.layout, ["a", "b"])
    wrong = InteractionGraph.from_arrays(np.array([0]), np.array([0]), 1, 5)
    with pytest.raises(ValueError, match="the graph has 5 items"):
        ranker.attach_graph(wrong)


def test_item_readouts(ranker, model):
    found = ranker.item_vectors(batch_size=7)
    model.eval()
    ids = torch.from_numpy(ranker.layout.item_segment(11)[0])[None]
    hidden = model.model(ids).last_hidden_state
    np.testing.assert_allclose(found[11], hidden[0, -1].detach().numpy(), rtol=1e-4, atol=1e-5)
    assert found.shape == (24, 16)


def test_pair_auc_counts_pairs():
    rng = np.random.default_rng(0)
    vectors = rng.integers(-1, 2, size=(12, 3)).astype(float)  # many equal cosines
    first, second = np.triu_indices(12, 1)
    together = rng.random(len(first)) < 0.3
    unit = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    cosines = (unit[first] * unit[second]).sum(1)
    wins = [float(a > b) + 0.5 * float(a == b) for a in cosines[together] for b in cosines[~together]]
    assert pair_auc(vectors, first, second, together) == pytest.approx(np.mean(wins))
    with pytest.raises(ValueError, match="both kinds"):
        pair_auc(vectors, first, second, np.ones(len(first), bool))
