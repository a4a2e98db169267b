"""Requests to an OpenAI-compatible endpoint.

They do not go through huggingface_hub's client, which sends nothing in offline mode, even to a local endpoint.
"""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from typing import Any
from urllib.parse import urlsplit, urlunsplit


class RetryLaterError(Exception):
    """A request that failed and may succeed if it is repeated.

    Args:
        message: description of the failure.
        wait_s: seconds that the endpoint asks to wait (its ``Retry-After``); ``None`` if it does not say.
    """

    def __init__(self, message: str, wait_s: float | None = None):
        super().__init__(message)
        self.wait_s = wait_s


class RefusedRequestError(Exception):
    """A request that the endpoint rejects, for example because it is too long; other requests may be accepted."""


def completions_url(base_url: str) -> str:
    """The address of chat completions of an endpoint.

    Args:
        base_url: HTTP address of the endpoint, with or without ``/v1`` or ``/v1/chat/completions`` at its end.

    Raises:
        ValueError: ``base_url`` is not an HTTP address.
    """
    parts = urlsplit(base_url)
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise ValueError(f"--base_url must be an address such as http://localhost:8000/v1, got {base_url!r}")
    path = parts.path.rstrip("/")
    if not path.endswith("/chat/completions"):
        path += "/chat/completions" if path.endswith("/v1") else "/v1/chat/completions"
    return urlunsplit(parts._replace(path=path))


def chat_completion(url: str, token: str, body: dict[str, Any], timeout_s: float) -> dict[str, Any]:
    """Send a chat to an endpoint and return its response.

    Args:
        url: address of chat completions, see `completions_url`.
        token: bearer token for the endpoint.
        body: JSON body of the request: model, messages, settings.
        timeout_s: seconds after which connecting or waiting for data counts as a failure.

    Returns:
        The response's JSON object, with at least one choice that has a message.

    Raises:
        RetryLaterError: no connection, a stalled or failing endpoint, too many requests, or a response that is not a
            chat completion.
        RefusedRequestError: the endpoint rejects this request.
        ValueError: the endpoint rejects every request: wrong address, token or model.
    """
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {token}"}
    request = urllib.request.Request(url, json.dumps(body).encode(), headers, method="POST")
    try:
        with urllib.request.urlopen(request, timeout=timeout_s) as response:
            completion = json.loads(response.read())
        if not isinstance(completion["choices"][0]["message"], dict):
            raise TypeError("no message")
    except urllib.error.HTTPError as error:
        with error:
            details = error.read().decode("utf-8", errors="replace")
        raise status_error(error.code, details, error.headers.get("retry-after", "")) from error
    except Exception as error:  # connection errors of any kind, and responses that are not chat completions
        raise RetryLaterError(f"{type(error).__name__}: {error}") from error
    return completion


def status_error(status: int | None, details: str, retry_after: str) -> Exception:
    """The exception for a failed request.

    Args:
        status: HTTP status of the response; ``None`` without a response.
        details: body of the response, or another description of the failure.
        retry_after: the response's header ``Retry-After``; "" without one. Only a number of seconds is understood.

    Returns:
        `RetryLaterError`, `RefusedRequestError` or ``ValueError``, as in `chat_completion`.
    """
    details = " ".join(details.split())[:300]
    if status is None or status in (408, 409, 425, 429) or status >= 500:
        wait_s = float(retry_after) if retry_after.replace(".", "", 1).isdigit() else None
        return RetryLaterError(f"status {status}", wait_s)
    if status in (400, 413, 422):
        return RefusedRequestError(f"the endpoint refuses a request (status {status}): {details}")
    return ValueError(f"the endpoint refuses (status {status}): {details}")
