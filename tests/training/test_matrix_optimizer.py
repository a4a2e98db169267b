"""Muon for the matrices of layers beside AdamW: which parameters, its steps, schedules, clipping and resumed runs."""

import shutil
from copy import deepcopy

import numpy as np
import pytest
import torch
from accelerate import DeepSpeedPlugin
from peft import IA3Config, LoraConfig, get_peft_model
from torch import nn
from torch.nn.utils import clip_grad_norm_
from transformers import get_scheduler

from hf_llmrec.methods.lcrec.prompt import LCRecPrompt
from hf_llmrec.methods.lcrec.recommender import LCRecRecommender
from hf_llmrec.methods.lcrec.trainer import LCRecTrainer
from hf_llmrec.methods.lcrec.trainer_config import LCRecTrainingConfig
from hf_llmrec.methods.lightgcn.recommender import LightGCNRecommender
from hf_llmrec.methods.lightgcn.trainer import LightGCNTrainer
from hf_llmrec.methods.lightgcn.trainer_config import LightGCNTrainingConfig
from hf_llmrec.methods.sasrec.recommender import SASRecRecommender
from hf_llmrec.methods.sasrec.trainer import SASRecTrainer
from hf_llmrec.methods.sasrec.trainer_config import SASRecTrainingConfig
from hf_llmrec.training.matrix_optimizer import JointOptimizer, layer_matrices, muon_and_adamw, orthogonalize

pytestmark = pytest.mark.skipif(not hasattr(torch.optim, "Muon"), reason="torch.optim.Muon came with torch 2.9")
ADAMW = {"lr": 0.01, "betas": (0.9, 0.98), "eps": 1e-8}
COMMON = dict(
    max_steps=8,
    save_strategy="steps",
    save_steps=4,
    save_total_limit=9,
    logging_steps=1,
    tokens_per_batch=200,
    warmup_steps=2,
    eval_strategy="no",
    use_cpu=True,
    disable_tqdm=True,
    report_to="none",
    weight_decay=0.1,
    seed=1,
    memory=False,
    matrix_optimizer="muon",
)
MATRICES = {
    *(f"self_attn.{name}_proj" for name in "qkvo"),
    *(f"mlp.{name}_proj" for name in ("gate", "up", "down")),
}


def losses(trainer):
    return {entry["step"]: entry["loss"] for entry in trainer.state.log_history if "loss" in entry}


def lcrec_trainer(model, dataset, tokenizer, folder, **options):
    args = LCRecTrainingConfig(str(folder), **{**COMMON, "max_length": 96, "task_weights": {"seq": 1.0}, **options})
    trainer = LCRecTrainer(LCRecRecommender(model, tokenizer, LCRecPrompt()), args, split=dataset.split())
    trainer.eval_cases = None  # nobody is ranked
    return trainer


def sasrec_trainer(dataset, folder, **options):
    torch.manual_seed(0)
    options = {**COMMON, "load_best_model_at_end": False, **options}
    options.pop("memory")
    recommender = SASRecRecommender.from_dataset(dataset, hidden_size=16, max_position_embeddings=6)
    return SASRecTrainer(recommender, SASRecTrainingConfig(str(folder), **options), split=dataset.split())


def test_matrices_are_those_of_the_layers(model, dataset, tmp_path):
    assert {name.split(".", 3)[3].removesuffix(".weight") for name in layer_matrices(model)} == MATRICES
    assert len(layer_matrices(model)) == 2 * len(MATRICES)
    sasrec = SASRecRecommender.from_dataset(dataset, hidden_size=16).model
    assert {name.split(".")[2] for name in layer_matrices(sasrec)} == {"qkv", "attention_output", "up", "down"}


def test_heads_projections_and_tied_weights_are_no_matrices_of_layers():
    untied = nn.ModuleDict({"layers": nn.ModuleList([nn.Sequential(nn.Linear(2, 2))]), "head": nn.Linear(2, 3)})
    assert layer_matrices(untied) == ["layers.0.0.weight"]
    inputs = nn.ModuleList([nn.Linear(2, 2)])
    assert layer_matrices(inputs) == []
    block = nn.Sequential(nn.Linear(4, 5, bias=False), nn.Embedding(5, 4))
    block[0].weight = block[1].weight
    assert layer_matrices(nn.ModuleList([block])) == []


