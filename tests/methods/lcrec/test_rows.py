import copy
import logging
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from hf_llmrec.data.interactions import RecDataset
from hf_llmrec.methods.lcrec.neighbors import NeighborPairs
from hf_llmrec.methods.lcrec.prompt import LCRecPrompt
from hf_llmrec.methods.lcrec.rows import LCRecDataset, LCRecEvalDataset
from hf_llmrec.methods.lcrec.templates import load_templates
from hf_llmrec.prompting.fitting import bare_length, fit_prompt
from hf_llmrec.prompting.templates import fill, stable_hash
from hf_llmrec.prompting.training_text import held_out_intentions, intention_rows, preference_rows

ALL = {"seq": 1.0, "mut": 1.0, "asy": 1.0, "ite": 1.0, "per": 1.0}


@pytest.fixture
def split(dataset):
    return dataset.split()


def rows_of(dataset, split, tokenizer, weights, prompt=None, **kwargs):
    return LCRecDataset(dataset, split, tokenizer, prompt or LCRecPrompt(), weights, **kwargs)


def answer(row):
    return [token for token, label in zip(row["input_ids"], row["labels"], strict=True) if label != -100]


def test_every_direction_has_several_templates_of_its_own():
    templates = load_templates()
    texts = [template.prompt for group in templates.values() for template in group]
    assert len(set(texts)) == len(texts)
    assert all(len(group) >= 2 for group in templates.values())


def test_hash_is_stable_across_versions():
    # Changing this value changes every run that is resumed.
    assert int(stable_hash(1, 2, 3)) == int(stable_hash(1, 2, np.array([3]))[0])
    assert len({int(stable_hash(0, epoch, row)) for epoch in range(20) for row in range(20)}) == 400


def test_all_tasks_give_rows_with_loss_on_the_answer_only(dataset, split, tokenizer):
    rows = rows_of(dataset, split, tokenizer, ALL)
    assert set(rows.rows_per_direction) == set(load_templates()) - {"seq"} | {"seq_packed"}
    for slot in range(0, len(rows), 7):
        row = rows.build(slot, epoch=0)
        assert len(row["input_ids"]) == len(row["labels"])
        assert row["labels"][0] == -100 and answer(row)
        assert all(label in (-100, token) for token, label in zip(row["input_ids"], row["labels"], strict=True))


def test_packed_rows_make_every_item_a_target(dataset, split, tokenizer):
    rows = rows_of(dataset, split, tokenizer, {"seq": 1.0})
    assert len(rows) == dataset.num_users
    found = {
        tuple(tokenizer.tokens_to_items(np.array(answer(rows.build(s, 0))).reshape(-1, 3))) for s in range(len(rows))
    }
    assert found == {tuple(split.train_sequence(user)) for user in range(dataset.num_users)}


def test_prefix_rows_end_in_the_next_item(dataset, split, tokenizer):
    prompt = LCRecPrompt("prefix", max_history=3)
    rows = rows_of(dataset, split, tokenizer, {"seq": 1.0}, prompt)
    assert len(rows) == dataset.num_users * 5
    row = rows.build(0, 0)
    assert len(answer(row)) == 3  # one item of three levels, no end-of-sequence token
    items = {int(i) for i in np.concatenate(tokenizer.level_token_ids)}
    assert sum(token in items for token in row["input_ids"]) <= 3 * (3 + 1)


def test_held_out_interactions_reach_no_row(dataset, split, tokenizer):
    """What a user does last appears in none of its rows: only training items are answers and history."""
    weights = {"seq": 1.0, "asy": 1.0, "ite": 1.0}
    level_tokens = {int(i) for i in np.concatenate(tokenizer.level_token_ids)}
    # On the ring every pair of neighbours is somebody's training pair, so users are told apart by their own walk: an
    # item of a row lies in the training part of a user whose whole shown history is a part of that walk.
    walks = [split.train_sequence(user).tolist() for user in range(dataset.num_users)]
    whole = ["-".join(map(str, walk)) for walk in walks]
    for form in ("packed", "prefix"):
        rows = rows_of(dataset, split, tokenizer, weights, LCRecPrompt(form))
        for slot in range(len(rows)):
            shown = np.array([t for t in rows.build(slot, 0)["input_ids"] if t in level_tokens]).reshape(-1, 3)
            items = "-".join(map(str, tokenizer.tokens_to_items(shown).tolist()))
            assert any(items in walk for walk in whole), items
            assert len(shown) <= 6  # eight interactions, of which two are held out
    assert len(intention_rows(dataset, split)) == 60 * 3  # positions 0, 2, 4; 6 is the validation item
    assert len(held_out_intentions(dataset, split, "validation")) == 60
    assert held_out_intentions(dataset, split, "test") == []
    assert all(len(history) == 6 for history, _ in preference_rows(dataset, split))


