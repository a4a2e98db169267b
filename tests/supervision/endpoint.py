"""An OpenAI-compatible endpoint that fails, stalls and answers wrongly when it is told to."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Endpoint(ThreadingHTTPServer):
    """``behave(number, request)`` gives (status, answer text or raw body as bytes, headers), or seconds to stall.

    Attributes:
        requests: all bodies that came, in order. paths: where they went.
        most_at_once: requests that were under way together, at most.
    """

    daemon_threads = True

    def __init__(self, behave: Callable | None = None):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.behave = behave or (lambda number, request: (200, answer(request), {}))
        self.requests: list[dict] = []
        self.paths: list[str] = []
        self.lock, self.at_once, self.most_at_once = threading.Lock(), 0, 0
        self.url = f"http://127.0.0.1:{self.server_port}/v1"
        threading.Thread(target=self.serve_forever, daemon=True).start()


def answer(request: dict) -> str:
    """A good answer that depends on what was asked."""
    data = json.loads(request["messages"][-1]["content"])
    return json.dumps({"text": f"Wants a thing of {len(json.dumps(data))} letters"})


class _Handler(BaseHTTPRequestHandler):
    def log_message(self, *args) -> None:
        pass

    def do_POST(self) -> None:
        server = self.server
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        request["authorization"] = self.headers.get("Authorization")
        with server.lock:
            number = len(server.requests)
            server.requests.append(request)
            server.paths.append(self.path)
            server.at_once += 1
            server.most_at_once = max(server.most_at_once, server.at_once)
        try:
            found = server.behave(number, request)
            if not isinstance(found, tuple):
                time.sleep(found)
                return
            self._send(*found)
        finally:
            with server.lock:
                server.at_once -= 1

    def _send(self, status: int, text: str | bytes, headers: dict[str, str]) -> None:
        message = {"role": "assistant", "content": text if isinstance(text, str) else ""}
        usage = {"prompt_tokens": 50, "completion_tokens": 7, "total_tokens": 57}
        choices = [{"index": 0, "message": message, "finish_reason": "stop"}]
        body = {"id": "1", "object": "chat.completion", "created": 0, "model": "m", "choices": choices, "usage": usage}
        content = text if isinstance(text, bytes) else json.dumps(body).encode()
        try:
            self.send_response(status)
            for name, value in {
                "Content-Type": "application/json",
                "Content-Length": str(len(content)),
                **headers,
            }.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)
        except OSError:
            pass  # the client has given up