def test_adapters_have_matrices_unless_they_are_vectors(model):
    lora = get_peft_model(model, LoraConfig(r=2, target_modules=["q_proj"], task_type="CAUSAL_LM"))
    assert sorted(name.split(".")[-3] for name in layer_matrices(lora)) == ["lora_A", "lora_A", "lora_B", "lora_B"]

    vectors = IA3Config(target_modules=["k_proj"], feedforward_modules=[], task_type="CAUSAL_LM")
    adapted = get_peft_model(lora.unload(), vectors)
    assert any(parameter.requires_grad for parameter in adapted.parameters())
    with pytest.raises(ValueError, match="matrix_optimizer muon: the layers of .* have no trained matrices"):
        muon_and_adamw(adapted, [], weight_decay=0.0, matrix_learning_rate=0.01, on_cpu=True, adamw=ADAMW)


def test_every_trained_parameter_has_one_optimizer_and_the_right_decay(model, dataset, tokenizer, tmp_path):
    trainer = lcrec_trainer(model, dataset, tokenizer, tmp_path)
    optimizer = trainer.create_optimizer()
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    found = {
        names[id(p)]: (isinstance(each, torch.optim.Muon), group["weight_decay"])
        for each in optimizer.optimizers
        for group in each.param_groups
        for p in group["params"]
    }
    matrices = set(layer_matrices(model))
    assert set(found) == {name for name, _ in model.named_parameters()}
    for name, (is_muon, decay) in found.items():
        assert is_muon == (name in matrices), name
        assert decay == (0.0 if "norm" in name else 0.1), name


def test_adamw_alone_decays_matrices_and_embeddings_but_no_norm(model, dataset, tokenizer, tmp_path):
    groups = lcrec_trainer(model, dataset, tokenizer, tmp_path, matrix_optimizer="adamw").create_optimizer()
    assert isinstance(groups, torch.optim.AdamW)
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    decayed, others = ([names[id(p)] for p in group["params"]] for group in groups.param_groups)
    assert set(decayed) == {*layer_matrices(model), "model.embed_tokens.weight"}
    assert others and all("norm" in name for name in others)


def test_sasrec_decays_neither_norms_nor_biases(dataset, tmp_path):
    trainer = sasrec_trainer(dataset, tmp_path, matrix_optimizer="adamw")
    decayed = set(trainer.get_decay_parameter_names(trainer.model))
    for name, parameter in trainer.model.named_parameters():
        assert (name in decayed) == (parameter.dim() == 2), name


def test_singular_values_are_near_one():
    generator = torch.Generator().manual_seed(0)
    for shape in [(8, 8), (6, 20), (20, 6)]:
        matrix = torch.randn(shape, generator=generator)
        values = torch.linalg.svdvals(orthogonalize(matrix))
        assert values.min() > 0.5 and values.max() < 1.3
        left, _, right = torch.linalg.svd(matrix, full_matrices=False)
        inner = left.T @ orthogonalize(matrix) @ right.T  # the singular vectors stay
        torch.testing.assert_close(inner, torch.diag(torch.diagonal(inner)), atol=1e-4, rtol=0)


@pytest.mark.parametrize("shape", [(12, 12), (8, 24), (24, 8)])
def test_steps_are_those_of_torch_up_to_bf16(shape):
    """Several steps with decay: the direction of torch's bf16 iteration, and AdamW's root mean square of 0.2 x lr."""
    ends = []
    for on_cpu in (True, False):
        torch.manual_seed(0)
        block = nn.ModuleList([nn.Sequential(nn.Linear(*reversed(shape), bias=False))])
        weight = block[0][0].weight
        start = weight.detach().clone()
        options = dict(weight_decay=0.1, matrix_learning_rate=0.02, on_cpu=on_cpu, adamw=ADAMW)
        optimizer = muon_and_adamw(block, ["0.0.weight"], **options)
        for _ in range(4):
            weight.grad = torch.randn(shape)
            optimizer.step()
        ends.append(weight.detach() - start)
    cosine = torch.nn.functional.cosine_similarity(ends[0].flatten(), ends[1].flatten(), dim=0)
    assert cosine > 0.999
    assert ends[0].norm() == pytest.approx(ends[1].norm().item(), rel=0.02)


