"""Language models that write behind an OpenAI-compatible endpoint."""

from __future__ import annotations

from typing import Any, Protocol

from huggingface_hub import InferenceClient
from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled

from .answers import SCHEMA
from .cache import Completion

# The client would send the login's, whoever asks for it.
_NO_TOKEN = "none"


class RetryLaterError(Exception):
    """A request that may succeed if it is made again. ``wait_s``: how long the endpoint asks to wait, if it does."""

    def __init__(self, message: str, wait_s: float | None = None):
        super().__init__(message)
        self.wait_s = wait_s


class RefusedRequestError(Exception):
    """A request that the endpoint will not take, such as one that is too long; others it may."""


class LLM(Protocol):
    """Answers chats. ``name`` and ``options`` are part of what an answer is cached by."""

    name: str
    options: dict[str, Any]

    def complete(self, messages: list[dict[str, str]], settings: dict[str, Any]) -> Completion: ...


class EndpointLLM:
    """A chat model behind an OpenAI-compatible endpoint, or one of the Hub's inference providers.

    Args:
        model: as the endpoint calls it. base_url: of the endpoint, default: the Hub's providers.
        token: for the endpoint. Without one the login's token goes to the Hub's providers, and to nobody else.
        timeout_s: of a request. json_schema: ask the endpoint to keep to the answer's schema; not all can.
        extra_body: further fields of a request, such as ``{"chat_template_kwargs": {"enable_thinking": False}}``.
    """

    def __init__(
        self,
        model: str,
        *,
        base_url: str | None = None,
        token: str | None = None,
        timeout_s: float = 120.0,
        json_schema: bool = False,
        extra_body: dict[str, Any] | None = None,
    ):
        self.name = model
        self.options: dict[str, Any] = {"extra_body": extra_body} if extra_body else {}
        if json_schema:
            schema = {"name": "answer", "schema": SCHEMA, "strict": True}
            self.options["response_format"] = {"type": "json_schema", "json_schema": schema}
        where = {"base_url": base_url} if base_url else {"model": model}
        self._model = model if base_url else None
        self._client = InferenceClient(**where, token=token or (_NO_TOKEN if base_url else None), timeout=timeout_s)

    def complete(self, messages: list[dict[str, str]], settings: dict[str, Any]) -> Completion:
        """One answer.

        Raises:
            RetryLaterError: no connection, a stalled or failing endpoint, too many requests, or no chat completion.
            RefusedRequestError: the endpoint does not take this request.
            ValueError: the endpoint takes none: a wrong token or model, or offline mode.
        """
        try:
            found = self._client.chat_completion(messages, model=self._model, **settings, **self.options)
            text, usage = found.choices[0].message.content, found.usage
        except OfflineModeIsEnabled as error:
            raise ValueError(str(error)) from error
        except HfHubHTTPError as error:
            raise _http_error(error) from error
        except Exception as error:  # whatever a connection can do, and bodies that are no chat completion
            raise RetryLaterError(f"{type(error).__name__}: {error}") from error
        counts = [getattr(usage, name, None) for name in ("prompt_tokens", "completion_tokens")]
        return Completion(text if isinstance(text, str) else "", *counts)  # no text is an answer, too: it was paid for


def _http_error(error: HfHubHTTPError) -> Exception:
    response = error.response
    status = getattr(response, "status_code", None)
    said = " ".join(str(error).split())[:300]
    if status is None or status in (408, 409, 425, 429) or status >= 500:
        wait = getattr(response, "headers", {}).get("retry-after", "")
        return RetryLaterError(f"status {status}", float(wait) if wait.replace(".", "", 1).isdigit() else None)
    if status in (400, 413, 422):
        return RefusedRequestError(f"the endpoint refuses a request (status {status}): {said}")
    return ValueError(f"the endpoint refuses (status {status}): {said}")
