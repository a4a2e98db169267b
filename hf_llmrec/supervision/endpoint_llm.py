"""Language models behind an OpenAI-compatible endpoint or one of the Hub's inference providers."""

from __future__ import annotations

from typing import Any, Protocol

from huggingface_hub import InferenceClient
from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled

from .answers import SCHEMA
from .cache import Completion
from .chat_request import RetryLaterError, chat_completion, completions_url, status_error

# Some endpoints require a token and accept any. The token of the Hub login is never sent to them.
_NO_TOKEN = "none"


class LLM(Protocol):
    """A language model that answers chats.

    Attributes:
        name: name of the model; part of the cache key of its answers.
        options: further options that influence its answers; also part of the cache key.
    """

    name: str
    options: dict[str, Any]

    def complete(self, messages: list[dict[str, str]], settings: dict[str, Any]) -> Completion:
        """Answer one chat.

        Args:
            messages: the chat, as ``{"role", "content"}``.
            settings: ``max_tokens``, ``temperature`` and ``seed``.
        """
        ...


class EndpointLLM:
    """A chat model behind an OpenAI-compatible endpoint, or one of the Hub's inference providers.

    Args:
        model: name of the model at the endpoint.
        base_url: address of the endpoint, see `completions_url`. Default: the Hub's inference providers.
        token: token for the endpoint. Default: the token of the Hub login, which is sent to the Hub's providers only.
        timeout_s: seconds after which a request counts as failed.
        json_schema: ask the endpoint to enforce the answer's JSON schema; not all endpoints support it.
        extra_body: further fields of the request body, such as
            ``{"chat_template_kwargs": {"enable_thinking": False}}``.

    Raises:
        ValueError: ``base_url`` is not an HTTP address.
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
        self._token, self._timeout_s = token or _NO_TOKEN, timeout_s
        # Either the address of an endpoint or the client of the Hub's providers.
        self._target: str | InferenceClient = (
            completions_url(base_url) if base_url else InferenceClient(model=model, token=token, timeout=timeout_s)
        )

    def complete(self, messages: list[dict[str, str]], settings: dict[str, Any]) -> Completion:
        """Answer one chat.

        Args:
            messages: the chat, as ``{"role", "content"}``.
            settings: ``max_tokens``, ``temperature`` and ``seed``.

        Raises:
            RetryLaterError: no connection, a stalled or failing endpoint, too many requests, or a response that is not
                a chat completion.
            RefusedRequestError: the endpoint rejects this request.
            ValueError: the endpoint rejects every request: wrong token or model; for the Hub's providers also offline
                mode.
        """
        if isinstance(self._target, str):
            extra = self.options.get("extra_body", {})
            options = {name: value for name, value in self.options.items() if name != "extra_body"}
            body = {"model": self.name, "messages": messages, **settings, **options, **extra}
            completion = chat_completion(self._target, self._token, body, self._timeout_s)
            text, usage = completion["choices"][0]["message"].get("content"), completion.get("usage") or {}
        else:
            text, usage = self._ask_the_hub(self._target, messages, settings)
        counts = [usage.get(name) for name in ("prompt_tokens", "completion_tokens")]
        return Completion(_joined(text), *counts)

    def _ask_the_hub(self, client: InferenceClient, messages: list, settings: dict) -> tuple[Any, dict[str, Any]]:
        try:
            completion = client.chat_completion(messages, **settings, **self.options)
            return completion.choices[0].message.content, completion.usage or {}
        except OfflineModeIsEnabled as error:
            raise ValueError(str(error)) from error
        except HfHubHTTPError as error:
            status, headers = getattr(error.response, "status_code", None), getattr(error.response, "headers", {})
            raise status_error(status, str(error), headers.get("retry-after", "")) from error
        except Exception as error:  # connection errors of any kind, and responses that are not chat completions
            raise RetryLaterError(f"{type(error).__name__}: {error}") from error


def _joined(content: Any) -> str:
    """Join the text of a message, which some endpoints return in parts.

    A message without text becomes an empty answer: it was paid for, and goes into the cache like any other.
    """
    parts = content if isinstance(content, list) else [content]
    texts = (part.get("text") if isinstance(part, dict) else part for part in parts)
    return "".join(text for text in texts if isinstance(text, str))