def test_weights_decay_by_the_learning_rate_times_weight_decay():
    block = nn.ModuleList([nn.Sequential(nn.Linear(3, 3, bias=False))])
    weight = block[0][0].weight
    before = weight.detach().clone()
    options = dict(weight_decay=0.5, matrix_learning_rate=0.1, on_cpu=True, adamw=ADAMW)
    optimizer = muon_and_adamw(block, ["0.0.weight"], **options)
    weight.grad = torch.zeros(3, 3)
    optimizer.step()
    torch.testing.assert_close(weight.detach(), before * (1 - 0.1 * 0.5))


@pytest.mark.parametrize("name", ["linear", "cosine", "polynomial", "constant_with_warmup"])
def test_schedules_scale_both_learning_rates(model, name):
    options = dict(weight_decay=0.1, matrix_learning_rate=0.04, on_cpu=True, adamw=ADAMW)
    optimizer = muon_and_adamw(model, [], **options)
    scheduler = get_scheduler(name, optimizer, num_warmup_steps=2, num_training_steps=10)
    seen = []
    for _ in range(8):
        rates = [group["lr"] for each in optimizer.optimizers for group in each.param_groups]
        assert rates == pytest.approx([rates[0]] * 2 + [4 * rates[0]] * 2)
        assert scheduler.get_last_lr()[0] == rates[0]
        seen.append(rates[0])
        optimizer.step()
        scheduler.step()
    assert seen[:3] == pytest.approx([0, 0.005, 0.01])
    assert (seen[-1] < 0.01) == (name != "constant_with_warmup")


def test_a_state_loaded_elsewhere_gives_the_same_steps():
    def make():
        torch.manual_seed(0)
        model = nn.ModuleDict({"a": nn.ModuleList([nn.Sequential(nn.Linear(4, 6), nn.Linear(6, 4))])})
        options = dict(weight_decay=0.1, matrix_learning_rate=0.02, on_cpu=True, adamw={**ADAMW, "fused": True})
        return model, muon_and_adamw(model, ["a.0.0.weight"], **options)

    def step(model, optimizer, number):
        inputs = torch.randn(5, 4, generator=torch.Generator().manual_seed(number))
        model["a"][0](inputs).square().sum().backward()
        clip_grad_norm_(model.parameters(), 0.1)
        optimizer.step()
        optimizer.zero_grad()

    whole, optimizer = make()
    for number in range(3):
        step(whole, optimizer, number)
    half, other = make()
    half.load_state_dict(whole.state_dict())
    other.load_state_dict(deepcopy(optimizer.state_dict()))  # as through a file
    assert all(each.state is other.state for each in other.optimizers)
    for number in range(3, 6):
        step(whole, optimizer, number)
        step(half, other, number)
    for first, second in zip(whole.parameters(), half.parameters(), strict=True):
        assert torch.equal(first, second)


def test_joint_optimizer_needs_no_state_of_its_own():
    first, second = nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(2))
    optimizer = JointOptimizer([torch.optim.AdamW([first], lr=0.1), torch.optim.SGD([second], lr=0.5, momentum=0.9)])

    def closure():
        optimizer.zero_grad()
        loss = (first + 2 * second).sum()
        loss.backward()
        return loss

    assert optimizer.step(closure).item() == 6
    assert second.tolist() == [0, 0] and set(optimizer.state) == {first, second}


@pytest.mark.parametrize("method", ["lcrec", "sasrec"])
def test_a_resumed_run_is_the_same_run(method, model, dataset, tokenizer, tmp_path):
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}

    def make():
        if method == "sasrec":
            return sasrec_trainer(dataset, tmp_path, max_grad_norm=0.5)
        model.load_state_dict(state)
        return lcrec_trainer(model, dataset, tokenizer, tmp_path, max_grad_norm=0.5, lr_scheduler_type="cosine")

    whole = make()
    whole.train()
    expected = losses(whole)
    weights = {name: tensor.clone() for name, tensor in whole.model.state_dict().items()}
    shutil.rmtree(tmp_path / "checkpoint-8")
    resumed = make()
    resumed.train(resume_from_checkpoint=True)
    assert losses(resumed) == expected and len(expected) == 8
    assert all(torch.equal(tensor, weights[name]) for name, tensor in resumed.model.state_dict().items())