def bought_together(split):
    """Pairs of different items in the training sequence of one user."""
    sequences = [split.train_sequence(user).tolist() for user in range(len(split.train_indptr) - 1)]
    return {(a, b) for sequence in sequences for a in sequence for b in sequence if a != b}


@pytest.mark.parametrize("form", ["packed", "prefix"])
def test_neighbors_are_pairs_of_one_users_training_items(dataset, split, tokenizer, form):
    prompt = LCRecPrompt(form, packed_prefix="Chosen: ")
    rows = rows_of(dataset, split, tokenizer, {"neighbors": 1.0}, prompt)
    assert len(rows) == dataset.num_items  # on the ring every item has neighbours
    codes = {int(i) for i in np.concatenate(tokenizer.level_token_ids)}
    pairs = set()
    for epoch in range(30):
        epoch_pairs = set()
        for slot in range(len(rows)):
            row = rows.build(slot, epoch)
            items = tokenizer.tokens_to_items(np.array([i for i in row["input_ids"] if i in codes]).reshape(-1, 3))
            assert len(answer(row)) == 3 and row["input_ids"][-3:] == answer(row) and len(items) == 2
            epoch_pairs.add(tuple(items.tolist()))
        assert {first for first, _ in epoch_pairs} == set(range(dataset.num_items))
        pairs |= epoch_pairs
    assert pairs <= bought_together(split)
    assert len(pairs) > 0.8 * len(bought_together(split))  # drawn anew in each epoch


def test_neighbors_are_drawn_in_proportion_to_their_similarity(dataset, split):
    pairs = NeighborPairs(split, dataset.num_items, seed=3)
    drawn = np.bincount([pairs.draw(5, epoch, 0) for epoch in range(20_000)], minlength=dataset.num_items) / 20_000
    sequences = [split.train_sequence(user) for user in range(dataset.num_users)]
    has = np.array([np.bincount(sequence, minlength=dataset.num_items) > 0 for sequence in sequences])
    similarity = (has & has[:, [5]]).sum(0) / np.sqrt(has.sum(0) * has[:, 5].sum())
    similarity[5] = 0
    np.testing.assert_allclose(drawn, similarity / similarity.sum(), atol=0.015)


def test_other_held_out_items_give_the_same_neighbors(dataset, split, tokenizer):
    """Every validation and test target is replaced: the rows stay, so none of them was read."""
    cases = {
        name: replace(getattr(split, name), targets=(getattr(split, name).targets + 7) % dataset.num_items)
        for name in ("validation", "test")
    }
    built = []
    for each in (split, replace(split, **cases)):
        rows = rows_of(dataset, each, tokenizer, {"neighbors": 2.0})
        built.append([rows.build(slot, 1) for slot in range(len(rows))])
    assert built[0] == built[1]


def test_neighbors_leave_the_rows_of_other_tasks_as_they_are(dataset, split, tokenizer):
    alone = rows_of(dataset, split, tokenizer, ALL)
    beside = rows_of(dataset, split, tokenizer, {**ALL, "neighbors": 0.5})
    assert len(beside) == len(alone) + 12
    assert all(alone.build(slot, 2) == beside.build(slot, 2) for slot in range(len(alone)))


def test_items_without_neighbors_are_left_out(dataset):
    table = {"user_id": ["a", "a", "a", "a", "b"], "item_id": ["i0", "i1", "i2", "i3", "i9"]}
    items = {"item_id": [f"i{row}" for row in range(10)], "title": ["t"] * 10}
    lonely = RecDataset.from_datasets({**table, "position": [0, 1, 2, 3, 0]}, items, name="lonely")
    pairs = NeighborPairs(lonely.split(), lonely.num_items)
    assert lonely.split().train_indices.tolist() == [0, 1, 9]
    assert pairs.items.tolist() == [0, 1] and pairs.draw(0, 0, 0) == 1


def test_epochs_differ_and_repeat(dataset, split, tokenizer):
    rows, again = (rows_of(dataset, split, tokenizer, {"mut": 1.0}, seed=3) for _ in range(2))
    first = [rows.build(slot, 0) for slot in range(len(rows))]
    assert first == [again.build(slot, 0) for slot in range(len(again))]
    assert first != [rows.build(slot, 1) for slot in range(len(rows))]


