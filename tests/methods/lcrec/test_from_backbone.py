"""`LCRecRecommender.from_backbone`: from scratch, from a model, from a saved LC-Rec; and what it refuses."""

from copy import deepcopy

import numpy as np
import pytest
import torch
from peft import LoraConfig

from hf_llmrec.indexing.build import build_index
from hf_llmrec.methods.auto import AutoRecommender
from hf_llmrec.methods.lcrec.adapters import with_index_rows
from hf_llmrec.methods.lcrec.prompt import LCRecPrompt
from hf_llmrec.methods.lcrec.recommender import LCRecRecommender
from hf_llmrec.methods.lcrec.trainer import LCRecTrainer
from hf_llmrec.methods.lcrec.trainer_config import LCRecTrainingConfig
from hf_llmrec.training.backbones import build_backbone
from hf_llmrec.training.corpus_tokenizer import train_corpus_tokenizer

TINY = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}


def make(dataset, index, backbone="tiny", **options):
    torch.manual_seed(0)
    scratch = {"overrides": TINY, "corpus_vocab_size": 400} if backbone == "tiny" else {}
    return LCRecRecommender.from_backbone(backbone, index=index, dataset=dataset, **{**scratch, **options})


def config(folder, **options):
    values = {"max_steps": 4, "eval_users": 20, "save_strategy": "no", "use_cpu": True, "disable_tqdm": True}
    return LCRecTrainingConfig(output_dir=str(folder), **{**values, **options})


def test_from_scratch(dataset, index):
    made = make(dataset, index, prompt={"max_history": 5, "max_length": 64}, num_beams=12)
    assert not made.is_pretrained and made.prompt.form == "packed" and made.prompt.packed_prefix
    assert (made.max_history, made.num_beams, made.normalize) == (5, 12, "level")
    assert made.model.config.max_position_embeddings == 64
    assert made.catalog.titles == dataset.titles
    rows, _ = made.rank([np.array([1, 2])], 5)
    assert rows.shape == (1, 5) and len(set(rows[0])) == 5


def test_the_same_seed_gives_the_same_start(dataset, index):
    one, same = make(dataset, index), make(dataset, index)
    assert all(torch.equal(a, b) for a, b in zip(one.model.parameters(), same.model.parameters(), strict=True))


def test_a_model_comes_with_its_tokenizer(dataset, index):
    tokenizer = train_corpus_tokenizer(dataset.titles, vocab_size=300)
    backbone = build_backbone("tiny", tokenizer, max_length=1024, overrides=TINY)
    with pytest.raises(ValueError, match="its tokenizer is needed"):
        make(dataset, index, backbone)
    made = make(dataset, index, backbone, tokenizer=tokenizer)
    assert made.is_pretrained and made.model is backbone
    assert made.model.get_input_embeddings().weight.shape[0] == len(made.tokenizer) > len(tokenizer)


def test_a_saved_lcrec_keeps_what_it_learned(dataset, index, tmp_path):
    made = make(dataset, index, prompt={"form": "prefix", "max_history": 7}, num_beams=15, normalize="children")
    made.save_pretrained(tmp_path / "saved")
    again = make(dataset, index, tmp_path / "saved")
    assert again.is_pretrained and (again.num_beams, again.normalize) == (15, "children")
    assert again.prompt == made.prompt and again.prompt.form == "prefix"
    assert all(torch.equal(a, b) for a, b in zip(made.model.parameters(), again.model.parameters(), strict=True))
    changed = make(dataset, index, tmp_path / "saved", prompt={"max_history": 3}, num_beams=11)
    assert (changed.prompt.form, changed.max_history, changed.num_beams) == ("prefix", 3, 11)
    assert make(dataset, index, tmp_path / "saved", prompt=LCRecPrompt(max_length=90)).prompt.form == "packed"


def test_what_is_refused(dataset, index, tmp_path):
    with pytest.raises(ValueError, match=r"prompt: LCRecPrompt has no \['max_histories'\]"):
        make(dataset, index, prompt={"max_histories": 3})
    codes = index.codes.copy()
    codes[1] = codes[0]
    with pytest.raises(ValueError, match="index: 2 items share their codes"):
        make(dataset, type(index)(index.item_ids, codes, index.codebook_sizes))
    other = build_index(np.eye(5, dtype=np.float32), [f"x{item}" for item in range(5)], levels=3, codebook_size=4)
    with pytest.raises(ValueError, match="another catalogue"):
        make(dataset, other)
    with pytest.raises(ValueError, match="1100 is longer than the 64 positions"):
        LCRecTrainer(
            make(dataset, index, prompt={"max_length": 64}), config(tmp_path, max_length=1100), split=dataset.split()
        )
    with pytest.raises(ValueError, match="nothing to train on"):
        LCRecTrainer(make(dataset, index), config(tmp_path))


def test_training_leaves_a_trained_recommender(dataset, index, tmp_path):
    made, split = make(dataset, index, prompt={"max_length": 96}), dataset.split()
    before = deepcopy(made.model)
    trainer = LCRecTrainer(made, config(tmp_path, learning_rate=1e-2), split=split)
    assert trainer.args.max_length == 96 and not trainer.args.pretrained
    trainer.train()
    assert all(not torch.equal(a, b) for a, b in zip(before.parameters(), made.model.parameters(), strict=True))
    assert made.training_data["fingerprint"] == dataset.data_fingerprint(split).to_dict()
    made.save_pretrained(tmp_path / "saved")
    trainer.save_recommender(tmp_path / "by the trainer")
    cases = split.validation.sample(20, seed=0)
    expected = made.evaluate(cases)
    assert trainer.rank() == expected.metrics
    for folder in ("saved", "by the trainer"):
        loaded = AutoRecommender.from_pretrained(tmp_path / folder)
        np.testing.assert_array_equal(loaded.evaluate(cases).item_rows, expected.item_rows)
        assert loaded.dataset_name == dataset.name


@pytest.mark.parametrize("train", ["rows", "all", "none"])
def test_adapters_are_merged_when_it_is_saved(dataset, index, tmp_path, train):
    made, split = make(dataset, index, prompt={"max_length": 96}), dataset.split()
    start = made.model.get_input_embeddings().weight.detach().clone()
    lora = LoraConfig(r=4, target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM")
    lora = with_index_rows(lora, made.model, made.tokenizer, train)
    trainer = LCRecTrainer(made, config(tmp_path, learning_rate=1e-2), split=split, peft_config=lora)
    trainer.train()
    made.save_pretrained(tmp_path / "saved")
    loaded = AutoRecommender.from_pretrained(tmp_path / "saved")
    names = [name for name, _ in loaded.model.named_parameters()]
    assert not any("lora" in name or "base_layer" in name for name in names)
    histories = [np.array([1, 2, 3]), np.array([7])]
    mine, theirs = (each.score(histories, [np.arange(24)] * 2) for each in (made, loaded))
    for one, other in zip(mine, theirs, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-4)
    moved = (loaded.model.get_input_embeddings().weight != start).any(dim=1).nonzero().flatten().tolist()
    rows = sorted(int(i) for ids in made.tokenizer.level_token_ids for i in ids)
    assert moved == {"rows": rows, "none": [], "all": moved}[train] and (train == "none" or set(rows) <= set(moved))


def test_only_known_ways_of_training_index_rows(model, tokenizer):
    with pytest.raises(ValueError, match="train must be one of"):
        with_index_rows(LoraConfig(), model, tokenizer, "some")
