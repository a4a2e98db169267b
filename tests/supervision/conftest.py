"""A tiny chat model whose words are nonsense, and a data set with reviews."""

from pathlib import Path

import pytest
import torch

from hf_llmrec import RecDataset
from hf_llmrec.training.backbones import build_backbone
from hf_llmrec.training.corpus_tokenizer import train_corpus_tokenizer

CHAT = (
    "{% for message in messages %}{{ message['role'] }}: {{ message['content'] }}\n{% endfor %}"
    "{% if add_generation_prompt %}assistant: {% endif %}"
)
SIZES = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2}


@pytest.fixture(scope="session")
def chat_model(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("chat") / "tiny-chat"
    tokenizer = train_corpus_tokenizer(["somebody wants a small gift that is good for a long time"] * 3, vocab_size=400)
    tokenizer.chat_template = CHAT
    torch.manual_seed(0)
    model = build_backbone("tiny", tokenizer, max_length=4096, overrides=SIZES)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=0.3)
    # Nonsense, but in letters: bytes that are no text would be refused.
    words = [tokenizer.decode([token]) for token in range(len(tokenizer))]
    odd = [token for token, word in enumerate(words) if not word.isascii() or not word.strip().isalpha()]
    model.generation_config.suppress_tokens = odd
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture
def reviewed(tmp_path) -> Path:
    """A dataset folder with reviews: 12 users of five items each, of which two are held out."""
    users = [f"u{n}" for n in range(12)]
    rows = [(user, f"i{(n + step) % 9}", 100 * step + n, 5.0) for n, user in enumerate(users) for step in range(5)]
    columns = list(map(list, zip(*rows, strict=True)))
    dataset = RecDataset.from_datasets(
        dict(zip(("user_id", "item_id", "timestamp", "rating"), columns, strict=True)),
        {"item_id": [f"i{n}" for n in range(9)], "title": [f"Widget {n}" for n in range(9)]},
        reviews={
            "user_id": columns[0],
            "item_id": columns[1],
            "text": [f"{user} likes Widget {item[1:]}, bought at {when}" for user, item, when, _ in rows],
            "timestamp": columns[2],
        },
        name="reviewed",
    )
    dataset.save(tmp_path / "reviewed")
    return tmp_path / "reviewed"
