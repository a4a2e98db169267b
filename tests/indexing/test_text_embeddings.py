"""Item texts -> vectors: TF-IDF, a causal LM with masked mean pooling, a sentence-transformers model."""

import shutil

import numpy as np
import pytest
import torch
from transformers import BertConfig, BertModel, LlamaConfig, LlamaForCausalLM

from hf_llmrec.indexing.text_embeddings import embed_items, item_texts
from hf_llmrec.training.corpus_tokenizer import train_corpus_tokenizer

TEXTS = ["red cup", "a blue cup for very strong coffee in the morning", "tea", "red cup", "pot of tea " * 60]


@pytest.fixture(scope="module")
def causal_lm(tmp_path_factory):
    folder = tmp_path_factory.mktemp("causal_lm")
    tokenizer = train_corpus_tokenizer(TEXTS, vocab_size=300)
    tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
    LlamaForCausalLM(LlamaConfig(vocab_size=len(tokenizer), max_position_embeddings=128, **sizes)).save_pretrained(
        folder
    )
    return folder


def test_a_texts_parts_are_joined_once_each(dataset):
    texts = item_texts(dataset)
    assert texts[1] == "Ring piece 1 red. Piece number 1 of a ring" and texts[0] == "Ring piece 0 blue"


def test_tfidf_embeds_any_script_and_a_single_text():
    vectors = embed_items(["red cup", "blue cup", "紅茶", "?", "red cup"])
    assert np.allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert np.allclose(vectors[0], vectors[4], atol=1e-5)
    assert embed_items(["one"]).shape[0] == 1


def test_a_dataset_is_embedded_by_its_texts(dataset):
    assert np.array_equal(embed_items(dataset), embed_items(item_texts(dataset)))


def test_a_causal_lm_gives_the_mean_of_its_real_tokens(causal_lm):
    from transformers import AutoTokenizer

    found = embed_items(TEXTS, str(causal_lm), max_tokens=40, batch_size=3)
    model = LlamaForCausalLM.from_pretrained(causal_lm).eval()
    tokenizer = AutoTokenizer.from_pretrained(causal_lm)
    for text, vector in zip(TEXTS, found, strict=True):
        ids = tokenizer(text, truncation=True, max_length=40, return_tensors="pt").input_ids
        with torch.no_grad():
            hidden = model.model(input_ids=ids).last_hidden_state[0]  # alone: nothing is padded
        expected = hidden.mean(0) / hidden.mean(0).norm()
        np.testing.assert_allclose(vector, expected.numpy(), atol=1e-5)
    assert found.dtype == np.float32 and found.shape == (5, 32)


def test_long_texts_are_truncated_and_empty_ones_have_a_vector(causal_lm):
    vectors = embed_items([TEXTS[4], TEXTS[4] + " more", "", "tea"], str(causal_lm), max_tokens=20)
    np.testing.assert_allclose(vectors[0], vectors[1], atol=1e-5)
    assert np.isfinite(vectors).all()


def test_a_folder_without_a_tokenizer_is_refused(causal_lm, tmp_path):
    shutil.copy(causal_lm / "config.json", tmp_path)
    with pytest.raises(ValueError, match="--text_encoder .*: the folder holds no tokenizer .* but config.json"):
        embed_items(TEXTS, str(tmp_path))


def bert(folder, words, positions):
    """A random BERT of two layers with its tokenizer."""
    from tokenizers import BertWordPieceTokenizer
    from transformers import BertTokenizerFast

    vocabulary = BertWordPieceTokenizer()
    vocabulary.train_from_iterator(words, vocab_size=200, min_frequency=1)
    tokenizer = BertTokenizerFast(tokenizer_object=vocabulary._tokenizer, model_max_length=positions)
    tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4}
    BertModel(BertConfig(vocab_size=200, max_position_embeddings=positions, **sizes)).save_pretrained(folder)
    return folder


def test_an_encoder_reads_no_further_than_its_positions(tmp_path):
    """The default of 512 tokens is beyond what a short encoder has positions for."""
    encoder = str(bert(tmp_path / "bert", TEXTS, 24))
    whole, cut = embed_items(TEXTS, encoder), embed_items(TEXTS, encoder, max_tokens=24)
    np.testing.assert_allclose(whole, cut, atol=1e-6)


@pytest.fixture
def sentence_model(tmp_path):
    """Of its own pooling, and a limit of 32 tokens."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Pooling, Transformer

    transformer = Transformer(str(bert(tmp_path / "bert", TEXTS, 128)), max_seq_length=32)
    model = SentenceTransformer(modules=[transformer, Pooling(32, pooling_mode="cls")])
    model.save(str(tmp_path / "model"))
    return model, str(tmp_path / "model")


@pytest.mark.slow
def test_a_sentence_transformers_model(sentence_model):
    """Its own pooling and normalisation are used; a random BERT stands for a pretrained one."""
    model, folder = sentence_model
    found = embed_items(TEXTS, folder)
    expected = model.encode(TEXTS, normalize_embeddings=True, convert_to_numpy=True)
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.slow
def test_a_sentence_transformers_model_reads_max_tokens_and_its_own_limit_at_most(sentence_model):
    model, folder = sentence_model
    own = embed_items(TEXTS, folder, max_tokens=512)
    np.testing.assert_allclose(own, embed_items(TEXTS, folder, max_tokens=32), atol=1e-6)
    model.max_seq_length = 8
    expected = model.encode(TEXTS, normalize_embeddings=True, convert_to_numpy=True)
    found = embed_items(TEXTS, folder, max_tokens=8)
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert np.abs(found[4] - own[4]).max() > 1e-3, "the long text is cut"


def test_a_source_that_is_neither_a_folder_nor_a_name_is_not_taken_for_a_causal_lm(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere: no such folder, and no name of a repository"):
        embed_items(TEXTS, str(tmp_path / "nowhere"))


def test_without_the_extra_the_error_names_it(tmp_path, monkeypatch):
    import builtins

    (tmp_path / "modules.json").write_text("[]")
    real_import = builtins.__import__

    def refuse(name, *args, **kwargs):
        if name.startswith("sentence_transformers"):
            raise ImportError(name)
        return real_import(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(ImportError, match=r"hf_llmrec\[text\]"):
        embed_items(TEXTS, str(tmp_path))
