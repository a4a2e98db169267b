import numpy as np
import pytest
import torch

from hf_llmrec.generation import ItemLogitsProcessor, recommend_items


@pytest.mark.parametrize("normalize", ["vocab", "level", "children"])
def test_scores_of_each_step(make_shop, normalize):
    shop = make_shop(20)
    processor = ItemLogitsProcessor(shop.trie, shop.token_ids, 4, normalize)
    prefixes = [(), (int(shop.codes[3, 0]),), tuple(shop.codes[3, :2].tolist())]
    for level, prefix in enumerate(prefixes):
        tokens = [int(shop.token_ids[i][code]) for i, code in enumerate(prefix)]
        # The second sequence has left the trie: nothing can follow it.
        ids = torch.tensor([[1, 2, 3, 4, *tokens], [1, 2, 3, 4, *[96] * level]])
        scores = torch.randn(2, 97).log_softmax(-1)
        result = processor(ids, scores)
        fits = (shop.codes[:, :level] == np.array(prefix)).all(1)
        allowed = shop.token_ids[level][np.unique(shop.codes[fits, level])]
        among = {"vocab": torch.arange(97), "level": shop.token_ids[level], "children": allowed}[normalize]
        torch.testing.assert_close(result[0, allowed], scores[0, allowed] - scores[0, among].logsumexp(0))
        assert torch.isfinite(result[0]).sum() == len(allowed)
        if level and 96 not in shop.token_ids[0]:
            assert torch.isneginf(result[1]).all()


def test_after_the_last_level_nothing_is_masked(make_shop):
    shop = make_shop(20)
    scores = torch.randn(1, 97)
    assert torch.equal(
        ItemLogitsProcessor(shop.trie, shop.token_ids, 1)(torch.zeros(1, 4, dtype=torch.long), scores), scores
    )


def test_plain_generate_with_it(make_model, make_shop):
    model, shop = make_model("qwen3"), make_shop(40)
    exclude = [np.array([row, row + 1]) for row in range(4)]
    processor = ItemLogitsProcessor(
        shop.trie, shop.token_ids, shop.input_ids.shape[1], "children", exclude=exclude, num_beams=5
    )
    out = model.generate(
        input_ids=shop.input_ids,
        attention_mask=shop.mask,
        logits_processor=[processor],
        num_beams=5,
        num_return_sequences=5,
        max_new_tokens=3,
        do_sample=False,
        pad_token_id=0,
    )
    leaves, depth = processor.nodes(out)
    expected, _ = recommend_items(model, *shop.args, num_beams=5, k=5, normalize="children", exclude=exclude)
    assert depth == 3 and shop.trie.item_rows[leaves].view(4, 5).tolist() == expected.tolist()


def test_sampling_gives_real_items(make_model, make_shop):
    model, shop = make_model("llama"), make_shop(9)
    processor = ItemLogitsProcessor(shop.trie, shop.token_ids, shop.input_ids.shape[1])
    torch.manual_seed(0)
    out = model.generate(
        input_ids=shop.input_ids,
        attention_mask=shop.mask,
        logits_processor=[processor],
        do_sample=True,
        num_return_sequences=8,
        max_new_tokens=3,
        pad_token_id=0,
    )
    assert (processor.nodes(out)[0] >= 0).all()


def test_bad_options(make_shop):
    shop = make_shop()
    with pytest.raises(ValueError, match="normalize must be"):
        ItemLogitsProcessor(shop.trie, shop.token_ids, 4, "none")
    with pytest.raises(ValueError, match="2 levels, the trie 3"):
        ItemLogitsProcessor(shop.trie, shop.token_ids[:2], 4)