def test_small_weights_walk_through_all_candidates(dataset, split, tokenizer):
    rows = rows_of(dataset, split, tokenizer, {"mut": 0.25})
    titles = [slot for slot in range(len(rows)) if rows._directions[rows._slot_direction[slot]] == "mut_title_to_item"]
    seen = {tuple(answer(rows.build(slot, epoch))) for slot in titles for epoch in range(4)}
    assert len(titles) == 6 and len(seen) == dataset.num_items


def test_item_dropout_leaves_items_out(dataset, split, tokenizer):
    rows = rows_of(dataset, split, tokenizer, {"seq": 1.0}, item_dropout=0.5)
    lengths = [len(answer(rows.build(slot, 0))) // 3 for slot in range(len(rows))]
    assert 2 <= min(lengths) and 2.5 < np.mean(lengths) < 4.5


@pytest.mark.parametrize("form", ["prefix", "packed"])
def test_rows_fit_the_length_and_keep_the_answer(dataset, split, tokenizer, form):
    rows = rows_of(dataset, split, tokenizer, ALL, LCRecPrompt(form), max_length=84)
    for slot in range(0, len(rows), 5):
        row = rows.build(slot, 0)
        assert len(row["input_ids"]) <= 84 and answer(row)


def test_packed_rows_lose_whole_items_oldest_first(dataset, split, tokenizer):
    rows = rows_of(dataset, split, tokenizer, {"seq": 1.0}, max_length=11)  # bos and three items of three tokens
    for slot in range(len(rows)):
        user = rows._candidate(slot, 0)[1]
        kept = tokenizer.tokens_to_items(np.array(answer(rows.build(slot, 0))).reshape(-1, 3)).tolist()
        assert kept == split.train_sequence(user)[-3:].tolist()


def test_a_length_without_room_for_the_words_is_refused(dataset, split, tokenizer):
    with pytest.raises(ValueError, match="max_length 24 is too short.*prompt"):
        rows_of(dataset, split, tokenizer, {"mut": 1.0}, max_length=24)
    with pytest.raises(ValueError, match="no room for two items"):
        rows_of(dataset, split, tokenizer, {"seq": 1.0}, LCRecPrompt(packed_prefix="Chosen: "), max_length=9)


def test_prompts_of_ranking_fit_the_length_of_training(dataset, split, tokenizer):
    history = list(range(20))
    items = {int(i) for i in np.concatenate(tokenizer.level_token_ids)}
    for form in ("packed", "prefix"):
        whole = LCRecPrompt(form).encode_history(tokenizer, history)
        longest = len(whole) + 3 - 7  # with the answer; two of three items too long
        ids = LCRecPrompt(form, max_length=longest).encode_history(tokenizer, history)
        assert len(ids) + 3 <= longest and sum(token in items for token in ids) == 3 * 17
        shown = [token for token in ids if token in items]
        assert tokenizer.tokens_to_items(np.array(shown).reshape(-1, 3)).tolist() == history[3:]
    query = LCRecPrompt(max_length=120).encode_query(tokenizer, history, "something red " * 200)
    assert len(query) <= 117 and "something red" in tokenizer.decode(query)


@pytest.mark.parametrize("dated", [False, True])
def test_texts_about_an_item_that_is_also_held_out_are_left_out(dated):
    """A user who chooses an item again: what is written about it may be about the choice that is held out."""
    log = {"user_id": ["ann"] * 5, "item_id": [*"abcab"], "timestamp": [1, 2, 3, 4, 5]}
    wishes = {"user_id": ["ann"] * 3, "item_id": [*"abc"], "text": ["for an a", "for a b", "for a c"]}
    if dated:
        wishes["timestamp"] = [1, 2, 3]  # all from before the user's last training interaction
    shop = RecDataset.from_datasets(log, {"item_id": [*"abc"], "title": [*"ABC"]}, intentions=wishes)
    split = shop.split()  # a is the validation item, b the test item
    assert split.train_sequence(0).tolist() == [0, 1, 2]
    assert [(history.tolist(), item, text) for history, item, text in intention_rows(shop, split)] == [
        ([0, 1], 2, "for a c")
    ]
    assert [text for _, _, text in held_out_intentions(shop, split, "validation")] == ["for an a"]


def test_texts_dated_after_a_users_training_are_left_out(dataset, split):
    """A later text about an item of training could speak of the future: its date decides."""
    shifted = copy.copy(dataset)
    shifted.timestamps = np.arange(dataset.num_interactions, dtype=np.int64)
    rows = intention_rows(dataset, split)
    times = [10**9 if number % 3 == 0 else 0 for number in range(len(dataset.intentions))]
    shifted.intentions = dataset.intentions.append_column("timestamp", pa.array(times))
    kept = {text for _, _, text in intention_rows(shifted, split)}
    late = {text for text, when in zip(dataset.intentions["text"].to_pylist(), times, strict=True) if when}
    early = {text for text, when in zip(dataset.intentions["text"].to_pylist(), times, strict=True) if not when}
    assert kept and kept <= early and {text for _, _, text in rows} - kept <= late
    assert preference_rows(dataset, replace(split, strategy="temporal")) == []


def test_a_history_in_words_keeps_its_end_and_a_description_its_beginning(tokenizer):
    """The latest titles say most about what comes next; a description begins with what matters."""
    words = [f"Ring piece {item}" for item in range(24)]
    text = "; ".join(words)
    for field, pattern, kept, lost in (
        ("titles", "Chosen: {titles}. Next: ", words[-1], words[0]),
        ("description", "About it: {description}. It is: ", words[0], words[-1]),
    ):
        whole = fit_prompt(tokenizer, pattern, {field: text}, None)
        ids = fit_prompt(tokenizer, pattern, {field: text}, len(whole) - 20)
        shown = tokenizer.decode(ids)
        assert len(ids) <= len(whole) - 20 and kept in shown and lost + ";" not in shown and lost + "." not in shown
        assert all(part.strip() in shown for part in pattern.split("{" + field + "}"))


def test_lengths_are_close_for_packed_rows(dataset, split, tokenizer):
    rows = rows_of(dataset, split, tokenizer, {"seq": 1.0})
    assert rows.lengths(0).tolist() == [len(rows.build(slot, 0)["input_ids"]) for slot in range(len(rows))]


def test_a_missing_table_turns_its_task_off_with_a_notice(dataset, split, tokenizer, caplog, monkeypatch):
    monkeypatch.setattr(dataset, "intentions", None)
    with caplog.at_level(logging.WARNING):
        rows = rows_of(dataset, split, tokenizer, {"seq": 1.0, "ite": 1.0})
    assert "intentions" in caplog.text and set(rows.rows_per_direction) == {"seq_packed"}


@pytest.mark.parametrize(
    "weights, message",
    [({"sec": 1.0}, "unknown tasks"), ({"seq": -1.0}, "negative"), ({"seq": 0.0}, "no training row")],
)
def test_bad_mixtures(dataset, split, tokenizer, weights, message):
    with pytest.raises(ValueError, match=message):
        rows_of(dataset, split, tokenizer, weights)


def test_placeholders_in_texts_stay_text(tokenizer):
    segments = fill('"{title}" is {item}', {"title": "{item} <a_1> {history}", "item": [3]})
    ids = tokenizer.encode_segments(segments)
    items = {int(i) for i in np.concatenate(tokenizer.level_token_ids)}
    assert sum(token in items for token in ids) == 3


def test_validation_rows_hold_prompt_and_target(dataset, split, tokenizer):
    rows = LCRecEvalDataset(tokenizer, LCRecPrompt(), split.validation)
    row = rows.build(5)
    assert tokenizer.tokens_to_items(np.array([answer(row)])).tolist() == [split.validation.targets[5]]


@pytest.mark.parametrize("form", ["packed", "prefix"])
def test_lengths_are_those_of_the_rows_but_for_the_wording(dataset, split, tokenizer, form):
    prompt = LCRecPrompt(form, "Items: ", max_history=5)
    rows = LCRecDataset(dataset, split, tokenizer, prompt, {**ALL, "neighbors": 1.0}, max_length=600)
    lengths = rows.lengths(0)
    built = np.array([len(rows.build(slot, 0)["input_ids"]) for slot in range(len(rows))])
    wordings = {
        direction: np.ptp([bare_length(tokenizer, template.prompt) for template in templates])
        for direction, templates in rows.templates.items()
    }
    wordings["neighbors"] = wordings["seq"]
    for slot in range(len(rows)):
        direction = rows._candidate(slot, 0)[0]
        assert abs(lengths[slot] - built[slot]) <= wordings.get(direction, 0) + 8, direction
    assert lengths.sum() == pytest.approx(built.sum(), rel=0.05)
