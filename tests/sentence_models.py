"""A small sentence-transformers model for tests."""

from pathlib import Path

import torch
from transformers import BertConfig, BertModel, BertTokenizerFast


def small_sentence_model(folder: Path, texts: list[str]) -> str:
    """A random BERT of one layer as a sentence-transformers model without normalisation; returns its folder."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Pooling, Transformer
    from tokenizers import BertWordPieceTokenizer

    vocabulary = BertWordPieceTokenizer()
    vocabulary.train_from_iterator(texts, vocab_size=200, min_frequency=1)
    tokenizer = BertTokenizerFast(tokenizer_object=vocabulary._tokenizer, model_max_length=48)
    tokenizer.save_pretrained(folder / "bert")
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 4}
    sizes |= {"max_position_embeddings": 48, "initializer_range": 0.1, "hidden_dropout_prob": 0.0}
    BertModel(BertConfig(vocab_size=len(tokenizer), **sizes), add_pooling_layer=False).save_pretrained(folder / "bert")
    modules = [Transformer(str(folder / "bert"), max_seq_length=32), Pooling(32)]
    SentenceTransformer(modules=modules).save_pretrained(str(folder / "model"))
    return str(folder / "model")
