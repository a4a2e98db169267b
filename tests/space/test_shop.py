"""What the demo shows: answers side by side, reasons, and pages in which nothing of a catalogue is markup."""

import random
import re
import shutil
from html.parser import HTMLParser

import numpy as np
import pytest
from transformers import pipeline

from hf_llmrec.data.item_index import ItemIndex
from hf_llmrec.methods.galrec.rows import served_sequence
from hf_llmrec.space.pages import Pages
from hf_llmrec.space.reasons import code_tree
from hf_llmrec.space.shop import MAX_HISTORY, MAX_ITEMS, MAX_WISH, Shop


@pytest.fixture(scope="module")
def shop(sources):
    return Shop.load(sources)


def test_answers_are_those_of_the_pipeline(shop, sources):
    history = ["i1", "i2", "i3"]
    answers = shop.recommend(history, count=5)
    assert [each.name for each in answers] == ["LC-Rec", "GAL-Rec", "SASRec"]
    for answer, source in zip(answers, sources, strict=True):
        rec = pipeline("recommendation", model=str(source))
        expected = rec({"history": history, "exclude": history}, top_k=5)
        assert [shop.item_ids[row] for row in answer.rows] == [each["item_id"] for each in expected]
        assert answer.scores == pytest.approx([each["score"] for each in expected], abs=1e-4)


def test_a_wish_is_read_by_those_that_can(shop):
    plain, wished = shop.recommend(["i1"], count=6), shop.recommend(["i1"], "number 5, please", count=6)
    assert [each.reads_wishes for each in plain] == [True, False, False]
    assert plain[0].scores != wished[0].scores
    assert plain[1:] == wished[1:]


def test_inputs_are_bounded(shop):
    shown = shop.recommend(["nobody", *["i1"] * 70, "i2"], "x" * 5000, count=10_000)
    assert all(len(each.rows) == MAX_ITEMS for each in shown)
    assert len(shop.in_catalogue(["i1"] * 70)) == MAX_HISTORY and shop.in_catalogue(["nobody"]) == []
    assert shop.recommend(["i2"], "x" * 5000) == shop.recommend(["i2"], "x" * MAX_WISH)
    assert all(len(each.rows) == 1 for each in shop.recommend([], count=-3))


def test_neighbours_are_those_that_the_model_read(shop, dataset):
    history = [dataset.item_ids.index(item) for item in ("i1", "i2")]
    answer = shop.recommend(["i1", "i2"])[1]
    ranker = shop.recommenders["GAL-Rec"].recommender
    assert answer.has_graph and len(answer.neighbors) == len(ranker.neighbors(np.array(history))) > 0
    for neighbor in answer.neighbors:
        assert neighbor.shared and set(neighbor.shared) <= set(history)
        assert not set(neighbor.others) & set(history)
    ids, _ = served_sequence(ranker.layout, np.array(history), ranker.graph)
    assert sum(ids >= ranker.layout.first_user_id) == len(answer.neighbors)


def test_the_tree_of_shared_codes():
    codes = np.array([[0, 1, 2], [0, 1, 3], [0, 4, 2], [5, 1, 2]], dtype=np.int32)
    index = ItemIndex(["a", "b", "c", "d"], codes, (6, 6, 6))
    assert code_tree(index, 3, [0, 1, 2]) is None and code_tree(index, 0, []) is None
    tree = code_tree(index, 0, [3, 2, 1, 1])
    assert tree.tokens == ["<a_0>"] and tree.rows == []
    alone, pair = tree.children
    assert (alone.tokens, alone.rows, alone.children) == (["<b_4>", "<c_2>"], [2], [])
    assert pair.tokens == ["<b_1>"] and [each.rows for each in pair.children] == [[1], [0]]


class Tags(HTMLParser):
    def __init__(self, text: str):
        super().__init__()
        self.found, self.depth = [], 0
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.found.append((tag, tuple(name for name, _ in attributes)))


def test_nothing_of_a_catalogue_or_a_user_becomes_markup(shop):
    pages = Pages(shop)
    history = ["i1", "i2"]
    answers = shop.recommend(history, "<b>bold</b>", count=MAX_ITEMS)
    whole = "".join(pages.answer(each, "<b>bold</b>") for each in answers) + pages.map(history, answers)
    assert "&lt;script&gt;" in whole
    tags = Tags(whole).found
    assert not {"script", "img"} & {tag for tag, _ in tags}
    assert not any(name.startswith("on") for _, names in tags for name in names)
    assert "&lt;script&gt;" in pages.title(3) and "<" not in pages.title(3)


def test_the_map_marks_where_history_and_answers_lie(shop):
    index = shop.index
    answers = shop.recommend(["i1"], count=1)[:1]
    tile = r'<div class="([^"]*)" style="flex-grow:(\d+)".*?&lt;a_(\d+)&gt;'
    tiles = re.findall(tile, Pages(shop).map(["i1"], answers))
    assert sum(int(count) for _, count, _ in tiles) == index.num_items
    bought = {int(code) for kind, _, code in tiles if "bought" in kind}
    recommended = {int(code) for kind, _, code in tiles if "recommended" in kind}
    assert bought == {index.codes[shop.row["i1"], 0]}
    assert recommended == {index.codes[answers[0].rows[0], 0]}


def test_a_history_to_start_from(shop):
    history = shop.sample_history(4, random.Random(0))
    assert len(set(history)) == 4 and set(history) <= set(shop.item_ids)
    assert history == shop.sample_history(4, random.Random(0)) != shop.sample_history(4, random.Random(1))


def test_recommenders_of_other_catalogues_are_refused(sources, tmp_path):
    shutil.copytree(sources[2], tmp_path / "other")
    catalog = tmp_path / "other" / "item_catalog.json"
    catalog.write_text(catalog.read_text().replace('"i5"', '"i5b"'))
    with pytest.raises(ValueError, match="SASRec and LC-Rec recommend from different catalogues"):
        Shop.load([sources[0], tmp_path / "other"])
    with pytest.raises(ValueError, match="no recommender"):
        Shop({})


def test_two_models_of_one_method_go_by_their_sources(sources, tmp_path):
    shutil.copytree(sources[2], tmp_path / "second")
    shop = Shop.load([sources[2], tmp_path / "second"])
    assert set(shop.recommenders) == {str(sources[2]), str(tmp_path / "second")}


def test_an_answer_shows_the_codes_of_its_own_index(shop):
    answer = shop.recommend(["i1"], count=3)[0]
    index = shop.recommenders["LC-Rec"].recommender.tokenizer.item_index
    assert answer.codes == ["".join(index.item_tokens(row)) for row in answer.rows]
    assert [shop.recommend(["i1"])[place].codes for place in (1, 2)] == [None, None]


def test_without_an_index_there_is_no_map_and_without_a_graph_it_says_so(sources, recommender_folders):
    shop = Shop.load([recommender_folders["galrec"], sources[2]])
    pages, answers = Pages(shop), shop.recommend(["i1"])
    assert shop.index is None and not shop.reads_wishes and "no recommender here" in pages.map().lower()
    assert "published without its graph" in pages.answer(answers[0], "")
