"""The first stage trains the rows of index tokens alone; what comes after it trains everything, also when resumed."""

import logging
from copy import deepcopy

import numpy as np
import pytest
import torch
from peft import LoraConfig
from transformers import LlamaConfig, LlamaForCausalLM, TrainerCallback

from hf_llmrec.methods.lcrec.adapters import with_index_rows
from hf_llmrec.methods.lcrec.index_embeddings import initialize_index_embeddings
from hf_llmrec.methods.lcrec.prompt import LCRecPrompt
from hf_llmrec.methods.lcrec.recommender import LCRecRecommender
from hf_llmrec.methods.lcrec.trainer import LCRecTrainer
from hf_llmrec.methods.lcrec.trainer_config import LCRecTrainingConfig

SIZES = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
WARMUP = 3


def make(tokenizer, tied=True):
    torch.manual_seed(0)
    model = LlamaForCausalLM(LlamaConfig(vocab_size=len(tokenizer) + 3, tie_word_embeddings=tied, **SIZES))
    initialize_index_embeddings(model, tokenizer)
    return model


def trainer_for(model, tokenizer, dataset, folder, train=None, callbacks=None, **changes):
    values = dict(
        output_dir=str(folder),
        max_steps=8,
        learning_rate=1e-2,
        lr_scheduler_type="linear",
        weight_decay=0.1,
        warmup_rows_steps=WARMUP,
        tokens_per_batch=300,
        max_length=96,
        logging_steps=1,
        save_strategy="no",
        eval_strategy="no",
        eval_users=5,
        memory=False,
        learn_repeat_bias=False,
        report_to="none",
        use_cpu=True,
        disable_tqdm=True,
        task_weights={"seq": 1.0, "mut": 0.5},
    )
    args = LCRecTrainingConfig(**{**values, **changes})
    recommender = LCRecRecommender(model, tokenizer, LCRecPrompt())
    adapters = None
    if train is not None:
        adapters = LoraConfig(r=4, target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM")
        adapters = with_index_rows(adapters, model, tokenizer, train)
    return LCRecTrainer(recommender, args, split=dataset.split(), peft_config=adapters, callbacks=callbacks)


class Watch(TrainerCallback):
    """The trained parameters after every step, and the learning rate of the step."""

    def __init__(self):
        self.after, self.rates = [], []

    def on_train_begin(self, args, state, control, model, **kwargs):
        self.after.append(self.of(model))

    def on_pre_optimizer_step(self, args, state, control, optimizer, **kwargs):
        self.rates.append(optimizer.param_groups[0]["lr"])

    def on_step_end(self, args, state, control, model, **kwargs):
        self.after.append(self.of(model))

    @staticmethod
    def of(model):
        return {name: p.detach().clone() for name, p in model.named_parameters() if p.requires_grad}


def moved(before, after):
    """Names of parameters that differ, with the rows in which matrices do."""
    return {
        name: (value != before[name]).flatten(1).any(1).nonzero().flatten().tolist() if value.dim() > 1 else [0]
        for name, value in after.items()
        if not torch.equal(value, before[name])
    }


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("train", [None, "rows", "all"])
@pytest.mark.parametrize("accumulation", [1, 2])
def test_only_index_rows_move_first(dataset, tokenizer, tmp_path, train, tied, accumulation):
    watch, indices = Watch(), sorted(int(i) for ids in tokenizer.level_token_ids for i in ids)
    options = {"callbacks": [watch], "gradient_accumulation_steps": accumulation}
    trainer_for(make(tokenizer, tied), tokenizer, dataset, tmp_path, train, **options).train()
    first = moved(watch.after[0], watch.after[WARMUP])
    kinds = {name.removeprefix("base_model.model.") for name in first}
    suffix = {None: "weight", "rows": "token_adapter.trainable_tokens_delta.default"}.get(
        train, "modules_to_save.default.weight"
    )
    expected = {f"model.embed_tokens.{suffix}"} | (set() if tied else {f"lm_head.{suffix}"})
    assert kinds == expected
    for rows in first.values():
        assert rows == (list(range(len(indices))) if train == "rows" else indices)
    for number in range(WARMUP):  # in every step of the stage
        assert set(moved(watch.after[number], watch.after[number + 1])) <= set(first)
    later = moved(watch.after[WARMUP], watch.after[-1])
    assert set(later) == set(watch.after[0])  # every parameter
    if train is None:
        # Text rows that the rows of the training contain move, too.
        assert len(later["model.embed_tokens.weight"]) > len(indices)


def test_it_is_logged_and_has_its_own_rate(dataset, tokenizer, tmp_path, caplog):
    watch = Watch()
    trainer = trainer_for(make(tokenizer), tokenizer, dataset, tmp_path, callbacks=[watch], warmup_steps=2)
    with caplog.at_level(logging.INFO, logger="hf_llmrec"):
        trainer.train()
    count = sum(len(ids) for ids in tokenizer.level_token_ids)
    assert f"steps 1 to 3 train the rows of {count} index tokens alone ({count * 32:,} parameters of " in caplog.text
    assert "step 4: all " in caplog.text
    logged = [entry["trained_parameters"] for entry in trainer.state.log_history if "loss" in entry]
    total = sum(p.numel() for p in trainer.model.parameters())
    assert logged == [count * 32] * WARMUP + [total] * 5
    # Two steps of warm-up in each stage, then constant, or linear from the peak to zero in 5 steps.
    expected = [0.0, 0.005, 0.01, 0.0, 0.005, 0.01, 0.01 * 2 / 3, 0.01 / 3]
    np.testing.assert_allclose(watch.rates, expected, atol=1e-12)


@pytest.mark.parametrize("warmup_steps, stage", [(0, [0.01, 0.01, 0.01]), (5, [0.0, 0.005, 0.01])])
def test_the_rate_is_reached_within_the_stage(dataset, tokenizer, tmp_path, warmup_steps, stage):
    watch = Watch()
    trainer = trainer_for(
        make(tokenizer), tokenizer, dataset, tmp_path, callbacks=[watch], warmup_steps=warmup_steps, max_steps=4
    )
    trainer.train()
    np.testing.assert_allclose(watch.rates[:WARMUP], stage, atol=1e-12)


def test_the_second_stage_starts_like_a_training_of_its_own(dataset, tokenizer, tmp_path):
    """Adam's first step moves every number by the learning rate, whatever happened before it."""
    watch = Watch()
    options = {"callbacks": [watch], "weight_decay": 0.0, "lr_scheduler_type": "constant", "adam_epsilon": 1e-20}
    trainer_for(make(tokenizer), tokenizer, dataset, tmp_path, **options).train()
    name = "model.embed_tokens.weight"
    change = (watch.after[WARMUP + 1][name] - watch.after[WARMUP][name]).abs()
    torch.testing.assert_close(change[change > 0], torch.full_like(change[change > 0], 1e-2), rtol=1e-3, atol=1e-5)


class Kill(TrainerCallback):
    def __init__(self, step):
        self.step = step

    def on_step_end(self, args, state, control, **kwargs):
        if state.global_step == self.step:
            raise KeyboardInterrupt


@pytest.mark.parametrize("train", [None, "rows"])
@pytest.mark.parametrize("killed_after", [2, 4, 7])
def test_killed_in_either_stage_and_resumed(dataset, tokenizer, tmp_path, train, killed_after):
    """From checkpoints in the first stage, at its end, and in the second one."""
    base, options = make(tokenizer), {"save_strategy": "steps", "save_steps": 1, "warmup_rows_steps": 3}
    options |= {"embedding_dropout": 0.1, "lr_scheduler_type": "cosine", "save_total_limit": 1}

    def run(folder, resume=False, callbacks=None):
        trainer = trainer_for(deepcopy(base), tokenizer, dataset, tmp_path / folder, train, callbacks, **options)
        trainer.train(resume_from_checkpoint=resume)
        return [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]

    whole = run("whole")
    with pytest.raises(KeyboardInterrupt):
        run("killed", callbacks=[Kill(killed_after)])
    assert (tmp_path / f"killed/checkpoint-{killed_after - 1}").is_dir()
    np.testing.assert_allclose(run("killed", resume=True), whole, rtol=0, atol=1e-6)


def test_what_is_refused(dataset, tokenizer, tmp_path):
    def refused(words, train=None, **changes):
        with pytest.raises(ValueError, match=words):
            trainer_for(make(tokenizer), tokenizer, dataset, tmp_path, train, **changes).train()

    refused("warmup_rows_steps must not be negative, got -1", warmup_rows_steps=-1)
    refused("warmup_rows_steps: the rows of the index tokens are not trained", "none")
    refused("warmup_rows_steps 8: the training has 8 steps", warmup_rows_steps=8)
    refused("warmup_rows_steps: optimizer apollo", optim="apollo_adamw", optim_target_modules=["q_proj"])


def test_sharded_gradients_are_refused(dataset, tokenizer, tmp_path, monkeypatch):
    monkeypatch.setattr(LCRecTrainer, "_sharding", "zero2")
    with pytest.raises(ValueError, match="warmup_rows_steps: gradients are sharded by zero2"):
        trainer_for(make(tokenizer), tokenizer, dataset, tmp_path)
