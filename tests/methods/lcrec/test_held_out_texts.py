"""Texts that are held out reach no training row, and are reported apart."""

import re

import numpy as np
import pytest

from hf_llmrec.data.held_out_texts import HeldOutTexts
from hf_llmrec.methods.auto import AutoRecommender
from hf_llmrec.methods.lcrec.prompt import LCRecPrompt
from hf_llmrec.methods.lcrec.rows import LCRecDataset
from hf_llmrec.methods.lcrec.task_report import TaskReport
from hf_llmrec.prompting.training_text import intention_rows, preference_rows

ALL = {"seq": 1.0, "mut": 1.0, "asy": 1.0, "ite": 1.0, "per": 1.0, "neighbors": 1.0}
HELD = HeldOutTexts(0.2, seed=3)


def mentioned(text: str) -> set[int]:
    """Items of the ring whose title, description or intention is in a text."""
    return {int(number) for number in re.findall(r"\b(?:Ring piece|Piece number|like number) (\d+)\b", text)}


@pytest.mark.parametrize("form", ["packed", "prefix"])
def test_no_row_has_a_held_out_text(dataset, tokenizer, form):
    split, prompt = dataset.split(), LCRecPrompt(form, max_history=3)
    is_held_out = HELD.choose(dataset.num_items)
    assert is_held_out.sum() == 5 and any(dataset.descriptions[row] for row in np.flatnonzero(is_held_out))
    rows = LCRecDataset(dataset, split, tokenizer, prompt, ALL, held_out_texts=HELD)
    full = LCRecDataset(dataset, split, tokenizer, prompt, ALL)
    shown: dict[bool, set[int]] = {True: set(), False: set()}
    items: set[int] = set()
    codes = {int(token) for token in np.concatenate(tokenizer.level_token_ids)}
    for each in (rows, full):
        for slot in range(len(each)):
            row = each.build(slot, epoch=1)
            words = [token for token in row["input_ids"] if token not in codes]
            shown[each is rows] |= mentioned(tokenizer.decode(words))
            if each is rows:
                indices = [token for token in row["input_ids"] if token in codes]
                items |= set(tokenizer.tokens_to_items(np.array(indices).reshape(-1, 3)).tolist())
    assert shown[False] == set(range(dataset.num_items)), "without the option, all texts are read"
    assert shown[True] == set(np.flatnonzero(~is_held_out)), "and with it, all others"
    assert items == set(range(dataset.num_items)), "the indices are trained all the same"
    for name in ("seq" if form == "prefix" else "seq_packed", "neighbors"):
        assert rows.rows_per_direction[name] == full.rows_per_direction[name]
    kept = [row for row in intention_rows(dataset, split) if not is_held_out[row[1]]]
    assert rows.rows_per_direction["ite_intention_to_item"] == len(kept)
    kept = [row for row in preference_rows(dataset, split) if not is_held_out[row[0]].any()]
    assert rows.rows_per_direction["per"] == len(kept) > 0


def test_lengths_are_those_of_the_rows(dataset, tokenizer):
    weights = {"asy": 1.0}
    rows = LCRecDataset(dataset, dataset.split(), tokenizer, LCRecPrompt(), weights, held_out_texts=HELD)
    built = [len(rows.build(slot, 0)["input_ids"]) for slot in range(len(rows))]
    # The templates of a direction differ by a few words, and a title counts a separator of its own.
    assert np.abs(rows.lengths(0) - built).max() <= 16 and abs(rows.lengths(0).mean() - np.mean(built)) < 3


def test_choice_follows_share_and_seed():
    assert HeldOutTexts(0.5, 1).choose(10).tolist() == HeldOutTexts(0.5, 1).choose(10).tolist()
    assert HeldOutTexts(0.5, 1).choose(10).tolist() != HeldOutTexts(0.5, 2).choose(10).tolist()
    assert HeldOutTexts(0.01).choose(3).sum() == 1 and HeldOutTexts(0.99).choose(3).sum() == 2
    assert HeldOutTexts.of_options(0.0) is None and HeldOutTexts.of_facts({"protocol": "temporal"}) is None
    assert HeldOutTexts.of_facts(HeldOutTexts(0.3, 7).facts) == HeldOutTexts(0.3, 7)
    for share in (-0.1, 1.0):
        with pytest.raises(ValueError, match="held_out_texts"):
            HeldOutTexts.of_options(share)


def test_report_of_both_groups(dataset, lcrec_folder):
    """Groups are complete, even where the sample of all items is small, and agree with the outcomes."""
    lcrec = AutoRecommender.from_pretrained(lcrec_folder)
    report = TaskReport(lcrec, dataset, dataset.split(), "validation", limit=6, held_out_texts=HELD)
    is_held_out = HELD.choose(dataset.num_items)
    outcomes, values = report.outcomes(), report.run()
    titles = outcomes["mut_title_to_item_hit_rate@10"]
    assert titles.in_sample.sum() == 6 and titles.is_held_out.sum() == 5
    assert values["held_out"]["num_cases"]["mut_title_to_item_hit_rate@10"] == 5
    assert values["others"]["num_cases"]["mut_title_to_item_hit_rate@10"] == len(titles.values) - 5 >= 6
    assert values["held_out"]["mut_title_to_item_accuracy"] == pytest.approx(
        outcomes["mut_title_to_item_accuracy"].values[titles.is_held_out].mean()
    )
    described = [row for row in np.flatnonzero(is_held_out) if dataset.descriptions[row]]
    assert values["held_out"]["num_cases"]["mut_description_to_item_hit_rate@10"] == len(described)
    losses = outcomes["asy_history_to_title_loss"]
    assert losses.is_held_out.tolist() == is_held_out[report.cases.targets].tolist()
    assert values["asy_history_to_title_loss"] == pytest.approx(losses.values.sum() / losses.sizes.sum())
    queries = outcomes["ite_query_hit_rate@10"]  # of validation users; and all of held-out items, also of training
    assert queries.in_sample.sum() == 6 and 0 < queries.is_held_out[~queries.in_sample].sum() <= 6
    assert set(values) - set(TaskReport(lcrec, dataset, dataset.split()).run()) == {"held_out", "others"}
