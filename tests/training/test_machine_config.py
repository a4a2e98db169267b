"""What follows from the machine: devices, precision, and options of loaders that are honoured or refused by name."""

import pytest
import torch

from hf_llmrec.methods.galrec.trainer_config import GALRecTrainingConfig
from hf_llmrec.methods.lcrec.trainer_config import LCRecTrainingConfig
from hf_llmrec.methods.sasrec.trainer_config import SASRecTrainingConfig

CONFIGS = [LCRecTrainingConfig, GALRecTrainingConfig, SASRecTrainingConfig]


@pytest.mark.parametrize("config", CONFIGS)
def test_bf16_without_an_accelerator_runs_on_the_cpu(config, tmp_path, monkeypatch):
    monkeypatch.setattr("hf_llmrec.training.machine_config.accelerator_type", lambda: None)
    args = config(output_dir=str(tmp_path), bf16=True)
    assert args.use_cpu and args.bf16 and args.device == torch.device("cpu")


@pytest.mark.parametrize("kind, has_bf16, expected", [("cuda", True, True), ("xpu", True, True), ("npu", False, False)])
def test_an_accelerator_computes_in_bf16_if_it_can(tmp_path, monkeypatch, kind, has_bf16, expected):
    monkeypatch.setattr("hf_llmrec.training.machine_config.accelerator_type", lambda: kind)
    monkeypatch.setattr("hf_llmrec.training.machine_config.is_torch_bf16_gpu_available", lambda: has_bf16)
    monkeypatch.setattr("transformers.training_args.is_torch_bf16_gpu_available", lambda: has_bf16)
    args = LCRecTrainingConfig(output_dir=str(tmp_path))
    assert (args.bf16, args.use_cpu, args.dataloader_pin_memory) == (expected, False, True)
    assert not LCRecTrainingConfig(output_dir=str(tmp_path), use_cpu=True).bf16


def test_memory_of_apple_s_chips_is_not_pinned_and_bf16_not_chosen(tmp_path, monkeypatch):
    monkeypatch.setattr("hf_llmrec.training.machine_config.accelerator_type", lambda: "mps")
    args = LCRecTrainingConfig(output_dir=str(tmp_path))
    assert not args.bf16 and not args.dataloader_pin_memory and not args.use_cpu


@pytest.mark.parametrize("config", CONFIGS)
@pytest.mark.parametrize("option", [{"dataloader_drop_last": True}, {"train_sampling_strategy": "group_by_length"}])
def test_what_would_have_no_effect_is_refused_by_name(config, tmp_path, option):
    with pytest.raises(ValueError, match=f"{next(iter(option))}.* has no effect"):
        config(output_dir=str(tmp_path), use_cpu=True, **option)
