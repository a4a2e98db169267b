"""Language models that write behind an OpenAI-compatible endpoint."""

from __future__ import annotations

from typing import Any, Protocol

from huggingface_hub import InferenceClient
from huggingface_hub.errors import HfHubHTTPError, InferenceTimeoutError, OfflineModeIsEnabled

from .answers import SCHEMA
from .cache import Completion


class RetryLaterError(Exception):
    """A request that may succeed if it is made again. ``wait_s``: how long the endpoint asks to wait, if it does."""

    def __init__(self, message: str, wait_s: float | None = None):
        super().__init__(message)
        self.wait_s = wait_s


class LLM(Protocol):
    """Answers chats. ``name`` is part of what an answer is cached by."""

    name: str

    def complete(self, messages: list[dict[str, str]], settings: dict[str, Any]) -> Completion: ...


class EndpointLLM:
    """A chat model behind an OpenAI-compatible endpoint, or one of the Hub's inference providers.

    Args:
        model: as the endpoint calls it. base_url: of the endpoint, default: the Hub's providers.
        token: for the endpoint, default: that of the login. timeout_s: of a request.
        json_schema: ask the endpoint to keep to the answer's schema; not all can.
    """

    def __init__(
        self,
        model: str,
        *,
        base_url: str | None = None,
        token: str | None = None,
        timeout_s: float = 120.0,
        json_schema: bool = False,
    ):
        self.name, self.json_schema = model, json_schema
        where = {"base_url": base_url} if base_url else {"model": model}
        self._model = model if base_url else None
        self._client = InferenceClient(**where, token=token, timeout=timeout_s)

    def complete(self, messages: list[dict[str, str]], settings: dict[str, Any]) -> Completion:
        """One answer.

        Raises:
            RetryLaterError: no connection, a stalled or failing endpoint, too many requests, an answer without text.
            ValueError: an endpoint that refuses: a wrong token, model or option.
        """
        asked = dict(settings)
        if self.json_schema:
            schema = {"name": "answer", "schema": SCHEMA, "strict": True}
            asked["response_format"] = {"type": "json_schema", "json_schema": schema}
        try:
            found = self._client.chat_completion(messages, model=self._model, **asked)
            text, usage = found.choices[0].message.content, found.usage
        except HfHubHTTPError as error:
            raise _http_error(error) from error
        except OfflineModeIsEnabled as error:
            raise ValueError(str(error)) from error
        except (InferenceTimeoutError, OSError) as error:
            raise RetryLaterError(f"{type(error).__name__}: {error}") from error
        except (ValueError, TypeError, KeyError, IndexError, AttributeError) as error:
            raise RetryLaterError(f"an answer that is no chat completion: {error}") from error
        if not isinstance(text, str):
            raise RetryLaterError("an answer without text")
        counts = [getattr(usage, name, None) for name in ("prompt_tokens", "completion_tokens")]
        return Completion(text, *counts)


def _http_error(error: HfHubHTTPError) -> Exception:
    response = error.response
    status = getattr(response, "status_code", None)
    if status is None or status in (408, 409, 425, 429) or status >= 500:
        wait = getattr(response, "headers", {}).get("retry-after", "")
        return RetryLaterError(f"status {status}", float(wait) if wait.replace(".", "", 1).isdigit() else None)
    return ValueError(f"the endpoint refuses (status {status}): {' '.join(str(error).split())[:300]}")
