"""One-process training: every parameter moves, LoRA variants, and a killed run that resumes to the same losses."""

from copy import deepcopy

import numpy as np
import pytest
import torch
from peft import LoraConfig
from transformers import LlamaConfig, LlamaForCausalLM, TrainerCallback

from hf_llmrec.methods.lcrec.index_embeddings import initialize_index_embeddings
from hf_llmrec.methods.lcrec.prompt import LCRecPrompt
from hf_llmrec.methods.lcrec.recommender import LCRecRecommender
from hf_llmrec.methods.lcrec.rows import LCRecEvalDataset
from hf_llmrec.methods.lcrec.trainer import LCRecTrainer
from hf_llmrec.methods.lcrec.trainer_config import LCRecTrainingConfig
from hf_llmrec.training.backbones import build_backbone
from hf_llmrec.training.training_dropout import add_training_dropout


def config(folder, **changes):
    values = dict(
        output_dir=str(folder),
        max_steps=8,
        learning_rate=1e-2,
        tokens_per_batch=300,
        max_length=96,
        logging_steps=1,
        save_strategy="no",
        report_to="none",
        use_cpu=True,
        disable_tqdm=True,
        seed=1,
    )
    return LCRecTrainingConfig(**{**values, **changes})


def trainer_for(model, dataset, tokenizer, args, weights=None, **kwargs):
    split, recommender = dataset.split(), LCRecRecommender(model, tokenizer, LCRecPrompt())
    args.task_weights = weights or {"seq": 1.0}
    rows = LCRecEvalDataset(tokenizer, recommender.prompt, split.validation.sample(20))
    trainer = LCRecTrainer(recommender, args, split=split, eval_dataset=rows, **kwargs)
    trainer.eval_cases = None  # nobody is ranked
    return trainer


def losses(trainer):
    return [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]


@pytest.mark.parametrize("loss", ["level", "vocab", "children"])
def test_every_parameter_changes_and_the_loss_falls(model, dataset, tokenizer, tmp_path, loss):
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    args = config(tmp_path, index_loss=loss, max_steps=30)
    trainer = trainer_for(model, dataset, tokenizer, args, {"seq": 1.0, "mut": 0.5})
    trainer.train()
    unchanged = [name for name, parameter in model.named_parameters() if torch.equal(parameter, before[name])]
    assert not unchanged
    assert losses(trainer)[-1] < 0.8 * losses(trainer)[0]


def test_the_logged_metrics_name_index_and_text(model, dataset, tokenizer, tmp_path):
    trainer = trainer_for(model, dataset, tokenizer, config(tmp_path), {"seq": 1.0, "mut": 1.0})
    trainer.train()
    logged = set().union(*trainer.state.log_history)
    assert {"index_loss", "text_loss", "code_accuracy", "num_tokens"} <= logged


def test_ranking_metrics_choose_the_best_checkpoint(model, dataset, tokenizer, tmp_path):
    scores = iter([0.2, 0.9, 0.1, 0.5])
    args = config(
        tmp_path,
        eval_strategy="steps",
        eval_steps=2,
        save_strategy="steps",
        save_steps=2,
        save_total_limit=4,
        load_best_model_at_end=True,
        metric_for_best_model="ndcg@10",
        greater_is_better=True,
    )
    trainer = trainer_for(model, dataset, tokenizer, args)
    trainer.rank = lambda: {"ndcg@10": next(scores)}
    trainer.train()
    assert trainer.state.best_metric == 0.9 and trainer.state.best_model_checkpoint.endswith("checkpoint-4")
    assert any("eval_index_loss" in entry for entry in trainer.state.log_history)


class _Kill(TrainerCallback):
    def on_step_end(self, args, state, control, **kwargs):
        if state.global_step == 5:
            raise KeyboardInterrupt


@pytest.mark.parametrize("accumulation", [1, 2])
def test_killed_and_resumed_gives_the_same_losses(model, dataset, tokenizer, tmp_path, accumulation):
    """Killed within an epoch: data order, augmentation, dropout and optimizer go on as if nothing happened."""
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    options = dict(
        embedding_dropout=0.1,
        gradient_accumulation_steps=accumulation,
        save_strategy="steps",
        save_steps=4,
        num_train_epochs=4,
        max_steps=-1,
    )

    def fresh(folder, **kwargs):
        model.load_state_dict(state)
        args = config(folder, task_weights={"seq": 1.0, "mut": 1.0}, item_dropout=0.3, **options)
        recommender = LCRecRecommender(deepcopy(model), tokenizer, LCRecPrompt())
        return LCRecTrainer(recommender, args, split=dataset.split(), **kwargs)

    whole = fresh(tmp_path / "whole")
    whole.train()
    killed = fresh(tmp_path / "killed", callbacks=[_Kill()])
    with pytest.raises(KeyboardInterrupt):
        killed.train()
    resumed = fresh(tmp_path / "killed")
    resumed.train(resume_from_checkpoint=True)
    assert len(losses(whole)) > 8
    np.testing.assert_allclose(losses(resumed)[4:], losses(whole)[4:], rtol=0, atol=1e-6)


