"""A language model that is loaded here and writes many texts at once."""

from __future__ import annotations

import queue
import threading
from concurrent.futures import Future
from typing import Any

import torch
from accelerate import PartialState
from transformers import AutoModelForCausalLM, AutoTokenizer, LogitsProcessor, LogitsProcessorList

from ..data.model_folder import check_tokenizer_files
from .cache import Completion

_GATHER_S = 0.05


class LocalLLM:
    """A chat model in this process. Requests that come side by side are answered in one batch.

    A text depends on its own request and seed, not on what else is in its batch (but for rounding): each row is sampled
    with a generator of its own.

    Args:
        model: folder or Hub id of a causal LM whose tokenizer has a chat template.
        batch_size: requests at once, at most. device: default: an accelerator where there is one.

    Raises:
        ValueError: no tokenizer, or one without a chat template.
    """

    def __init__(self, model: str, *, batch_size: int = 16, device: str | None = None):
        self.name, self.batch_size, self.options = model, batch_size, {}
        check_tokenizer_files(model, "--model")
        self._tokenizer = AutoTokenizer.from_pretrained(model, padding_side="left")
        if not self._tokenizer.chat_template:
            raise ValueError(f"{model}: its tokenizer has no chat template: choose an instruction-tuned model")
        if self._tokenizer.pad_token is None:
            self._tokenizer.pad_token = self._tokenizer.eos_token
        loaded = AutoModelForCausalLM.from_pretrained(model, dtype="auto")
        self._model = loaded.to(device or PartialState().device).eval()
        self._waiting: queue.Queue[tuple[list[dict[str, str]], dict[str, Any], Future]] = queue.Queue()
        threading.Thread(target=self._serve, daemon=True).start()

    def complete(self, messages: list[dict[str, str]], settings: dict[str, Any]) -> Completion:
        """One answer; ``settings`` are ``max_tokens``, ``temperature`` and ``seed``."""
        answer: Future = Future()
        self._waiting.put((messages, settings, answer))
        return answer.result()

    def _serve(self) -> None:
        while True:
            batch = [self._waiting.get()]
            while len(batch) < self.batch_size:
                try:
                    batch.append(self._waiting.get(timeout=_GATHER_S))
                except queue.Empty:
                    break
            try:
                found = self._generate([each[0] for each in batch], [each[1] for each in batch])
            except Exception as error:  # whoever asked learns of it
                for _, _, answer in batch:
                    answer.set_exception(error)
                continue
            for (_, _, answer), completion in zip(batch, found, strict=True):
                answer.set_result(completion)

    @torch.no_grad()
    def _generate(self, chats: list[list[dict[str, str]]], settings: list[dict[str, Any]]) -> list[Completion]:
        inputs = self._tokenizer.apply_chat_template(
            chats, add_generation_prompt=True, padding=True, return_tensors="pt", return_dict=True
        ).to(self._model.device)
        inputs.pop("token_type_ids", None)
        longest = max(each["max_tokens"] for each in settings)
        noise = LogitsProcessorList([SeededSampling(settings)])
        found = self._model.generate(
            **inputs,
            max_new_tokens=longest,
            do_sample=False,
            logits_processor=noise,
            pad_token_id=self._tokenizer.pad_token_id,
        )[:, inputs["input_ids"].shape[1] :]
        ends = set(torch.as_tensor(self._model.generation_config.eos_token_id or []).reshape(-1).tolist())
        completions = []
        for row, (tokens, each) in enumerate(zip(found.tolist(), settings, strict=True)):
            tokens = tokens[: each["max_tokens"]]
            stop = next((place for place, token in enumerate(tokens) if token in ends), len(tokens))
            text = self._tokenizer.decode(tokens[:stop], skip_special_tokens=True)
            completions.append(Completion(text, int(inputs["attention_mask"][row].sum()), min(stop + 1, len(tokens))))
        return completions


class SeededSampling(LogitsProcessor):
    """Turns greedy decoding into sampling with a seed per row: the largest of logits / temperature + Gumbel noise.

    Args:
        settings: per row ``temperature`` (0: greedy) and ``seed``.
    """

    def __init__(self, settings: list[dict[str, Any]]):
        self._temperatures = [float(each.get("temperature") or 0.0) for each in settings]
        self._generators = [torch.Generator().manual_seed(int(each.get("seed") or 0)) for each in settings]

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        result = scores.float().clone()
        for row, (temperature, generator) in enumerate(zip(self._temperatures, self._generators, strict=True)):
            if temperature > 0:
                uniform = torch.rand(scores.shape[1], generator=generator).clamp_min(1e-20)
                noise = -torch.log((-torch.log(uniform)).clamp_min(1e-20))
                result[row] = result[row] / temperature + noise.to(scores.device)
        return result
