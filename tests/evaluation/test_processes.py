"""Processes that a launcher started work together, or not at all."""

import pytest
import torch

from hf_llmrec.cli import evaluate
from hf_llmrec.evaluation import processes
from hf_llmrec.methods.lcrec.trainer_config import LCRecTrainingConfig
from hf_llmrec.training.row_config import RowTrainingConfig


@pytest.fixture
def alone(monkeypatch):
    """One of two launched processes whose machine has an accelerator that accelerate cannot join processes on."""
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: True)


@pytest.mark.parametrize("name", ["WORLD_SIZE", "PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "MV2_COMM_WORLD_SIZE"])
def test_launchers_say_how_many_processes_there_are(monkeypatch, name):
    assert processes.launched_processes() == 1 and not processes.runs_on_cpus()
    monkeypatch.setenv(name, "2")
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: False)
    assert processes.launched_processes() == 2 and processes.runs_on_cpus()
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: True)
    assert not processes.runs_on_cpus()


@pytest.mark.parametrize("config", [LCRecTrainingConfig, RowTrainingConfig])
def test_a_training_among_processes_that_were_not_joined_is_refused(alone, tmp_path, config):
    with pytest.raises(RuntimeError, match="2 processes were launched.*not joined.*--use_cpu True"):
        config(output_dir=str(tmp_path), report_to="none")


def test_so_is_an_evaluation(alone, dataset, tmp_path):
    dataset.save(tmp_path / "data")
    options = ["--model", "popularity", "--dataset", str(tmp_path / "data"), "--output", str(tmp_path / "m.json")]
    with pytest.raises(RuntimeError, match="2 processes were launched"):
        evaluate.main(options)
    assert not (tmp_path / "m.json").exists()
