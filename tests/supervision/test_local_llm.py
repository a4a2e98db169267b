"""A model in this process: batches give what single requests give, and sampling is sampling."""

import shutil
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from transformers import AutoTokenizer

from hf_llmrec.supervision.local_llm import LocalLLM, SeededSampling

CHATS = [[{"role": "user", "content": "a small gift " * (number + 1)}] for number in range(6)]
SETTINGS = [{"max_tokens": 6 + number % 3, "temperature": 0.7, "seed": number} for number in range(6)]


def test_a_batch_gives_what_its_requests_give_alone(chat_model, monkeypatch):
    llm, sizes = LocalLLM(str(chat_model), batch_size=4), []
    generate = llm._generate
    monkeypatch.setattr(
        llm, "_generate", lambda chats, settings: (sizes.append(len(chats)), generate(chats, settings))[1]
    )
    alone = [llm.complete(chat, each) for chat, each in zip(CHATS, SETTINGS, strict=True)]
    assert sizes == [1] * 6
    sizes.clear()
    with ThreadPoolExecutor(6) as pool:
        together = list(pool.map(llm.complete, CHATS, SETTINGS))
    assert together == alone and max(sizes) > 1 and max(sizes) <= 4 and sum(sizes) == 6
    assert [each.completion_tokens for each in alone] == [each["max_tokens"] for each in SETTINGS]
    assert all(each.text for each in alone) and len({each.text for each in alone}) > 1


def test_greedy_and_seeds(chat_model):
    llm = LocalLLM(str(chat_model))
    greedy = {llm.complete(CHATS[0], {"max_tokens": 6, "temperature": 0.0, "seed": seed}).text for seed in range(3)}
    warm = {llm.complete(CHATS[0], {"max_tokens": 6, "temperature": 2.0, "seed": seed}).text for seed in range(3)}
    assert len(greedy) == 1 and len(warm) > 1


def test_an_error_reaches_whoever_asked(chat_model):
    llm = LocalLLM(str(chat_model))
    with pytest.raises(TypeError):
        llm.complete(CHATS[0], {"max_tokens": "six"})
    assert llm.complete(CHATS[0], SETTINGS[0]).text, "it goes on"


def test_a_model_without_a_chat_template_is_refused(chat_model, tmp_path):
    tokenizer = AutoTokenizer.from_pretrained(chat_model)
    tokenizer.chat_template = None
    shutil.copytree(chat_model, tmp_path / "base", ignore=shutil.ignore_patterns("chat_template*"))
    tokenizer.save_pretrained(tmp_path / "base")
    with pytest.raises(ValueError, match="no chat template"):
        LocalLLM(str(tmp_path / "base"))


def test_a_folder_without_a_tokenizer_is_refused(chat_model, tmp_path):
    shutil.copy(chat_model / "config.json", tmp_path)
    with pytest.raises(ValueError, match="--model .*: the folder holds no tokenizer .* but config.json"):
        LocalLLM(str(tmp_path))


def test_seeded_sampling_draws_from_the_softmax():
    logits = torch.tensor([2.0, 1.0, 0.0, -1e9])
    draws = torch.zeros(4)
    process = SeededSampling([{"temperature": 0.5, "seed": 0}])
    for _ in range(4000):
        draws[process(None, logits[None])[0].argmax()] += 1
    torch.testing.assert_close(draws / 4000, torch.softmax(logits / 0.5, 0), atol=0.02, rtol=0)
