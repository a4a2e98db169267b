"""A training that diverges ends with the step's number, and what was saved before stays good."""

import pytest
import torch
from safetensors.torch import load_file
from transformers import Trainer

from hf_llmrec.methods.lightgcn.recommender import LightGCNRecommender
from hf_llmrec.methods.lightgcn.trainer import LightGCNTrainer
from hf_llmrec.methods.lightgcn.trainer_config import LightGCNTrainingConfig
from hf_llmrec.methods.sasrec.recommender import SASRecRecommender
from hf_llmrec.methods.sasrec.trainer import SASRecTrainer
from hf_llmrec.methods.sasrec.trainer_config import SASRecTrainingConfig
from hf_llmrec.training.divergence import DivergenceGuard

from ..methods.lcrec.test_trainer import config, trainer_for

COMMON = {"max_steps": 8, "logging_steps": 100, "save_strategy": "steps", "save_steps": 2, "save_total_limit": 1}
BASELINE = {"load_best_model_at_end": False, "eval_strategy": "no", "report_to": "none", "use_cpu": True, "seed": 1}
BASELINE |= {"disable_tqdm": True}


def lcrec(request, folder):
    fixtures = [request.getfixturevalue(name) for name in ("model", "dataset", "tokenizer")]
    return trainer_for(*fixtures, config(folder, **COMMON))


def galrec(request, folder):
    return request.getfixturevalue("galrec")(output_dir=str(folder), **COMMON)


def sasrec(request, folder):
    dataset = request.getfixturevalue("dataset")
    recommender = SASRecRecommender.from_dataset(dataset, hidden_size=16, max_position_embeddings=6)
    args = SASRecTrainingConfig(output_dir=str(folder), item_dropout=0.0, **{**BASELINE, **COMMON})
    return SASRecTrainer(recommender, args, split=dataset.split())


def lightgcn(request, folder):
    dataset = request.getfixturevalue("dataset")
    args = LightGCNTrainingConfig(output_dir=str(folder), **{**BASELINE, **COMMON})
    return LightGCNTrainer(LightGCNRecommender.from_dataset(dataset, embedding_size=8), args, split=dataset.split())


def weights(folder):
    found = [load_file(file) for file in folder.rglob("model.safetensors")]
    return [tensor for tensors in found for tensor in tensors.values() if tensor.is_floating_point()]


@pytest.mark.parametrize("make", [lcrec, galrec, sasrec, lightgcn], ids=lambda make: make.__name__)
@pytest.mark.parametrize("kind", ["loss", "weights"])
def test_it_ends_and_keeps_what_was_good(make, kind, request, monkeypatch, tmp_path):
    """A loss of NaN at step 6, or weights that its update makes infinite though all losses are finite."""
    trainer = make(request, tmp_path / "out")
    original = Trainer.training_step

    def training_step(self, model, inputs, *args, **kwargs):
        loss = original(self, model, inputs, *args, **kwargs)
        if self.state.global_step == 5 and kind == "loss":
            return loss * torch.nan
        if self.state.global_step == 5:
            next(p for p in model.parameters() if p.grad is not None).grad.fill_(torch.inf)
        return loss

    monkeypatch.setattr(Trainer, "training_step", training_step)
    trainer.args.max_grad_norm = 0.0  # clipping leaves nothing infinite
    found = "the loss of step 6 is nan" if kind == "loss" else "after step 6 some weights are not finite"
    with pytest.raises(ValueError, match=rf"diverged: {found}.*checkpoint-4.*--learning_rate"):
        trainer.train()
    assert [path.name for path in (tmp_path / "out").glob("checkpoint-*")] == ["checkpoint-4"]
    kept = weights(tmp_path / "out")
    assert kept and all(tensor.isfinite().all() for tensor in kept)
    assert not any("loss" in entry for entry in trainer.state.log_history)


def test_half_precision_may_overflow_for_a_while():
    guard = DivergenceGuard(lambda tensor: tensor)
    for step in range(1, 20):
        guard.observe(torch.tensor(torch.inf), step, fp16=True)
    guard.observe(torch.tensor(1.0), 20, fp16=True)
    assert guard._step == -1
    for step in range(21, 60):
        guard.observe(torch.tensor(torch.inf), step, fp16=True)
    assert guard._step == 45 and guard._loss == torch.inf
