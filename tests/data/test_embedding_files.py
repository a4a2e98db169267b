import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file
from safetensors.torch import save_file as save_torch

from hf_llmrec.data.embedding_files import load_item_embeddings, save_embeddings


def test_files_round_trip_and_are_checked(dataset, tmp_path):
    vectors = np.random.default_rng(0).standard_normal((dataset.num_items, 4)).astype(np.float32)
    users = np.ones((dataset.num_users, 3))
    split = dataset.split()
    save_embeddings(tmp_path / "v.safetensors", dataset, items=vectors, users=users, split=split)
    np.testing.assert_array_equal(load_item_embeddings(tmp_path / "v.safetensors", dataset, split), vectors)
    assert load_file(tmp_path / "v.safetensors")["user_embeddings"].shape == users.shape
    save_torch({"embeddings": torch.from_numpy(vectors).bfloat16()}, tmp_path / "half.safetensors")
    np.testing.assert_allclose(load_item_embeddings(tmp_path / "half.safetensors", dataset), vectors, rtol=1e-2)
    with pytest.raises(ValueError, match="user_embeddings must be"):
        save_embeddings(tmp_path / "w.safetensors", dataset, users=users[1:], split=split)
    with pytest.raises(ValueError, match="give the split"):
        save_embeddings(tmp_path / "w.safetensors", dataset, users=users)
    (tmp_path / "junk.safetensors").write_bytes(b"no tensors here, only text")
    with pytest.raises(ValueError, match="junk.safetensors: not a safetensors file"):
        load_item_embeddings(tmp_path / "junk.safetensors", dataset)
    bad = vectors.copy()
    bad[3, 1] = np.inf
    cases = {
        "no tensor 'item_embeddings'": ({"other": vectors}, None),
        "the dataset has": ({"item_embeddings": vectors[:-1]}, None),
        "row 3 holds": ({"item_embeddings": bad}, None),
        "another dataset": ({"item_embeddings": vectors}, {"fingerprint": "0" * 64}),
        "not JSON": ({"item_embeddings": vectors}, {"data_fingerprint": "{"}),
        "not one that this version": ({"item_embeddings": vectors}, {"data_fingerprint": '{"version": 99}'}),
    }
    for message, (tensors, metadata) in cases.items():
        save_file(tensors, tmp_path / "bad.safetensors", metadata=metadata)
        with pytest.raises(ValueError, match=message) as error:
            load_item_embeddings(tmp_path / "bad.safetensors", dataset)
        assert "bad.safetensors" in str(error.value)
