"""An on-disk cache of the language model's answers, keyed by the content of the request."""

from __future__ import annotations

import hashlib
import json
import os
import threading
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Completion:
    """An answer and its cost.

    Attributes:
        text: the answer as the language model wrote it.
        prompt_tokens: length of the request in tokens; ``None`` if the language model does not report it.
        completion_tokens: length of the answer in tokens; ``None`` if the language model does not report it.
    """

    text: str
    prompt_tokens: int | None = None
    completion_tokens: int | None = None


class AnswerCache:
    """A file of JSON lines, one per answer. Every answer is on disk before it is used.

    A line that was cut off when the process was killed is ignored and stays in the file.

    Args:
        path: the cache file; it is created, with its folder, if it does not exist.
    """

    def __init__(self, path: str | os.PathLike):
        self.path = Path(path)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._lock = threading.Lock()
        self._completions: dict[str, Completion] = {}
        for line in self.path.read_bytes().split(b"\n") if self.path.exists() else ():
            try:
                row = json.loads(line)
                key = row.pop("key")
                self._completions[key] = Completion(**row)
            except (ValueError, KeyError, TypeError, AttributeError):
                continue
        self._file = open(self.path, "ab")
        if self.path.stat().st_size:
            self._file.write(b"\n")  # so that the next line is not appended to a cut one

    def __len__(self) -> int:
        return len(self._completions)

    def get(self, key: str) -> Completion | None:
        """The cached answer to a request, or ``None``.

        Args:
            key: `content_key` of the request.
        """
        return self._completions.get(key)

    def put(self, key: str, completion: Completion) -> None:
        """Store an answer; it is on disk when this returns.

        Args:
            key: `content_key` of the request.
            completion: the answer.
        """
        line = json.dumps({"key": key, **asdict(completion)}, ensure_ascii=False).encode()
        with self._lock:
            self._completions[key] = completion
            self._file.write(line + b"\n")
            self._file.flush()
            os.fsync(self._file.fileno())

    def close(self) -> None:
        """Close the file; `put` cannot be called afterwards."""
        self._file.close()


def content_key(value: Any) -> str:
    """The SHA-256 hash of a request, as a hexadecimal string.

    Args:
        value: JSON value with everything that determines the answer: model, messages, settings (with the seed).
    """
    return hashlib.sha256(json.dumps(value, sort_keys=True, ensure_ascii=False).encode()).hexdigest()
