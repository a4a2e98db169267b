"""Language models that write behind an OpenAI-compatible endpoint."""

from __future__ import annotations

from typing import Any, Protocol

from huggingface_hub import InferenceClient
from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled

from .answers import SCHEMA
from .cache import Completion
from .chat_request import RetryLaterError, chat_completion, completions_url, status_error

# Some endpoints want a token, whatever it is. The login's is the Hub's alone.
_NO_TOKEN = "none"


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
        self._url = completions_url(base_url) if base_url else None
        self._token, self._timeout_s = token or _NO_TOKEN, timeout_s
        self._hub = None if base_url else InferenceClient(model=model, token=token, timeout=timeout_s)

    def complete(self, messages: list[dict[str, str]], settings: dict[str, Any]) -> Completion:
        """One answer.

        Raises:
            RetryLaterError: no connection, a stalled or failing endpoint, too many requests, or no chat completion.
            RefusedRequestError: the endpoint does not take this request.
            ValueError: the endpoint takes none: a wrong token or model; for the Hub's providers, offline mode.
        """
        if self._hub is None:
            extra = self.options.get("extra_body", {})
            options = {name: value for name, value in self.options.items() if name != "extra_body"}
            body = {"model": self.name, "messages": messages, **settings, **options, **extra}
            found = chat_completion(self._url, self._token, body, self._timeout_s)
            text, usage = found["choices"][0]["message"].get("content"), found.get("usage") or {}
        else:
            text, usage = self._ask_the_hub(self._hub, messages, settings)
        counts = [usage.get(name) for name in ("prompt_tokens", "completion_tokens")]
        return Completion(_joined(text), *counts)

    def _ask_the_hub(self, client: InferenceClient, messages: list, settings: dict) -> tuple[Any, dict[str, Any]]:
        try:
            found = client.chat_completion(messages, **settings, **self.options)
            return found.choices[0].message.content, found.usage or {}
        except OfflineModeIsEnabled as error:
            raise ValueError(str(error)) from error
        except HfHubHTTPError as error:
            status, headers = getattr(error.response, "status_code", None), getattr(error.response, "headers", {})
            raise status_error(status, str(error), headers.get("retry-after", "")) from error
        except Exception as error:  # whatever a connection can do, and bodies that are no chat completion
            raise RetryLaterError(f"{type(error).__name__}: {error}") from error


def _joined(content: Any) -> str:
    """The text of a message, which some endpoints give in parts. No text is an answer, too: it was paid for."""
    parts = content if isinstance(content, list) else [content]
    texts = (part.get("text") if isinstance(part, dict) else part for part in parts)
    return "".join(text for text in texts if isinstance(text, str))