@pytest.mark.parametrize("rows", ["rows", "none"])
def test_lora_with_and_without_trainable_index_rows(model, dataset, tokenizer, tmp_path, rows):
    indices = sorted(int(i) for ids in tokenizer.level_token_ids for i in ids)
    lora = LoraConfig(r=4, target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM")
    if rows == "rows":
        lora.trainable_token_indices = {"embed_tokens": indices}
    embeddings = model.get_input_embeddings().weight.detach().clone()
    trainer = trainer_for(model, dataset, tokenizer, config(tmp_path, max_steps=20), peft_config=lora)
    trainable = sum(p.numel() for p in trainer.model.parameters() if p.requires_grad)
    trainer.train()
    merged = trainer.model.merge_and_unload()
    moved = (merged.get_input_embeddings().weight != embeddings).any(dim=1).nonzero().flatten().tolist()
    assert moved == (indices if rows == "rows" else [])
    assert trainable < 0.3 * sum(p.numel() for p in merged.parameters())
    # Trained index rows are what the loss is computed with: it falls further than with attention adapters alone.
    assert losses(trainer)[-1] < losses(trainer)[0]


def test_dropout_acts_in_training_only(model):
    input_ids = torch.tensor([[1, 2, 3, 4]])
    plain = model.eval()(input_ids=input_ids).logits
    handles = add_training_dropout(model, 0.5, 0.5)
    assert len(handles) == 1 + 2 * model.config.num_hidden_layers
    assert torch.equal(model.eval()(input_ids=input_ids).logits, plain)
    assert not torch.equal(model.train()(input_ids=input_ids).logits, plain)


def test_level_weights_change_what_is_trained_but_not_validation_losses(model, dataset, tokenizer, tmp_path):
    state, runs = {name: tensor.clone() for name, tensor in model.state_dict().items()}, {}
    for weights in (None, [1.0, 1.0, 1.0], [2.0, 0.5, 0.5]):
        model.load_state_dict(state)
        args = config(tmp_path, max_steps=2, level_loss_weights=weights, memory=False)
        trainer = trainer_for(model, dataset, tokenizer, args)
        before = trainer.evaluate()["eval_loss"]
        trainer.train()
        first = next(entry["index_loss"] for entry in trainer.state.log_history if "index_loss" in entry)
        runs[str(weights)] = before, losses(trainer), first
    plain, ones, weighted = runs.values()
    assert plain[0] == ones[0] == weighted[0]
    assert plain[1] == pytest.approx(ones[1], rel=1e-5) and abs(plain[1][0] - weighted[1][0]) > 1e-3
    assert plain[2] == pytest.approx(weighted[2], rel=1e-5)  # of the first step, before the weights matter


def test_children_loss_asks_for_the_same_normalisation_in_the_search(model, dataset, tokenizer, tmp_path, caplog):
    recommender = LCRecRecommender(model, tokenizer, LCRecPrompt(), normalize="children")
    args = config(tmp_path, index_loss="children")
    LCRecTrainer(recommender, args, split=dataset.split())
    assert "--normalize children" not in caplog.text
    trainer_for(model, dataset, tokenizer, config(tmp_path, index_loss="children"))
    assert "set --normalize children" in caplog.text


def test_attention_dropout_acts_in_training_only(dataset, tokenizer):
    torch.manual_seed(0)
    base = build_backbone("tiny", tokenizer, overrides={"attention_dropout": 0.5})
    ids = torch.arange(12).unsqueeze(0)
    first, second = (base.train()(input_ids=ids).logits for _ in range(2))
    assert not torch.equal(first, second)
    first, second = (base.eval()(input_ids=ids).logits for _ in range(2))
    assert torch.equal(first, second)


def test_neighbors_are_a_task_of_the_mixture(model, dataset, tokenizer, tmp_path):
    weights = {"seq": 1.0, "neighbors": 0.5}
    trainer = trainer_for(model, dataset, tokenizer, config(tmp_path, max_steps=30), weights)
    trainer.train()
    assert trainer.report()["task_rows"] == {"seq_packed": 60, "neighbors": 12}
    assert losses(trainer)[-1] < 0.8 * losses(trainer)[0]


@pytest.mark.parametrize(
    "option",
    [
        {"item_dropout": 1.0},
        {"embedding_dropout": -0.1},
        {"max_length": 0},
        {"level_loss_weights": [1.0, -1.0, 3.0]},
        {"level_loss_weights": [0.0, 0.0, 0.0]},
        {"level_loss_weights": []},
    ],
)
def test_bad_options(tmp_path, option):
    with pytest.raises(ValueError, match=next(iter(option))):
        config(tmp_path, **option)


def test_index_rows_of_untied_matrices_train_on_both_sides(dataset, tokenizer, tmp_path):
    """Most large models have an output matrix of their own: its index rows must learn too, and merge."""
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
    model = LlamaForCausalLM(LlamaConfig(vocab_size=len(tokenizer), tie_word_embeddings=False, **sizes))
    initialize_index_embeddings(model, tokenizer)
    indices = sorted(int(i) for ids in tokenizer.level_token_ids for i in ids)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    lora = LoraConfig(r=4, target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM")
    lora.trainable_token_indices = {"embed_tokens": indices, "lm_head": indices}
    trainer = trainer_for(model, dataset, tokenizer, config(tmp_path, max_steps=20), peft_config=lora)
    trainer.train()
    adapted = trainer.evaluate()["eval_loss"]
    merged = trainer.model.merge_and_unload()
    for name in ("model.embed_tokens.weight", "lm_head.weight"):
        moved = (merged.state_dict()[name] != before[name]).any(dim=1).nonzero().flatten().tolist()
        assert moved == indices, name
    again = trainer_for(merged, dataset, tokenizer, config(tmp_path / "again"))
    assert again.evaluate()["eval_loss"] == pytest.approx(adapted, rel=1e-5)
    assert losses(trainer)[-1] < losses(trainer)[0]
