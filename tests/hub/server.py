"""A small server that speaks the Hub's protocol: repositories with commits in memory, for real clients."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

KINDS = ("models", "datasets", "spaces")
TOKEN = "hf_of_the_owner"
WHO = "me"


class Repo:
    """Files per commit, and where branches point. A ``gated`` one is there for all to see, and for nobody to read."""

    def __init__(self, private: bool = False, sdk: str | None = None, gated: bool = False):
        self.private, self.sdk, self.gated = private, sdk, gated
        self.commits: dict[str, dict[str, bytes]] = {}
        self.branches: dict[str, str] = {}
        self.messages: dict[str, str] = {}
        self.commit({}, "main")

    def commit(self, changes: dict[str, bytes | None], branch: str, message: str = "") -> str:
        """Apply changes (None deletes) on top of a branch; returns the commit's id."""
        files = dict(self.commits.get(self.branches.get(branch, self.branches.get("main", "")), {}))
        for path, content in changes.items():
            if content is None:
                files.pop(path, None)
            else:
                files[path] = content
        oid = hashlib.sha1(repr((len(self.commits), sorted(files))).encode()).hexdigest()
        self.commits[oid], self.messages[oid] = files, message
        self.branches[branch] = oid
        return oid

    def resolve(self, revision: str) -> str | None:
        return self.branches.get(revision) or (revision if revision in self.commits else None)


class HubServer(ThreadingHTTPServer):
    """Serves ``repos``, (kind, id) -> `Repo`, on a free port of this machine; ``url`` is its address.

    ``cut`` has names of files, and how many more of their downloads break off half-way; ``failing`` (id of a
    repository, part of a message) of commits that are answered with 500; a commit of a training in progress waits until
    ``open`` is set.
    """

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), HubHandler)
        self.repos: dict[tuple[str, str], Repo] = {}
        self.cut: dict[str, int] = {}
        self.failing: set[tuple[str, str]] = set()
        self.open = threading.Event()
        self.open.set()
        self.url = f"http://127.0.0.1:{self.server_port}"
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def add_folder(self, kind: str, name: str, folder: Path) -> None:
        """Make a repository that holds the files of a folder."""
        self.repos[kind, name] = Repo()
        files = {str(p.relative_to(folder)): p.read_bytes() for p in Path(folder).rglob("*") if p.is_file()}
        self.repos[kind, name].commit(files, "main")

    def environment(self, home, token: str | None = TOKEN) -> dict[str, str]:
        """Variables that send a fresh process here and nowhere else."""
        found = {"HF_ENDPOINT": self.url, "HF_HOME": str(home), "HF_HUB_DISABLE_XET": "1", "PATH": "/usr/bin:/bin"}
        found |= {"HF_HUB_DISABLE_TELEMETRY": "1", "HF_HUB_OFFLINE": "0", "OMP_NUM_THREADS": "1"}
        return {**found, "HF_TOKEN": token} if token else found


def blob_id(content: bytes) -> str:
    """Git's hash of a file, by which clients know that it has not changed."""
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def run(hub: HubServer, home, code: str, *arguments: str, token: str | None = TOKEN) -> str:
    """Last line that a program prints in a fresh process that knows no other Hub."""
    command = [sys.executable, "-c", code, *arguments]
    environment = hub.environment(home, token)
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=240)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    return done.stdout.strip().splitlines()[-1]


