"""Answers that were paid for: kept on disk as they come, found again by what was asked."""

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
    """An answer and what it cost, in tokens; ``None`` where the language model does not say."""

    text: str
    prompt_tokens: int | None = None
    completion_tokens: int | None = None


class AnswerCache:
    """A file of JSON lines, one per answer, written through before the answer is used.

    A line that a kill has cut off is ignored, and written over by nothing.

    Args:
        path: made if it is not there.
    """

    def __init__(self, path: str | os.PathLike):
        self.path = Path(path)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._lock = threading.Lock()
        self._found: dict[str, Completion] = {}
        for line in self.path.read_bytes().split(b"\n") if self.path.exists() else ():
            try:
                row = json.loads(line)
                key = row.pop("key")
                self._found[key] = Completion(**row)
            except (ValueError, KeyError, TypeError, AttributeError):
                continue
        self._file = open(self.path, "ab")
        if self.path.stat().st_size:
            self._file.write(b"\n")  # so that what comes next does not join a cut line

    def __len__(self) -> int:
        return len(self._found)

    def get(self, key: str) -> Completion | None:
        """The answer to what has this key, if there is one."""
        return self._found.get(key)

    def put(self, key: str, completion: Completion) -> None:
        """Keep an answer; it is on disk when this returns."""
        line = json.dumps({"key": key, **asdict(completion)}, ensure_ascii=False).encode()
        with self._lock:
            self._found[key] = completion
            self._file.write(line + b"\n")
            self._file.flush()
            os.fsync(self._file.fileno())

    def close(self) -> None:
        self._file.close()


def content_key(value: Any) -> str:
    """A hash of what was asked: model, messages, settings, attempt."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, ensure_ascii=False).encode()).hexdigest()
