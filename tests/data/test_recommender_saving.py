"""A saved folder holds what was saved last, and nothing of saves before it."""

from pathlib import Path

import pytest
import torch
from transformers import AutoModel

from hf_llmrec.data.graph import InteractionGraph
from hf_llmrec.data.graph_files import GRAPH_FILE, save_graph
from hf_llmrec.data.recommender_folder import ItemCatalog
from hf_llmrec.data.recommender_saving import save_recommender
from hf_llmrec.methods.sasrec.configuration_sasrec import SASRecConfig
from hf_llmrec.methods.sasrec.modeling_sasrec import SASRecModel


@pytest.fixture
def save(dataset, tmp_path):
    """Saves a SASRec whose weights are all ``value``, in shards of at most ``size``; returns the folder."""

    def write(value: float, size: str = "1GB", then=lambda folder: None) -> Path:
        model = SASRecModel(SASRecConfig(num_items=dataset.num_items, hidden_size=16, max_position_embeddings=6))
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.fill_(value)

        def save_model(folder: Path) -> None:
            model.save_pretrained(folder, max_shard_size=size)
            then(folder)

        save_recommender(tmp_path / "out", "sasrec", ItemCatalog.of_dataset(dataset), {}, save_model)
        return tmp_path / "out"

    return write


def weights(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("*.safetensors*"))


def test_what_a_killed_save_left_is_not_part_of_the_next(save):
    def killed(folder: Path) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        save(1.0, "4KB", killed)
    folder = save(2.0)
    assert weights(folder) == ["model.safetensors"] and not (folder / ".staging-recommender").exists()


@pytest.mark.parametrize("sizes", [("4KB", "1GB"), ("1GB", "4KB"), ("4KB", "8KB")])
def test_shards_of_an_earlier_model_do_not_outlive_it(save, sizes):
    folder = save(1.0, sizes[0])
    first = weights(folder)
    save(2.0, sizes[1])
    assert weights(folder) != first
    assert ("model.safetensors" in weights(folder)) == ("model.safetensors.index.json" not in weights(folder))
    model = AutoModel.from_pretrained(folder)
    assert all((parameter == 2).all() for parameter in model.parameters())


def test_a_graph_is_not_published_with_a_later_model(save, dataset):
    graph = InteractionGraph.from_split(dataset.split(), dataset.num_items)
    folder = save(1.0, then=lambda staging: save_graph(staging, graph))
    (folder / "embeddings.safetensors").write_bytes(b"somebody's own")
    assert (folder / GRAPH_FILE).exists()
    save(2.0)
    assert not (folder / GRAPH_FILE).exists() and (folder / "embeddings.safetensors").exists()
