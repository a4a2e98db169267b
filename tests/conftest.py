"""Fixtures that several folders share: a small dataset with structure, its index, a tiny trained-size model."""

import os

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
# Everything here is tiny: threads would wait for each other longer than they work.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, settings

from hf_llmrec.data.interactions import RecDataset
from hf_llmrec.data.recommender_folder import ItemCatalog, save_settings
from hf_llmrec.indexing.build import build_index
from hf_llmrec.methods.auto import AutoRecommender
from hf_llmrec.methods.fusion.recommender import FusionRecommender
from hf_llmrec.methods.galrec.modeling_galrec import GALRecForCausalLM
from hf_llmrec.methods.galrec.prompt import GALRecPrompt
from hf_llmrec.methods.item_knn.recommender import ItemKNNRecommender
from hf_llmrec.methods.lcrec.index_embeddings import initialize_index_embeddings
from hf_llmrec.methods.lcrec.prompt import LCRecPrompt
from hf_llmrec.methods.lcrec.tokenization_lcrec import LCRecTokenizer
from hf_llmrec.methods.lightgcn.configuration_lightgcn import LightGCNConfig
from hf_llmrec.methods.lightgcn.modeling_lightgcn import LightGCNModel
from hf_llmrec.methods.popularity.recommender import PopularityRecommender
from hf_llmrec.methods.sasrec.configuration_sasrec import SASRecConfig
from hf_llmrec.methods.sasrec.modeling_sasrec import SASRecModel
from hf_llmrec.methods.text_encoder.configuration_text_encoder import TextEncoderConfig
from hf_llmrec.methods.text_encoder.modeling_text_encoder import TextEncoderModel
from hf_llmrec.training.backbones import build_backbone
from hf_llmrec.training.corpus_tokenizer import train_corpus_tokenizer

from .sentence_models import small_sentence_model

# How long an example takes depends on what else the machine does.
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")

NUM_ITEMS = 24


def cyclic_dataset(num_users: int = 60, length: int = 8) -> RecDataset:
    """Users walk along a ring of items, so that the next item follows from the last one."""
    rng = np.random.default_rng(0)
    users, items, positions = [], [], []
    for user in range(num_users):
        start = int(rng.integers(NUM_ITEMS))
        for position in range(length):
            users.append(f"u{user}")
            items.append(f"i{(start + position) % NUM_ITEMS}")
            positions.append(position)
    intentions = {
        "user_id": users[::2],
        "item_id": items[::2],
        "text": [f"I would like number {item[1:]}" for item in items[::2]],
    }
    preferences = {"user_id": sorted(set(users)), "text": ["likes to walk in circles"] * num_users}
    return RecDataset.from_datasets(
        {"user_id": users, "item_id": items, "position": positions},
        {
            "item_id": [f"i{item}" for item in range(NUM_ITEMS)],
            "title": [f"Ring piece {item} {'red' if item % 2 else 'blue'}" for item in range(NUM_ITEMS)],
            "description": [f"Piece number {item} of a ring" if item % 3 else "" for item in range(NUM_ITEMS)],
        },
        intentions=intentions,
        preferences=preferences,
        name="ring",
    )


@pytest.fixture(scope="session")
def dataset() -> RecDataset:
    return cyclic_dataset()


@pytest.fixture(scope="session")
def index(dataset):
    vectors = np.random.default_rng(0).standard_normal((dataset.num_items, 8)).astype(np.float32)
    return build_index(vectors, dataset.item_ids, levels=3, codebook_size=4)


@pytest.fixture(scope="session")
def tokenizer(dataset, index):
    base = train_corpus_tokenizer([*dataset.titles, *dataset.descriptions], vocab_size=400)
    return LCRecTokenizer.from_base(base, index, dataset.titles)