def test_muon_trains_and_is_another_run_than_adamw(model, dataset, tokenizer, tmp_path):
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    runs = {}
    for name in ("adamw", "muon"):
        model.load_state_dict(state)
        trainer = lcrec_trainer(
            model, dataset, tokenizer, tmp_path / name, matrix_optimizer=name, max_steps=30, learning_rate=1e-2
        )
        trainer.train()
        runs[name] = np.array(list(losses(trainer).values()))
    assert runs["muon"][0] == runs["adamw"][0]
    assert runs["muon"][-1] < 0.8 * runs["muon"][0] and runs["muon"][-1] != runs["adamw"][-1]


def test_galrec_trains_the_decoders_matrices_by_muon(galrec):
    trainer = galrec(matrix_optimizer="muon")
    names = layer_matrices(trainer.model)
    assert len(names) == len(MATRICES) and all(".layers.0." in name for name in names)
    trainer.train()
    muon = trainer.optimizer.optimizer.optimizers[1]  # inside accelerate's wrapper
    assert isinstance(muon, torch.optim.Muon)
    own = dict(trainer.model.named_parameters())
    assert {id(p) for group in muon.param_groups for p in group["params"]} == {id(own[name]) for name in names}
    # What is left to AdamW: embeddings, heads and vectors, each parameter once.
    adamw = trainer.optimizer.optimizer.optimizers[0]
    others = [id(p) for group in adamw.param_groups for p in group["params"]]
    assert sorted(others) == sorted(id(p) for name, p in own.items() if p.requires_grad and name not in names)


def test_an_optimizer_beside_muon_is_refused(model, dataset, tokenizer, tmp_path):
    recommender = LCRecRecommender(model, tokenizer, LCRecPrompt())
    args = LCRecTrainingConfig(str(tmp_path), **{**COMMON, "max_length": 96, "task_weights": {"seq": 1.0}})
    for given in (
        {"optimizers": (torch.optim.SGD(model.parameters(), lr=0.1), None)},
        {"optimizer_cls_and_kwargs": (torch.optim.SGD, {"lr": 0.1})},
    ):
        with pytest.raises(ValueError, match="the trainer was given an optimizer of its own"):
            LCRecTrainer(recommender, args, split=dataset.split(), **given)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"matrix_optimizer": "sgd"}, "matrix_optimizer must be one of"),
        ({"matrix_learning_rate": 0.0}, "matrix_learning_rate must be above 0"),
        ({"matrix_optimizer": "adamw", "matrix_learning_rate": 0.1}, "matrix_learning_rate has no effect"),
        ({"optim": "adafactor"}, "matrix_optimizer muon: .*set optim to adamw_torch, not adafactor"),
        ({"fsdp": "full_shard"}, "matrix_optimizer muon: it does not work with FSDP"),
    ],
)
def test_settings_that_cannot_work_are_refused(tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        LCRecTrainingConfig(
            str(tmp_path), **{"matrix_optimizer": "muon", "use_cpu": True, "report_to": "none", **options}
        )


def test_fsdp_of_a_launcher_and_older_torch_are_refused(tmp_path, monkeypatch):
    options = {"output_dir": str(tmp_path), "matrix_optimizer": "muon", "use_cpu": True, "report_to": "none"}
    with monkeypatch.context() as patch:
        patch.delattr(torch.optim, "Muon")
        with pytest.raises(ValueError, match="needs torch 2.9"):
            SASRecTrainingConfig(**options)
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    with pytest.raises(ValueError, match="does not work with FSDP"):
        SASRecTrainingConfig(**options)


def test_deepspeed_is_refused(tmp_path):
    args = SASRecTrainingConfig(str(tmp_path), matrix_optimizer="muon", use_cpu=True, report_to="none")
    args.deepspeed_plugin = DeepSpeedPlugin.__new__(DeepSpeedPlugin)  # its constructor needs deepspeed
    with pytest.raises(ValueError, match="matrix_optimizer muon: it does not work with DeepSpeed"):
        args._check_muon()


def test_a_model_without_layers_is_refused_before_it_trains(dataset, tmp_path):
    recommender = LightGCNRecommender.from_dataset(dataset)
    args = LightGCNTrainingConfig(str(tmp_path), matrix_optimizer="muon", use_cpu=True, report_to="none")
    with pytest.raises(ValueError, match="the layers of LightGCNNetwork have no trained matrices"):
        LightGCNTrainer(recommender, args, split=dataset.split())
