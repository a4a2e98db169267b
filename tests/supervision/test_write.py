"""Asking an endpoint that fails, stalls and lies; a kill in between; and what ends up in the dataset."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from datasets import load_dataset

from hf_llmrec import RecDataset
from hf_llmrec.cli import annotate
from hf_llmrec.supervision.cache import AnswerCache, Completion
from hf_llmrec.supervision.chat_request import RetryLaterError
from hf_llmrec.supervision.endpoint_llm import EndpointLLM
from hf_llmrec.supervision.requests import Request
from hf_llmrec.supervision.write import _retrying, _StoppedError, write_texts

from .endpoint import Endpoint, answer

REQUESTS = [Request("intentions", f"u{n}", f"i{n}", n, {"review": "x" * n}) for n in range(30)]


@pytest.fixture
def endpoint(monkeypatch):
    # An endpoint is asked whatever holds for the Hub.
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    found = Endpoint()
    yield found
    found.shutdown()
    found.server_close()


def ask(endpoint, path, requests=REQUESTS, timeout_s=5.0, **options):
    cache = AnswerCache(path / "answers.jsonl")
    llm = EndpointLLM("m", base_url=endpoint.url, token="secret", timeout_s=timeout_s)
    try:
        return write_texts(requests, llm, cache, first_wait_s=0.01, **options)
    finally:
        cache.close()


def test_texts_come_in_order_side_by_side_within_the_bound(endpoint, tmp_path):
    endpoint.behave = lambda number, request: (time.sleep(0.03), (200, answer(request), {}))[1]
    texts, report = ask(endpoint, tmp_path, concurrency=4)
    assert [request for request, _ in texts] == REQUESTS
    assert [text for _, text in texts] == [
        json.loads(answer({"messages": r.messages("json")}))["text"] for r in REQUESTS
    ]
    assert 2 <= endpoint.most_at_once <= 4
    assert (report.requests, report.written, report.asked, report.cached) == (30, 30, 30, 0)
    assert (report.prompt_tokens, report.completion_tokens) == (1500, 210)
    first = endpoint.requests[0]
    assert first["authorization"] == "Bearer secret" and first["model"] == "m" and first["max_tokens"] == 200
    again, report = ask(endpoint, tmp_path)
    assert again == texts and (report.asked, report.cached, report.prompt_tokens) == (0, 30, 0)
    assert len(endpoint.requests) == 30, "nothing is paid for twice"


def test_who_asks_the_same_at_the_same_time_pays_once(endpoint, tmp_path):
    endpoint.behave = lambda number, request: (time.sleep(0.05), (200, answer(request), {}))[1]
    same = [Request("intentions", f"u{n}", f"i{n}", n, {"review": "Great!" * (n % 2)}) for n in range(12)]
    texts, report = ask(endpoint, tmp_path, same, concurrency=6)
    assert len(texts) == 12 and len(endpoint.requests) == 2 and (report.asked, report.cached) == (2, 10)


def test_an_endpoint_that_fails_and_stalls_is_asked_again(endpoint, tmp_path):
    def behave(number, request):
        if number % 5 == 0:
            return (503, b"down", {})
        if number % 5 == 1:
            return (429, b"slow down", {"Retry-After": "0.01"})
        if number == 2:
            return 3.0  # longer than a request may take
        if number == 3:
            return (200, b"no json at all", {})
        return (200, answer(request), {})

    endpoint.behave = behave
    texts, report = ask(endpoint, tmp_path, timeout_s=0.5, concurrency=4, retries=8)
    assert len(texts) == 30 and report.retries >= 12 and report.left_out == 0
    assert report.asked == 30, "failures are no answers"


def test_waits_double_up_to_a_minute_and_an_endpoint_may_ask_for_others(monkeypatch):
    monkeypatch.setattr("random.random", lambda: 0.5)
    asked, waits, retried = [None] * 8 + [0.25, 90.0, 10_000.0], [], []
    retrying = _retrying(len(asked), 1.0, threading.Event(), retried.append)
    retrying.sleep = waits.append
    errors = iter([RetryLaterError("later", wait_s) for wait_s in asked])

    def fail():
        for error in errors:
            raise error
        return "done"

    assert retrying(fail) == "done" and len(retried) == len(asked)
    assert waits == [1, 2, 4, 8, 16, 32, 60, 60, 0.25, 90, 600]


def test_no_request_is_repeated_once_another_one_has_ended_it_all():
    stop, calls = threading.Event(), []
    retrying = _retrying(5, 60.0, stop, lambda state: stop.set())

    def fail():
        calls.append(1)
        raise RetryLaterError("later")

    began = time.monotonic()
    with pytest.raises(_StoppedError):
        retrying(fail)
    assert calls == [1] and time.monotonic() - began < 30, "the event ends the wait"


def test_bad_answers_are_asked_for_again_and_then_left_out(endpoint, tmp_path):
    tries: dict[str, int] = {}

    def behave(number, request):
        data = request["messages"][-1]["content"]
        tries[data] = tries.get(data, 0) + 1
        length = len(json.loads(data)["review"])
        if length % 3 == 0:  # never good
            return (200, "I cannot do that.", {})
        return (200, answer(request) if tries[data] > 1 else '{"text": ""}', {})

    endpoint.behave = behave
    texts, report = ask(endpoint, tmp_path, attempts=3)
    assert [len(request.data["review"]) % 3 for request, _ in texts] == [1, 2] * 10
    assert (report.written, report.left_out, report.reasons) == (20, 10, {"it is no JSON": 10})
    assert report.asked == 20 * 2 + 10 * 3 and report.unusable == 20 + 10 * 3
    seeds = [request["seed"] for request in endpoint.requests if request["messages"][-1]["content"] == '{"review": ""}']
    assert seeds == [0, 1, 2], "an attempt has a seed of its own"
    again, report = ask(endpoint, tmp_path, attempts=3)
    assert again == texts and report.asked == 0, "bad answers are remembered, too"


@pytest.mark.parametrize(
    ("status", "kind", "message"),
    [(401, ValueError, "refuses .status 401"), (500, ConnectionError, "no answer after 3")],
)
def test_an_endpoint_that_refuses_or_stays_down_ends_it_and_keeps_what_came(endpoint, tmp_path, status, kind, message):
    endpoint.behave = lambda number, request: (200, answer(request), {}) if number < 10 else (status, b"no", {})
    with pytest.raises(kind, match=message):
        ask(endpoint, tmp_path, concurrency=2, retries=2)
    asked = len(endpoint.requests)
    assert asked < 30, "the rest was not tried"
    endpoint.behave = lambda number, request: (200, answer(request), {})
    texts, report = ask(endpoint, tmp_path)
    assert len(texts) == 30 and report.cached == 10 and report.asked == 20


def test_the_hubs_providers_are_not_asked_offline_and_that_is_said_at_once(tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    llm = EndpointLLM("me/model", token="hf_of_the_login")
    with pytest.raises(ValueError, match="offline mode is enabled"):
        write_texts(REQUESTS, llm, AnswerCache(tmp_path / "answers.jsonl"))


def test_a_cut_line_in_the_cache_is_one_answer_lost_and_no_more(tmp_path):
    cache = AnswerCache(tmp_path / "answers.jsonl")
    for number in range(3):
        cache.put(str(number), Completion(f"text {number}", 1, 2))
    cache.close()
    data = (tmp_path / "answers.jsonl").read_bytes()
    (tmp_path / "answers.jsonl").write_bytes(data[:-9])
    cache = AnswerCache(tmp_path / "answers.jsonl")
    assert len(cache) == 2 and cache.get("1") == Completion("text 1", 1, 2) and cache.get("2") is None
    cache.put("2", Completion("text 2"))
    cache.close()
    assert len(AnswerCache(tmp_path / "answers.jsonl")) == 3


def options(endpoint, folder: Path, *more: str) -> list[str]:
    return ["--dataset", str(folder), "--base_url", endpoint.url, "--model", "m", "--token", "secret", *more]


def test_the_tables_and_their_provenance(endpoint, reviewed, tmp_path, capsys):
    (reviewed / "vectors.safetensors").write_bytes(b"kept as it is")
    annotate.main(
        options(endpoint, reviewed, "--output_dir", str(tmp_path / "out"), "--price_in", "2", "--price_out", "10")
    )
    said = capsys.readouterr().out
    assert "reviews left out: 24 of held-out items, 0 not before the split point" in said
    assert "intentions: 36 of 36 written" in said and "preferences: 12 of 12 written" in said
    assert f"cost {36 * (50 * 2 + 7 * 10) / 1e6:.4f}" in said
    dataset = RecDataset.load(tmp_path / "out")
    assert dataset.fingerprint == RecDataset.load(reviewed).fingerprint
    assert dataset.intentions.num_rows == 36 and dataset.preferences.num_rows == 12
    assert (tmp_path / "out" / "vectors.safetensors").read_bytes() == b"kept as it is"
    for table in ("interactions", "intentions", "preferences"):
        assert load_dataset(str(tmp_path / "out"), table, cache_dir=str(tmp_path / "cache"))["train"].num_rows
    card = (tmp_path / "out" / "README.md").read_text()
    assert (
        "### intentions" in card
        and "| model | m |" in card
        and "You read one review" in card
        and "| texts | 36 |" in card
        and "# reviewed" in card
    )
    # In place, another time: the section is written anew, not twice, and the other kind's stays.
    annotate.main(options(endpoint, tmp_path / "out", "--kinds", "preferences", "--limit", "5", "--overwrite"))
    card = (tmp_path / "out" / "README.md").read_text()
    assert card.count("## Texts written by a language model") == 1
    assert "| texts | 36 |" in card and "| texts | 5 |" in card and "| texts | 12 |" not in card
    assert RecDataset.load(tmp_path / "out").preferences.num_rows == 5


def test_lcrec_trains_on_what_was_written(endpoint, reviewed, tmp_path):
    from hf_llmrec.cli import build_index, train_lcrec

    annotate.main(options(endpoint, reviewed))
    build_index.main(["--dataset", str(reviewed), "--output_dir", str(tmp_path / "index")])
    short = ["--max_steps", "1", "--use_cpu", "True", "--report_to", "none"]
    places = ["--index", str(tmp_path / "index"), "--output_dir", str(tmp_path / "lcrec")]
    train_lcrec.main(["--dataset", str(reviewed), *places, *short, "--task_weights", '{"ite": 1, "per": 1}'])
    report = json.loads((tmp_path / "lcrec" / "training_report.json").read_text())
    # Each user's first training item has nothing before it, but an intention needs no history.
    assert report["task_rows"]["ite_intention_to_item"] == 36 and report["task_rows"]["per"] == 12


def test_a_kill_in_between_costs_no_answer_that_has_come(endpoint, reviewed):
    endpoint.behave = lambda number, request: (time.sleep(0.1), (200, answer(request), {}))[1]
    command = [sys.executable, "-m", "hf_llmrec.cli.annotate", *options(endpoint, reviewed, "--concurrency", "2")]
    before = {path.name for path in reviewed.iterdir()}
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=dict(os.environ))
    end = time.monotonic() + 300  # a busy machine imports slowly
    while len(endpoint.requests) < 15 and time.monotonic() < end:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    known = len(AnswerCache(reviewed / ".answers.jsonl"))
    assert 10 <= known <= 20 and {path.name for path in reviewed.iterdir()} == before | {".answers.jsonl"}
    asked = len(endpoint.requests)
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    assert len(endpoint.requests) - asked == 48 - known
    assert RecDataset.load(reviewed).intentions.num_rows == 36


def test_an_endpoint_that_is_not_there_is_asked_again_and_then_named(endpoint, tmp_path):
    cache = AnswerCache(tmp_path / "answers.jsonl")
    llm = EndpointLLM("m", base_url="http://127.0.0.1:9/v1", timeout_s=2.0)
    with pytest.raises(ConnectionError, match="m: no answer after 3 requests"):
        write_texts(REQUESTS[:2], llm, cache, retries=2, first_wait_s=0.01)


def test_an_answer_without_text_was_paid_for_and_is_no_failure(endpoint, tmp_path):
    body = {"choices": [{"index": 0, "message": {"role": "assistant", "content": None}, "finish_reason": "length"}]}
    body |= {"id": "1", "object": "chat.completion", "created": 0, "model": "m", "usage": {"completion_tokens": 200}}
    endpoint.behave = lambda number, request: (200, json.dumps(body).encode(), {})
    texts, report = ask(endpoint, tmp_path, REQUESTS[:3], attempts=2)
    assert texts == [] and report.reasons == {"it is no JSON": 3} and report.retries == 0
    assert ask(endpoint, tmp_path, REQUESTS[:3], attempts=2)[1].asked == 0 and len(endpoint.requests) == 6


def test_a_request_that_is_refused_is_left_out_unless_it_is_the_first(endpoint, tmp_path):
    def behave(number, request):
        is_long = len(json.loads(request["messages"][-1]["content"])["review"]) > 20
        return (400, b"too long", {}) if is_long else (200, answer(request), {})

    endpoint.behave = behave
    texts, report = ask(endpoint, tmp_path, concurrency=1)
    assert len(texts) == 21 and report.left_out == 9 and set(report.reasons) == {"the endpoint refuses the request"}
    with pytest.raises(ValueError, match="refuses a request .status 400"):
        ask(endpoint, tmp_path / "other", REQUESTS[25:], concurrency=1)


def test_the_logins_token_goes_to_nobody_but_the_hub(endpoint, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_of_the_login")
    cache = AnswerCache(tmp_path / "answers.jsonl")
    write_texts(REQUESTS[:1], EndpointLLM("m", base_url=endpoint.url), cache)
    assert endpoint.requests[0]["authorization"] == "Bearer none"


def test_an_answer_is_known_by_all_that_was_asked_for(endpoint, tmp_path):
    for number, options in enumerate(
        ({}, {"json_schema": True}, {"extra_body": {"chat_template_kwargs": {"a": False}}})
    ):
        cache = AnswerCache(tmp_path / "answers.jsonl")
        _, report = write_texts(REQUESTS[:1], EndpointLLM("m", base_url=endpoint.url, **options), cache)
        assert report.asked == 1, number
    assert "response_format" in endpoint.requests[1] and endpoint.requests[2]["chat_template_kwargs"] == {"a": False}


def test_answers_in_code_fences_are_used_and_the_others_are_kept_and_counted(endpoint, reviewed, tmp_path, capsys):
    def behave(number, request):
        good = answer(request)
        return (200, f"Sure:\n```json\n{good}\n```" if number % 3 else f"{good} {good}", {})

    endpoint.behave = behave
    annotate.main(options(endpoint, reviewed, "--kinds", "intentions", "--attempts", "1", "--concurrency", "1"))
    said = capsys.readouterr().out
    asked = len(endpoint.requests)
    unusable = len(range(0, asked, 3))
    assert RecDataset.load(reviewed).intentions.num_rows == asked - unusable > 0
    cache = reviewed / ".answers.jsonl"
    assert f"{unusable} answers could not be used; they are kept in {cache}" in said
    assert sum(1 for line in cache.read_text().splitlines() if "Wants a thing" in line) == asked


@pytest.mark.parametrize("path", ["", "/", "/v1", "/v1/", "/v1/chat/completions", "/a/v1?version=2"])
def test_addresses_of_endpoints(endpoint, tmp_path, path):
    base = endpoint.url.removesuffix("/v1") + path
    cache = AnswerCache(tmp_path / "answers.jsonl")
    assert write_texts(REQUESTS[:1], EndpointLLM("m", base_url=base), cache)[1].written == 1
    wanted = {"/a/v1?version=2": "/a/v1/chat/completions?version=2"}.get(path, "/v1/chat/completions")
    assert endpoint.paths == [wanted]


@pytest.mark.parametrize("base_url", ["localhost:8000/v1", "file:///etc/hostname", "http:///v1"])
def test_what_is_no_address_of_an_endpoint(base_url):
    with pytest.raises(ValueError, match="--base_url must be an address such as"):
        EndpointLLM("m", base_url=base_url)


def test_an_answer_in_parts_is_one(endpoint, tmp_path):
    parts = [{"type": "text", "text": '{"text": "a '}, {"type": "text", "text": 'wish"}'}]
    body = {"choices": [{"message": {"role": "assistant", "content": parts}}]}
    endpoint.behave = lambda number, request: (200, json.dumps(body).encode(), {})
    assert [text for _, text in ask(endpoint, tmp_path, REQUESTS[:1])[0]] == ["a wish"]


def test_tables_of_several_files_and_other_peoples_words_stay(endpoint, reviewed, tmp_path):
    (reviewed / "interactions").mkdir()
    (reviewed / "interactions.parquet").rename(reviewed / "interactions" / "part-0.parquet")
    card = (reviewed / "README.md").read_text().split("---\n", 2)[2]
    (reviewed / "README.md").write_text(card + "\n## Mine\n\nwritten by hand\n")
    annotate.main(options(endpoint, reviewed, "--output_dir", str(tmp_path / "out")))
    assert RecDataset.load(tmp_path / "out").num_interactions == 60
    text = (tmp_path / "out" / "README.md").read_text()
    with (tmp_path / "out" / "README.md").open("a") as file:
        file.write("\n## Below\n\nalso by hand\n")
    annotate.main(options(endpoint, tmp_path / "out", "--overwrite"))
    text = (tmp_path / "out" / "README.md").read_text()
    assert text.count("---\n") == 2 and "written by hand" in text and "also by hand" in text
    assert text.count("### preferences") == 1


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--concurrency", "0"], "--concurrency must be at least 1"),
        (["--retries", "-1"], "--retries must be at least 0"),
        (["--limit", "-1"], "--limit must be at least 0"),
        (["--local"], "--base_url is about an endpoint"),
        (["--json_schema", "--answer_format", "text"], "--json_schema asks for JSON"),
        (["--dataset", "nowhere"], "--output_dir is required"),
    ],
)
def test_options_that_make_no_sense(endpoint, reviewed, more, message):
    with pytest.raises(ValueError, match=message):
        annotate.main(options(endpoint, reviewed, *more))


def test_a_model_that_is_loaded_here(chat_model, reviewed):
    """Its words are nonsense: they are taken as texts, and as JSON they are left out."""
    local = ["--dataset", str(reviewed), "--model", str(chat_model), "--local", "--limit", "4", "--max_tokens", "8"]
    annotate.main([*local, "--kinds", "intentions", "--answer_format", "text"])
    first = RecDataset.load(reviewed).intentions
    assert 1 <= first.num_rows <= 4
    again = ["--kinds", "intentions", "--answer_format", "text", "--cache", str(reviewed.parent / "other")]
    with pytest.raises(ValueError, match="has a table intentions already"):
        annotate.main([*local, *again])
    annotate.main([*local, *again, "--overwrite"])
    assert RecDataset.load(reviewed).intentions.equals(first), "the same seed gives the same texts"
    annotate.main([*local, "--kinds", "preferences"])
    assert RecDataset.load(reviewed).preferences is None, "an empty table is none"