@pytest.fixture
def model(tokenizer):
    torch.manual_seed(0)
    model = build_backbone(
        "tiny",
        tokenizer,
        max_length=128,
        overrides={"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2},
    )
    initialize_index_embeddings(model, tokenizer)
    return model


@pytest.fixture(scope="session")
def save_recommender(dataset):
    """Writes a recommender folder as the training commands do; a method without tokenizer has None."""

    def save(path, method, model, tokenizer, settings):
        for part in (model, tokenizer):
            if part is not None:
                part.save_pretrained(path)
        ItemCatalog(dataset.item_ids, dataset.titles, dataset.fingerprint).save(path)
        save_settings(path, method, {"dataset": dataset.name, **settings})
        return path

    return save


TINY = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}


def _lcrec(dataset, tokenizer):
    model = build_backbone("tiny", tokenizer, max_length=128, overrides=TINY)
    initialize_index_embeddings(model, tokenizer)
    settings = {"prompt": LCRecPrompt("packed", "", 6).to_dict(), "num_beams": 12, "normalize": "level"}
    return model, tokenizer, settings


def _galrec(dataset, _):
    tokenizer = train_corpus_tokenizer(dataset.titles, vocab_size=300)
    backbone = build_backbone("tiny", tokenizer, overrides=TINY)
    model = GALRecForCausalLM.from_backbone(backbone, num_items=dataset.num_items, external_sizes={"text": 8})
    model.model.set_item_vectors({"text": torch.randn(dataset.num_items, 8)})
    return model, tokenizer, {"prompt": GALRecPrompt(num_neighbors=3).to_dict(), "graph": False}


def _sasrec(dataset, _):
    sizes = {"hidden_size": 16, "max_position_embeddings": 6, "initializer_range": 0.3}
    return SASRecModel(SASRecConfig(num_items=dataset.num_items, **sizes)), None, {"max_history": 6}


def _lightgcn(dataset, _):
    model = LightGCNModel(LightGCNConfig(num_items=dataset.num_items, num_users=2, embedding_size=4))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_()
    return model, None, {"user_ids": ["u0", "u1"]}


def _text_encoder(dataset, _):
    sizes = {"hidden_size": 16, "text_size": 8, "max_position_embeddings": 6, "initializer_range": 0.3}
    model = TextEncoderModel(TextEncoderConfig(num_items=dataset.num_items, **sizes))
    model.set_text_vectors(torch.randn(dataset.num_items, 8))
    return model, None, {"max_history": 6}


UNTRAINED = {"lcrec": _lcrec, "galrec": _galrec, "sasrec": _sasrec, "lightgcn": _lightgcn}
UNTRAINED |= {"text_encoder": _text_encoder}


@pytest.fixture(scope="session")
def recommender_folders(dataset, tokenizer, save_recommender, tmp_path_factory):
    """A saved recommender of each method, untrained where there is something to train, by method."""
    root, found = tmp_path_factory.mktemp("recommenders"), {}
    for method, make in UNTRAINED.items():
        torch.manual_seed(0)
        model, words, settings = make(dataset, tokenizer)
        found[method] = save_recommender(root / method, method, model, words, settings)
    for kind in (ItemKNNRecommender, PopularityRecommender):
        found[kind.method] = root / kind.method
        kind.fit(dataset, dataset.split()).save_pretrained(found[kind.method])
    parts = {name: AutoRecommender.from_pretrained(found[name]) for name in ("sasrec", "lcrec", "knn")}
    fusion = FusionRecommender(parts)
    fusion.model.weights.data = torch.tensor([1.0, 0.5, 0.25])
    fusion.save_pretrained(root / "fusion")
    return {**found, "fusion": root / "fusion"}


@pytest.fixture(scope="session")
def make_sentence_model():
    """Writes a small sentence-transformers model for given texts below a folder, and returns its folder."""
    return small_sentence_model


@pytest.fixture
def lcrec_folder(model, tokenizer, save_recommender, tmp_path):
    """A saved LC-Rec recommender."""
    settings = {"prompt": LCRecPrompt("packed", "Chosen: ", 6).to_dict(), "num_beams": 12, "normalize": "level"}
    return save_recommender(tmp_path / "recommender", "lcrec", model, tokenizer, settings)
