"""Saved models are opened on whatever accelerate computes on, not on CUDA alone."""

from types import SimpleNamespace

import pytest
import torch

from hf_llmrec.cli.models import open_ranker
from hf_llmrec.data.recommender_folder import ItemCatalog, save_settings
from hf_llmrec.methods.sasrec.configuration_sasrec import SASRecConfig
from hf_llmrec.methods.sasrec.modeling_sasrec import SASRecModel


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_a_model_is_opened_on_the_device_of_the_run(dataset, tmp_path, monkeypatch, device):
    SASRecModel(SASRecConfig(num_items=dataset.num_items, hidden_size=8)).save_pretrained(tmp_path)
    ItemCatalog(dataset.item_ids, dataset.titles, dataset.fingerprint).save(tmp_path)
    save_settings(tmp_path, "sasrec", {"dataset": dataset.name, "max_history": 50})
    monkeypatch.setattr("hf_llmrec.cli.models.PartialState", lambda: SimpleNamespace(device=torch.device(device)))
    ranker = open_ranker(str(tmp_path), dataset, dataset.split())
    assert ranker.model.device == torch.device(device)