class HubHandler(BaseHTTPRequestHandler):
    server: HubServer
    protocol_version = "HTTP/1.1"

    def log_message(self, *args) -> None:
        pass

    # -- answers ------------------------------------------------------------------------------------------------------

    def _send(self, status: int, content: bytes = b"", *, cut: bool = False, **headers: str) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content[: len(content) // 2] if cut else content)
        self.close_connection = self.close_connection or cut

    def _json(self, value, status: int = 200) -> None:
        self._send(status, json.dumps(value).encode(), Content_Type="application/json")

    def _missing(self, code: str, **headers: str) -> None:
        # Who is not logged in is not told whether a repository is missing or private.
        status = 401 if code == "RepoNotFound" and "Authorization" not in self.headers else 404
        self._refuse(status, code, **headers)

    def _refuse(self, status: int, code: str, **headers: str) -> None:
        body = json.dumps({"error": code}).encode()
        self._send(status, body, X_Error_Code=code, X_Error_Message=code, **headers)

    def _body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def _repo(self, kind: str, name: str) -> Repo | None:
        repo = self.server.repos.get((kind, name))
        if repo is not None and repo.private and self.headers.get("Authorization") != f"Bearer {TOKEN}":
            return None
        return repo

    # -- requests -----------------------------------------------------------------------------------------------------

    def do_GET(self) -> None:
        self._answer(self._body())

    do_HEAD = do_POST = do_PUT = do_GET

    def _answer(self, body: bytes) -> None:
        parts = urlsplit(self.path)
        path, query = unquote(parts.path), parse_qs(parts.query)
        if path == "/api/whoami-v2":
            self._json({"name": WHO, "type": "user", "orgs": []})
        elif path == "/api/repos/create":
            self._create(json.loads(body))
        elif path == "/api/validate-yaml":
            self._json({"errors": [], "warnings": []})
        elif match := re.fullmatch(r"/api/(models|datasets|spaces)/([^/]+/[^/]+)(?:/(.*))?", path):
            kind, name, rest = match.groups()
            repo = self._repo(kind, name)
            self._missing("RepoNotFound") if repo is None else self._api(kind, name, repo, rest or "", body, query)
        elif match := re.fullmatch(r"/(?:(datasets|spaces)/)?([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path):
            self._resolve(*match.groups())
        else:
            self._missing("EntryNotFound")

    def _create(self, asked: dict) -> None:
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            return self._json({"error": "Invalid username or password."}, 401)
        kind, owner = f"{asked.get('type') or 'model'}s", asked.get("organization") or WHO
        name = f"{owner}/{asked['name']}"
        if (kind, name) in self.server.repos:
            return self._json({"error": "You already created this repo", "url": f"{self.server.url}/{name}"}, 409)
        is_private = asked.get("visibility") == "private" or bool(asked.get("private"))
        self.server.repos[kind, name] = Repo(is_private, asked.get("sdk"))
        return self._json({"url": f"{self.server.url}/{name}", "name": name})

    def _api(self, kind: str, name: str, repo: Repo, rest: str, body: bytes, query: dict) -> None:
        action, _, tail = rest.partition("/")
        if action in ("", "revision"):
            oid = repo.resolve(tail or "main")
            if oid is None:
                return self._missing("RevisionNotFound")
            files = [{"rfilename": path} for path in sorted(repo.commits[oid])]
            return self._json({"id": name, "sha": oid, "private": repo.private, "siblings": files, "tags": []})
        if action == "preupload":
            there = repo.commits.get(repo.resolve(tail) or "", {})
            files = []
            for path in (asked["path"] for asked in json.loads(body)["files"]):
                oid = blob_id(there[path]) if path in there else None
                files.append({"path": path, "uploadMode": "regular", "shouldIgnore": False, "oid": oid})
            return self._json({"files": files})
        if action == "commit":
            return self._commit(name, repo, tail, body)
        revision, _, folder = tail.partition("/")
        oid = repo.resolve(revision)
        if oid is None:
            return self._missing("RevisionNotFound")
        files = repo.commits[oid]
        if action == "tree":
            entries = self._entries(files, folder, query.get("recursive", ["False"])[0].lower() == "true")
            return self._json(entries) if entries or not folder else self._missing("EntryNotFound")
        if action == "paths-info":
            asked = json.loads(body)["paths"] if body.startswith(b"{") else parse_qs(body.decode())["paths"]
            found = [e for path in asked for e in self._entries(files, "", True) if e["path"] == path.strip("/")]
            return self._json(found)
        return self._missing("EntryNotFound")

    def _entries(self, files: dict[str, bytes], folder: str, recursive: bool) -> list[dict]:
        prefix = f"{folder}/" if folder else ""
        found: dict[str, dict] = {}
        for path, content in sorted(files.items()):
            if not path.startswith(prefix):
                continue
            steps = path[len(prefix) :].split("/")
            for depth in range(1, len(steps)):
                if depth == 1 or recursive:
                    inner = prefix + "/".join(steps[:depth])
                    found.setdefault(inner, {"type": "directory", "path": inner, "size": 0, "oid": "0" * 40})
            if len(steps) == 1 or recursive:
                oid = blob_id(content)
                found[path] = {"type": "file", "path": path, "size": len(content), "oid": oid}
        return list(found.values())

    def _commit(self, name: str, repo: Repo, branch: str, body: bytes) -> None:
        changes: dict[str, bytes | None] = {}
        message = ""
        for line in body.decode().splitlines():
            entry = json.loads(line)
            value = entry["value"]
            if entry["key"] == "header":
                message = value["summary"]
            elif entry["key"] == "file":
                changes[value["path"]] = base64.b64decode(value["content"])
            elif entry["key"] == "deletedFile":
                changes[value["path"]] = None
        if branch not in repo.branches:
            return self._missing("RevisionNotFound")
        if "Training in progress" in message:
            self.server.open.wait(60)
        if any(name == repo_id and part in message for repo_id, part in self.server.failing):
            return self._json({"error": "Internal Error - We're working hard to fix this"}, 500)
        oid = repo.commit(changes, branch, message)
        return self._json(
            {"success": True, "commitOid": oid, "commitUrl": f"{self.server.url}/{name}/commit/{oid}", "hookOutput": ""}
        )

    def _resolve(self, kind: str | None, name: str, revision: str, path: str) -> None:
        repo = self._repo(kind or "models", name)
        if repo is None:
            return self._missing("RepoNotFound")
        oid = repo.resolve(revision)
        if oid is None:
            return self._missing("RevisionNotFound")
        if repo.gated:
            return self._refuse(403, "GatedRepo")
        content = repo.commits[oid].get(path)
        if content is None:
            return self._missing("EntryNotFound", X_Repo_Commit=oid)
        facts = {"X_Repo_Commit": oid, "ETag": f'"{hashlib.sha1(content).hexdigest()}"', "Accept_Ranges": "bytes"}
        cut = self.command == "GET" and self.server.cut.get(path, 0) > 0
        if cut:
            self.server.cut[path] -= 1
        if match := re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range") or ""):
            start, stop = int(match[1]), min(int(match[2] or len(content) - 1), len(content) - 1)
            part = content[start : stop + 1]
            return self._send(206, part, cut=cut, Content_Range=f"bytes {start}-{stop}/{len(content)}", **facts)
        return self._send(200, content, cut=cut, **facts)
