"""SASRec training: it learns a ring of items, stops early, and resumes to the same losses."""

import numpy as np
import pytest
import torch
from transformers import TrainerCallback

from hf_llmrec.methods.sasrec.recommender import SASRecRecommender
from hf_llmrec.methods.sasrec.trainer import SASRecTrainer
from hf_llmrec.methods.sasrec.trainer_config import SASRecTrainingConfig
from hf_llmrec.training.budget import fill_row_budget
from hf_llmrec.training.row_config import RowTrainingConfig


@pytest.fixture(scope="module")
def split(dataset):
    return dataset.split()


def trainer_for(dataset, split, folder, model_options=None, callbacks=None, **options):
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "num_negatives": 64, **(model_options or {})}
    values = {"max_steps": 200, "tokens_per_batch": 100, "learning_rate": 1e-2, "warmup_steps": 5, "use_cpu": True}
    args = SASRecTrainingConfig(output_dir=str(folder), disable_tqdm=True, **{**values, **options})
    recommender = SASRecRecommender.from_dataset(dataset, **sizes)
    return SASRecTrainer(recommender, args, split=split, callbacks=callbacks)


def losses(trainer):
    return [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]


@pytest.mark.parametrize("loss", ["full_softmax", "sampled_softmax", "in_batch"])
def test_it_learns_the_ring(dataset, split, tmp_path, loss):
    options = {"loss": "sampled_softmax", "negatives": loss} if loss == "in_batch" else {"loss": loss}
    trainer = trainer_for(dataset, split, tmp_path, options)
    before = {name: value.clone() for name, value in trainer.model.named_parameters()}
    trainer.train()
    assert not [name for name, value in trainer.model.named_parameters() if torch.equal(value, before[name])]
    assert trainer.recommender.evaluate(split.test)["hit_rate@1"] > 0.8
    assert trainer.model.item_counts.sum() == trainer.train_dataset.lengths(0).sum()


def test_it_stops_when_validation_gets_no_better_and_keeps_the_best(dataset, split, tmp_path):
    scores = iter([0.1, 0.5, 0.4, 0.3, 0.9, 0.9])
    kept = []

    def metrics():
        kept.append(trainer.model.item_embeddings.weight.detach().clone())
        return {"ndcg@10": next(scores)}

    trainer = trainer_for(dataset, split, tmp_path, patience=2, eval_steps=5, save_steps=5, max_steps=60)
    trainer.rank = metrics
    trainer.train()
    assert trainer.state.global_step == 20 and len(kept) == 4
    assert torch.equal(trainer.model.item_embeddings.weight, kept[1])


def test_killed_and_resumed_gives_the_same_losses(dataset, split, tmp_path):
    options = {"max_steps": 40, "save_steps": 10, "eval_steps": 10, "logging_steps": 1, "patience": 0}

    class Kill(TrainerCallback):
        def on_step_begin(self, args, state, control, **kwargs):
            if state.global_step == 25:  # in the middle of an epoch, after the checkpoint of step 20
                raise KeyboardInterrupt

    whole = trainer_for(dataset, split, tmp_path / "whole", **options)
    whole.train()
    with pytest.raises(KeyboardInterrupt):
        trainer_for(dataset, split, tmp_path / "killed", callbacks=[Kill()], **options).train()
    resumed = trainer_for(dataset, split, tmp_path / "killed", **options)
    resumed.train(resume_from_checkpoint=True)
    np.testing.assert_allclose(losses(resumed)[20:], losses(whole)[20:], rtol=0, atol=1e-6)


def test_options_of_the_loader_are_honoured(dataset, split, tmp_path):
    """Workers that outlive an epoch build the rows of the next one, so that losses are those without workers."""
    options = {"max_steps": 24, "logging_steps": 1, "eval_strategy": "no", "save_strategy": "no"}
    options |= {"load_best_model_at_end": False, "item_dropout": 0.3}
    workers = {"dataloader_num_workers": 1, "dataloader_persistent_workers": True, "dataloader_prefetch_factor": 3}
    found = []
    # Without draws of the model: PyTorch draws a seed for the workers of every epoch, but once for those that stay.
    plain = {"hidden_dropout": 0.0, "loss": "full_softmax"}
    for more in ({}, {**workers, "dataloader_multiprocessing_context": "fork", "dataloader_in_order": False}):
        trainer = trainer_for(dataset, split, tmp_path, plain, **options, **more)
        trainer.train()
        assert trainer.state.epoch > 2
        found.append(losses(trainer))
    np.testing.assert_allclose(found[1], found[0], rtol=0, atol=1e-6)
    loader = trainer.get_train_dataloader()
    assert loader.num_workers == 1 and loader.persistent_workers and loader.prefetch_factor == 3
    assert loader.multiprocessing_context.get_start_method() == "fork" and not loader.in_order


def test_sizes_follow_from_the_data(tmp_path):
    args = SASRecTrainingConfig(output_dir=str(tmp_path), use_cpu=True)
    assert fill_row_budget(args, 150_000) == {"tokens_per_batch": 2000, "num_train_epochs": 67.0}
    args = SASRecTrainingConfig(output_dir=str(tmp_path), use_cpu=True, num_train_epochs=3, tokens_per_batch=70)
    assert fill_row_budget(args, 150_000) == {} and args.num_train_epochs == 3
    args = RowTrainingConfig(output_dir=str(tmp_path), use_cpu=True)
    assert fill_row_budget(args, 10**8) == {"tokens_per_batch": 8192, "num_train_epochs": 20.0}


@pytest.mark.parametrize(
    "option", [{"item_dropout": 1.0}, {"tokens_per_batch": 0}, {"eval_users": -1}, {"patience": -1}]
)
def test_bad_options(tmp_path, option):
    with pytest.raises(ValueError, match=next(iter(option))):
        SASRecTrainingConfig(output_dir=str(tmp_path), use_cpu=True, **option)
