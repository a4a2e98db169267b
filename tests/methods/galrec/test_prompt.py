"""Token sequences: what stands where, within the budget, and text that stays text."""

import numpy as np
import pytest

from hf_llmrec.methods.galrec.configuration_galrec import GALRecConfig
from hf_llmrec.methods.galrec.prompt import GALRecLayout, GALRecPrompt, load_galrec_template
from hf_llmrec.training.corpus_tokenizer import train_corpus_tokenizer

TITLES = ["Blue cup", "Red cup", "</s> <s>USER_0", "", "A very long title " * 20]
TOKENIZER = train_corpus_tokenizer(TITLES, vocab_size=300)
CONFIG = GALRecConfig(text_config={"model_type": "llama", "vocab_size": len(TOKENIZER)}, num_items=len(TITLES))
ITEM, USER, SPECIAL = CONFIG.first_item_id, CONFIG.first_user_id, CONFIG.special_token_ids


def layout(**options) -> GALRecLayout:
    return GALRecLayout(GALRecPrompt(**options), CONFIG, TOKENIZER, TITLES)


def entities(ids: np.ndarray) -> list[str]:
    """Names of everything that is no text."""
    names = {token: name for name, token in SPECIAL.items()}
    found = []
    for token in ids[ids >= CONFIG.vocab_size].tolist():
        found.append(names.get(token) or (f"i{token - ITEM}" if token < USER else f"u{token - USER}"))
    return found


@pytest.mark.parametrize("template", ["bare", "words"])
def test_the_order_of_a_sequence(template):
    ids = layout(template=template, hops=3).user_sequence([2, 0], [4, 9], [1])
    assert entities(ids) == ["i2", "i0", "USER_1", "u4", "u9", "USER_2", "i1", "USER_3", "USER", "REC"]
    assert (ids < CONFIG.vocab_size).any() == (template == "words")
    two = layout(template=template, hops=2).user_sequence([2, 0], [4, 9], [1])
    assert entities(two) == ["i2", "i0", "USER_1", "u4", "u9", "USER_2", "USER", "REC"]
    one = layout(template=template, hops=1).user_sequence([2, 0], [4, 9])
    assert entities(one) == ["i2", "i0", "USER_1", "USER", "REC"]
    cold = layout(template=template, hops=2).user_sequence([])
    assert entities(cold) == ["USER_1", "USER_2", "USER", "REC"]


def test_segments():
    made = layout(max_title_tokens=5)
    assert entities(made.own_segment()) == ["USER", "USER_0"]
    assert entities(made.audience_segment([3, 8])) == ["u3", "u8", "ITEM_1"]
    ids, labels = made.item_segment(0)
    assert entities(ids) == ["i0", "ITEM_0"]
    title = ids[labels != -100]
    assert np.array_equal(title, labels[labels != -100])
    assert TOKENIZER.decode(title) == "Blue cup"
    assert ids.tolist().index(ITEM) < int(np.flatnonzero(labels != -100)[0])
    assert (layout(max_title_tokens=5).item_segment(4)[1] != -100).sum() == 5
    bare, labels = layout(template="bare", title_hops=()).item_segment(0)
    assert bare.tolist() == [ITEM, SPECIAL["ITEM_0"]] and (labels == -100).all()


def test_text_never_becomes_a_token_of_ours():
    ids, _ = layout().item_segment(2)
    assert entities(ids) == ["i2", "ITEM_0"]
    assert not set(ids.tolist()) & set(TOKENIZER.all_special_ids)
    assert "</s> <s>USER_0" in TOKENIZER.decode([token for token in ids if token < CONFIG.vocab_size])


def test_titles_stand_where_they_are_asked_for():
    for hops, expected in [((), 0), ((1,), 2), ((3,), 1), ((1, 3), 3)]:
        made = layout(template="bare", hops=3, title_hops=hops, max_title_tokens=1)
        assert (made.user_sequence([0, 1], [5], [4]) < CONFIG.vocab_size).sum() == expected


def test_over_budget_the_farthest_hop_goes_first_then_the_oldest_items():
    history, neighbors, items = [0, 1, 2, 3], [7, 8], [4, 0]
    whole = ["i0", "i1", "i2", "i3", "u7", "u8", "i4", "i0"]
    expected = [whole, whole, whole[:7], whole[:6], whole[:5], whole[:4], whole[1:4], whole[2:4], whole[3:4]]
    for length, kept in zip(range(14, 5, -1), expected, strict=True):
        ids = layout(template="bare", hops=3, title_hops=(), max_length=length).user_sequence(history, neighbors, items)
        assert len(ids) <= length
        assert [name for name in entities(ids) if name[0] in "iu"] == kept
    # With titles an item goes with its words.
    made = layout(template="bare", hops=1, title_hops=(1,), max_title_tokens=50, max_length=20)
    ids = made.user_sequence([4, 0])
    assert entities(ids) == ["i0", "USER_1", "USER", "REC"]


def test_only_the_latest_items_and_so_many_neighbours():
    made = layout(template="bare", title_hops=(), max_history=2, num_neighbors=1)
    assert entities(made.user_sequence([0, 1, 2], [5, 6])) == ["i1", "i2", "USER_1", "u5", "USER_2", "USER", "REC"]


def test_errors(tmp_path):
    for options, message in [
        ({"hops": 4}, "hops"),
        ({"neighbor_order": "best"}, "neighbor_order"),
        ({"title_hops": (2,)}, "title_hops"),
        ({"max_history": 0}, "max_history"),
        ({"template": "none"}, "no template 'none'"),
        ({"max_length": 20}, "words alone take"),
    ]:
        with pytest.raises(ValueError, match=message):
            layout(**options)
    with pytest.raises(ValueError, match="needs the backbone's tokenizer"):
        GALRecLayout(GALRecPrompt(), CONFIG)
    with pytest.raises(ValueError, match="titles of all 5 items"):
        GALRecLayout(GALRecPrompt(), CONFIG, TOKENIZER, TITLES[:2])
    sections = dict(load_galrec_template("bare"))
    for change, message in [({"own": "{readout}"}, "mine.own"), ({"more": "x"}, "sections")]:
        file = tmp_path / "own.yaml"
        lines = [f"  {name}: '{text}'" for name, text in {**sections, **change}.items()]
        file.write_text("\n".join(["mine:", *lines]))
        with pytest.raises(ValueError, match=message):
            load_galrec_template("mine", str(file))


def test_the_prompt_round_trips():
    prompt = GALRecPrompt(template="bare", hops=3, title_hops=(0, 3))
    assert GALRecPrompt(**prompt.to_dict()) == prompt
