"""One request to an OpenAI-compatible endpoint. It is not the Hub's client: that asks nobody in offline mode."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from typing import Any
from urllib.parse import urlsplit, urlunsplit


class RetryLaterError(Exception):
    """A request that may succeed if it is made again. ``wait_s``: how long the endpoint asks to wait, if it does."""

    def __init__(self, message: str, wait_s: float | None = None):
        super().__init__(message)
        self.wait_s = wait_s


class RefusedRequestError(Exception):
    """A request that the endpoint will not take, such as one that is too long; others it may."""


def completions_url(base_url: str) -> str:
    """The address of chat completions below a base URL, which may end in ``/v1``, or be that address.

    Raises:
        ValueError: no HTTP address.
    """
    parts = urlsplit(base_url)
    if parts.scheme not in ("http", "https") or not parts.netloc:
        raise ValueError(f"--base_url must be an address such as http://localhost:8000/v1, got {base_url!r}")
    path = parts.path.rstrip("/")
    if not path.endswith("/chat/completions"):
        path += "/chat/completions" if path.endswith("/v1") else "/v1/chat/completions"
    return urlunsplit(parts._replace(path=path))


def chat_completion(url: str, token: str, body: dict[str, Any], timeout_s: float) -> dict[str, Any]:
    """Post a chat, and give the endpoint's answer.

    Args:
        url: of chat completions.
        token: for the endpoint.
        body: of the request: model, messages, settings.
        timeout_s: seconds until a connection, or an answer that stalls, has failed.

    Raises:
        RetryLaterError: no connection, a stalled or failing endpoint, too many requests, or no chat completion.
        RefusedRequestError: the endpoint does not take this request.
        ValueError: the endpoint takes none: a wrong address, token or model.
    """
    headers = {"Content-Type": "application/json", "Authorization": f"Bearer {token}"}
    request = urllib.request.Request(url, json.dumps(body).encode(), headers, method="POST")
    try:
        with urllib.request.urlopen(request, timeout=timeout_s) as response:
            found = json.loads(response.read())
        if not isinstance(found["choices"][0]["message"], dict):
            raise TypeError("no message")
    except urllib.error.HTTPError as error:
        with error:
            said = error.read().decode("utf-8", errors="replace")
        raise status_error(error.code, said, error.headers.get("retry-after", "")) from error
    except Exception as error:  # whatever a connection can do, and bodies that are no chat completion
        raise RetryLaterError(f"{type(error).__name__}: {error}") from error
    return found


def status_error(status: int | None, said: str, wait: str) -> Exception:
    """What a failed request means.

    Args:
        status: of the response, ``None`` without one.
        said: its text.
        wait: its header ``Retry-After``, "" without one.
    """
    said = " ".join(said.split())[:300]
    if status is None or status in (408, 409, 425, 429) or status >= 500:
        return RetryLaterError(f"status {status}", float(wait) if wait.replace(".", "", 1).isdigit() else None)
    if status in (400, 413, 422):
        return RefusedRequestError(f"the endpoint refuses a request (status {status}): {said}")
    return ValueError(f"the endpoint refuses (status {status}): {said}")
