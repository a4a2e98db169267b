"""Asks a language model for texts: side by side, again after failures, never twice for the same."""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from typing import Any

from tqdm.auto import tqdm

from .answers import BadAnswerError, parse_answer
from .cache import AnswerCache, content_key
from .chat_request import RefusedRequestError, RetryLaterError
from .endpoint_llm import LLM
from .requests import Request

logger = logging.getLogger(__name__)
_LONGEST_WAIT_S = 60.0


class _StoppedError(Exception):
    """Another request has ended it all."""


@dataclass
class WritingReport:
    """What was asked, and what it cost.

    Attributes:
        requests: texts that were wanted. written: those that came. left_out: those without a good answer after all
            attempts; reasons: why, and how often.
        unusable: answers that were not what was asked for, of all attempts; the cache keeps them.
        asked: requests that went to the language model now. cached: answers that were there already. retries: requests
            made again because the endpoint failed.
        prompt_tokens, completion_tokens: of what went to the language model now, as far as it says.
    """

    requests: int = 0
    written: int = 0
    left_out: int = 0
    unusable: int = 0
    asked: int = 0
    cached: int = 0
    retries: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    reasons: dict[str, int] = field(default_factory=dict)


def write_texts(
    requests: Iterable[Request],
    llm: LLM,
    cache: AnswerCache,
    *,
    answer_format: str = "json",
    concurrency: int = 8,
    attempts: int = 3,
    retries: int = 6,
    max_tokens: int = 200,
    temperature: float = 0.7,
    seed: int = 0,
    first_wait_s: float = 1.0,
) -> tuple[list[tuple[Request, str]], WritingReport]:
    """Texts in the order of the requests, without those that no attempt gave a good answer for.

    Every answer, good or bad, is in the cache before it is looked at: after a kill, the same call asks only for what is
    missing.

    Args:
        requests: what to ask. llm: whom. cache: of answers.
        answer_format: see `parse_answer`.
        concurrency: requests at once, at most.
        attempts: answers to a request that are looked at until one is good; each has a seed of its own.
        retries: times that a failing request is made again, after waits that double from ``first_wait_s`` up to a
            minute, with a random part, or as long as the endpoint asks.
        max_tokens, temperature, seed: of the answers.

    Raises:
        ValueError: the endpoint refuses.
        ConnectionError: a request failed ``retries`` times in a row.
    """
    report, lock, stop = WritingReport(), threading.Lock(), threading.Event()
    under_way: dict[str, threading.Lock] = {}

    def ask(request: Request, attempt: int) -> str:
        messages = request.messages(answer_format)
        settings: dict[str, Any] = {"max_tokens": max_tokens, "temperature": temperature, "seed": seed + attempt}
        key = content_key({"model": llm.name, "messages": messages, **settings, **llm.options})
        with lock:
            alone = under_way.setdefault(key, threading.Lock())
        with alone:  # many a review is just "Great!": who asks the same waits for the answer
            found = cache.get(key)
            if found is None:
                return ask_anew(key, messages, settings)
        with lock:
            report.cached += 1
        return found.text

    def ask_anew(key: str, messages: list[dict[str, str]], settings: dict[str, Any]) -> str:
        for failures in range(retries + 1):
            if stop.is_set():
                raise _StoppedError
            try:
                found = llm.complete(messages, settings)
                break
            except RefusedRequestError as error:
                with lock:
                    is_first = report.asked + report.cached == 0
                if is_first:  # then it is the options rather than this one request
                    raise ValueError(str(error)) from error
                raise
            except RetryLaterError as error:
                if failures == retries:
                    raise ConnectionError(f"{llm.name}: no answer after {retries + 1} requests: {error}") from error
                pause = min(first_wait_s * 2**failures, _LONGEST_WAIT_S) * (0.5 + random.random())
                with lock:
                    report.retries += 1
                stop.wait(pause if error.wait_s is None else min(error.wait_s, 10 * _LONGEST_WAIT_S))
        cache.put(key, found)
        with lock:
            report.asked += 1
            report.prompt_tokens += found.prompt_tokens or 0
            report.completion_tokens += found.completion_tokens or 0
        return found.text

    def write(request: Request) -> str | None:
        reason = ""
        for attempt in range(attempts):
            try:
                return parse_answer(ask(request, attempt), answer_format, request.forbidden)
            except RefusedRequestError:
                reason = "the endpoint refuses the request"
            except BadAnswerError as error:
                reason = str(error).split(":")[0]
                with lock:
                    report.unusable += 1
        with lock:
            report.reasons[reason] = report.reasons.get(reason, 0) + 1
        return None

    wanted = list(requests)
    report.requests = len(wanted)
    began = time.perf_counter()
    answers = _side_by_side(write, wanted, concurrency, stop)
    texts = [(request, text) for request, text in zip(wanted, answers, strict=True) if text is not None]
    report.written, report.left_out = len(texts), len(wanted) - len(texts)
    logger.info("%d of %d texts in %.0f s", report.written, report.requests, time.perf_counter() - began)
    return texts, report


def _side_by_side(write, wanted: list[Request], concurrency: int, stop: threading.Event) -> list[str | None]:
    """Answers in order; after the first error nothing new is begun, and what is under way is waited for."""
    answers: list[str | None] = [None] * len(wanted)
    with ThreadPoolExecutor(concurrency) as pool, tqdm(total=len(wanted), unit="text") as progress:
        running: dict[Future, int] = {}
        try:
            for number, request in enumerate(wanted):
                running[pool.submit(write, request)] = number
                if len(running) >= 2 * concurrency:
                    _collect(running, answers, progress)
            while running:
                _collect(running, answers, progress)
        except BaseException:
            stop.set()
            for future in running:
                future.cancel()
            raise
    return answers


def _collect(running: dict[Future, int], answers: list[str | None], progress: tqdm) -> None:
    done, _ = wait(running, return_when=FIRST_COMPLETED)
    for future in done:
        answers[running.pop(future)] = future.result()
        progress.update()
