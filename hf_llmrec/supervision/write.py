"""Generates texts with a language model: concurrently, with retries, and with every answer cached."""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tqdm.auto import tqdm

from .answers import BadAnswerError, parse_answer
from .cache import AnswerCache, Completion, content_key
from .chat_request import RefusedRequestError, RetryLaterError
from .endpoint_llm import LLM
from .requests import Request

if TYPE_CHECKING:  # imported where retries happen: only writing texts needs it
    from tenacity import RetryCallState, Retrying

logger = logging.getLogger(__name__)
_LONGEST_WAIT_S = 60.0
# Limit of the waits that endpoints ask for.
_LONGEST_ASKED_WAIT_S = 600.0


class _StoppedError(Exception):
    """Raised in the other threads after an error has ended the run."""


@dataclass
class WritingReport:
    """Numbers of requests and answers, and the cost of the latter.

    Attributes:
        requests: number of texts asked for.
        written: number of texts obtained.
        left_out: number of texts without a usable answer after all attempts.
        unusable: number of answers, over all attempts, that `parse_answer` refused; the cache keeps them.
        asked: number of answers that came from the language model in this run.
        cached: number of answers that came from the cache.
        retries: number of requests repeated because the endpoint failed.
        prompt_tokens: tokens that the language model read in this run, as far as it reports them.
        completion_tokens: tokens that the language model wrote in this run, as far as it reports them.
        reasons: number of texts left out, by reason.
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
    """Generate one text per request, in the order of the requests.

    Every answer is in the cache before it is checked, whether it is usable or not: after the process was killed, the
    same call only asks for the missing ones.

    Args:
        requests: the texts to generate.
        llm: the language model.
        cache: cache of its answers.
        answer_format: ``json`` or ``text``, see `parse_answer`.
        concurrency: largest number of concurrent requests.
        attempts: largest number of answers that are requested per text until one is usable; each has its own seed.
        retries: how often a failing request is repeated. The waits double from ``first_wait_s`` up to a minute, times a
            random factor between 0.5 and 1.5; a wait that the endpoint asks for (``Retry-After``) is respected instead,
            up to ten minutes.
        max_tokens: largest length of an answer in tokens.
        temperature: sampling temperature.
        seed: sampling seed of the first attempt; the following attempts count up from it.
        first_wait_s: seconds to wait before the first retry.

    Returns:
        Requests with their texts, without those that no attempt gave a usable answer for, and the report.

    Raises:
        ValueError: the endpoint rejects every request.
        ConnectionError: a request failed ``retries + 1`` times in a row.
    """
    requests = list(requests)
    settings = {"max_tokens": max_tokens, "temperature": temperature, "seed": seed}
    writer = _Writer(llm, cache, settings, answer_format, attempts, retries, first_wait_s)
    began = time.perf_counter()
    answers = _map_concurrently(writer.write, requests, concurrency, writer.stop)
    texts = [(request, text) for request, text in zip(requests, answers, strict=True) if text is not None]
    report = writer.report
    report.requests, report.written, report.left_out = len(requests), len(texts), len(requests) - len(texts)
    logger.info("%d of %d texts in %.0f s", report.written, report.requests, time.perf_counter() - began)
    return texts, report


class _Writer:
    """Writes single texts; may be used from several threads. The arguments are those of `write_texts`."""

    def __init__(
        self,
        llm: LLM,
        cache: AnswerCache,
        settings: dict[str, Any],
        answer_format: str,
        attempts: int,
        retries: int,
        first_wait_s: float,
    ):
        self._llm, self._cache, self._settings = llm, cache, settings
        self._answer_format, self._attempts, self._retries = answer_format, attempts, retries
        self.report, self.stop = WritingReport(), threading.Event()
        self._lock = threading.Lock()
        self._key_locks: dict[str, threading.Lock] = {}
        self._retrying = _retrying(retries, first_wait_s, self.stop, self._count_retry)

    def write(self, request: Request) -> str | None:
        """The text of the first usable answer; ``None`` if no attempt gives one."""
        reason = ""
        for attempt in range(self._attempts):
            try:
                return parse_answer(self._answer(request, attempt), self._answer_format, request.forbidden)
            except RefusedRequestError:
                reason = "the endpoint refuses the request"
            except BadAnswerError as error:
                reason = str(error).split(":")[0]
                with self._lock:
                    self.report.unusable += 1
        with self._lock:
            self.report.reasons[reason] = self.report.reasons.get(reason, 0) + 1
        return None

    def _answer(self, request: Request, attempt: int) -> str:
        """The answer of one attempt, from the cache if it is there."""
        messages = request.messages(self._answer_format)
        settings = {**self._settings, "seed": self._settings["seed"] + attempt}
        key = content_key({"model": self._llm.name, "messages": messages, **settings, **self._llm.options})
        with self._lock:
            key_lock = self._key_locks.setdefault(key, threading.Lock())
        with key_lock:  # many reviews are just "Great!": equal requests wait for the answer to the first of them
            cached = self._cache.get(key)
            if cached is None:
                completion = self._complete(messages, settings)
                self._cache.put(key, completion)
        with self._lock:
            if cached is not None:
                self.report.cached += 1
                return cached.text
            self.report.asked += 1
            self.report.prompt_tokens += completion.prompt_tokens or 0
            self.report.completion_tokens += completion.completion_tokens or 0
            return completion.text

    def _complete(self, messages: list[dict[str, str]], settings: dict[str, Any]) -> Completion:
        """Ask the language model, with retries."""
        try:
            return self._retrying(self._llm.complete, messages, settings)
        except RetryLaterError as error:
            tries = self._retries + 1
            raise ConnectionError(f"{self._llm.name}: no answer after {tries} requests: {error}") from error
        except RefusedRequestError as error:
            with self._lock:
                is_first = self.report.asked + self.report.cached == 0
            if is_first:  # then the options are wrong rather than this one request
                raise ValueError(str(error)) from error
            raise

    def _count_retry(self, state: RetryCallState) -> None:
        with self._lock:
            self.report.retries += 1


def _retrying(
    retries: int, first_wait_s: float, stop: threading.Event, before_sleep: Callable[[RetryCallState], None]
) -> Retrying:
    """Repeats calls that raise `RetryLaterError`. Once ``stop`` is set, `_StoppedError` replaces the next try."""
    from tenacity import Retrying, retry_if_exception_type, sleep_using_event, stop_after_attempt, wait_exponential

    exponential = wait_exponential(multiplier=first_wait_s, max=_LONGEST_WAIT_S)

    def wait_s(state: RetryCallState) -> float:
        error = state.outcome.exception() if state.outcome else None
        if isinstance(error, RetryLaterError) and error.wait_s is not None:
            return min(error.wait_s, _LONGEST_ASKED_WAIT_S)
        return exponential(state) * (0.5 + random.random())

    def check_stopped(state: RetryCallState) -> None:
        if stop.is_set():
            raise _StoppedError

    return Retrying(
        retry=retry_if_exception_type(RetryLaterError),
        stop=stop_after_attempt(retries + 1),
        wait=wait_s,
        sleep=sleep_using_event(stop),  # an error in another thread ends the wait
        before=check_stopped,
        before_sleep=before_sleep,
        reraise=True,
    )


def _map_concurrently(
    write: Callable[[Request], str | None], requests: list[Request], concurrency: int, stop: threading.Event
) -> list[str | None]:
    """Results in the order of the requests; after the first error no request is started, and running ones finish."""
    answers: list[str | None] = [None] * len(requests)
    with ThreadPoolExecutor(concurrency) as pool, tqdm(total=len(requests), unit="text") as progress:
        running: dict[Future[str | None], int] = {}
        try:
            for number, request in enumerate(requests):
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


def _collect(running: dict[Future[str | None], int], answers: list[str | None], progress: tqdm) -> None:
    """Wait for at least one running request and move what is finished from ``running`` to ``answers``."""
    done, _ = wait(running, return_when=FIRST_COMPLETED)
    for future in done:
        answers[running.pop(future)] = future.result()
        progress.update()
