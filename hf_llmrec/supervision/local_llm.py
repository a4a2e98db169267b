"""A language model that is loaded in this process and generates in batches."""

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
    """A chat model in this process. Concurrent requests are answered in one batch.

    A text depends on its own request and seed and, up to rounding, not on the other requests of its batch: each row is
    sampled with its own generator.

    Args:
        model: folder or Hub id of a causal LM whose tokenizer has a chat template.
        batch_size: largest number of requests per batch.
        device: where the model runs. Default: the accelerator if there is one, else the CPU.

    Raises:
        ValueError: the model has no tokenizer, or a tokenizer without a chat template.
    """

    def __init__(self, model: str, *, batch_size: int = 16, device: str | None = None):
        self.name, self.batch_size = model, batch_size
        self.options: dict[str, Any] = {}
        check_tokenizer_files(model, "--model")
        self._tokenizer = AutoTokenizer.from_pretrained(model, padding_side="left")
        if not self._tokenizer.chat_template:
            raise ValueError(f"{model}: its tokenizer has no chat template: choose an instruction-tuned model")
        if self._tokenizer.pad_token is None:
            self._tokenizer.pad_token = self._tokenizer.eos_token
        loaded = AutoModelForCausalLM.from_pretrained(model, dtype="auto")
        place = device or PartialState().device
        self._model = loaded.to(place).eval()  # pyright: ignore[reportArgumentType]  # the stub's `to` takes no self
        self._waiting: queue.Queue[tuple[list[dict[str, str]], dict[str, Any], Future]] = queue.Queue()
        threading.Thread(target=self._serve, daemon=True).start()

    def complete(self, messages: list[dict[str, str]], settings: dict[str, Any]) -> Completion:
        """Answer one chat; returns when its batch is finished.

        Args:
            messages: the chat, as ``{"role", "content"}``.
            settings: ``max_tokens``, ``temperature`` and ``seed``.
        """
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
                completions = self._generate([each[0] for each in batch], [each[1] for each in batch])
            except Exception as error:  # raised in the threads that wait for the answers
                for _, _, answer in batch:
                    answer.set_exception(error)
                continue
            for (_, _, answer), completion in zip(batch, completions, strict=True):
                answer.set_result(completion)

    @torch.no_grad()
    def _generate(self, chats: list[list[dict[str, str]]], settings: list[dict[str, Any]]) -> list[Completion]:
        inputs = self._tokenizer.apply_chat_template(
            chats, add_generation_prompt=True, padding=True, return_tensors="pt", return_dict=True
        ).to(self._model.device)
        inputs.pop("token_type_ids", None)
        longest = max(each["max_tokens"] for each in settings)
        noise = LogitsProcessorList([SeededSampling(settings)])
        generated = self._model.generate(  # pyright: ignore[reportAttributeAccessIssue]  # the stub's `self` fits no model
            **inputs,
            max_new_tokens=longest,
            do_sample=False,
            logits_processor=noise,
            pad_token_id=self._tokenizer.pad_token_id,
        )[:, inputs["input_ids"].shape[1] :]
        ends = set(torch.as_tensor(self._model.generation_config.eos_token_id or []).reshape(-1).tolist())
        completions = []
        for row, (tokens, each) in enumerate(zip(generated.tolist(), settings, strict=True)):
            tokens = tokens[: each["max_tokens"]]
            stop = next((place for place, token in enumerate(tokens) if token in ends), len(tokens))
            text = self._tokenizer.decode(tokens[:stop], skip_special_tokens=True)
            completions.append(Completion(text, int(inputs["attention_mask"][row].sum()), min(stop + 1, len(tokens))))
        return completions


class SeededSampling(LogitsProcessor):
    """Turns greedy decoding into sampling with a seed per row: the maximum of logits / temperature + Gumbel noise.

    Args:
        settings: one dictionary per row with ``temperature`` (0: greedy) and ``seed``.
    """

    def __init__(self, settings: list[dict[str, Any]]):
        self._temperatures = [float(each.get("temperature") or 0.0) for each in settings]
        self._generators = [torch.Generator().manual_seed(int(each.get("seed") or 0)) for each in settings]

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """Scores whose maximum is a sample.

        Args:
            input_ids: int64 (rows, length), not used.
            scores: float (rows, vocabulary), logits of the next token.

        Returns:
            float32 (rows, vocabulary).
        """
        noisy = scores.float().clone()
        for row, (temperature, generator) in enumerate(zip(self._temperatures, self._generators, strict=True)):
            if temperature > 0:
                uniform = torch.rand(scores.shape[1], generator=generator).clamp_min(1e-20)
                noise = -torch.log((-torch.log(uniform)).clamp_min(1e-20))
                noisy[row] = noisy[row] / temperature + noise.to(scores.device)
        return noisy
