"""Fetching raw files from a server that breaks off, lies, and knows ranges."""

import gzip
import hashlib
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from hf_llmrec import RecDataset
from hf_llmrec.cli import convert as command
from hf_llmrec.converters.download import download
from hf_llmrec.converters.source import Remote
from hf_llmrec.converters.sources import SOURCES

from .formats import FORMATS, fixture

CONTENT = bytes(range(256)) * 4000


class Publisher(ThreadingHTTPServer):
    """Serves ``files`` by path; ``cut`` says after how many bytes an answer breaks off, once for each entry."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.files: dict[str, bytes] = {}
        self.cut: list[int] = []
        self.ranges: list[str | None] = []
        self.url = f"http://127.0.0.1:{self.server_port}"
        threading.Thread(target=self.serve_forever, daemon=True).start()


class _Handler(BaseHTTPRequestHandler):
    def log_message(self, *args) -> None:
        pass

    def do_GET(self) -> None:
        content, asked = self.server.files.get(self.path), self.headers.get("Range")
        if content is None:
            self.send_error(404)
            return
        self.server.ranges.append(asked)
        start = int(asked.removeprefix("bytes=").split("-")[0]) if asked else 0
        if start >= len(content):
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(content)}")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self.send_response(206 if asked else 200)
        self.send_header("Content-Length", str(len(content) - start))
        if asked:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.end_headers()
        body = content[start:]
        self.wfile.write(body[: self.server.cut.pop(0)] if self.server.cut else body)


@pytest.fixture
def publisher(monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    found = Publisher()
    yield found
    found.shutdown()
    found.server_close()


def test_a_file_is_fetched_once_and_checked_afterwards(publisher, tmp_path):
    publisher.files = {"/a/raw.gz": CONTENT, "/a/raw.gz.md5": f"{hashlib.md5(CONTENT).hexdigest()}  raw.gz\n".encode()}
    remote = Remote(f"{publisher.url}/a/raw.gz", f"{publisher.url}/a/raw.gz.md5")
    path = download(remote, tmp_path / "raw")
    assert path.read_bytes() == CONTENT and path.name == "raw.gz"
    assert {each.name for each in path.parent.iterdir()} == {"raw.gz", "raw.gz.sha256"}
    assert (tmp_path / "raw" / "raw.gz.sha256").read_text().split() == [hashlib.sha256(CONTENT).hexdigest(), "raw.gz"]
    publisher.files.clear()
    assert download(remote, tmp_path / "raw") == path, "it is there"
    path.write_bytes(CONTENT[:-1])
    with pytest.raises(ValueError, match="not what was downloaded"):
        download(remote, tmp_path / "raw")


def test_a_download_that_breaks_off_goes_on_where_it_was(publisher, tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.DOWNLOAD_CHUNK_SIZE", 50_000)
    publisher.files = {"/raw.gz": CONTENT}
    publisher.cut = [300_000]
    assert download(Remote(f"{publisher.url}/raw.gz"), tmp_path).read_bytes() == CONTENT
    assert publisher.ranges[0] is None and publisher.ranges[1] == "bytes=300000-"
    # A process that was killed has left a part; the next one asks for the rest.
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "raw.gz.part").write_bytes(CONTENT[:1000])
    publisher.ranges.clear()
    assert download(Remote(f"{publisher.url}/raw.gz"), tmp_path / "other").read_bytes() == CONTENT
    assert publisher.ranges == ["bytes=1000-"] and not (tmp_path / "other" / "raw.gz.part").exists()


def test_what_is_not_what_its_publisher_says_is_removed(publisher, tmp_path):
    publisher.files = {"/raw.gz": CONTENT, "/raw.gz.md5": b"MD5 (raw.gz) = 00000000000000000000000000000000"}
    with pytest.raises(ValueError, match="its publisher says 0000"):
        download(Remote(f"{publisher.url}/raw.gz", f"{publisher.url}/raw.gz.md5"), tmp_path)
    assert not list(tmp_path.iterdir())
    publisher.files["/raw.gz.md5"] = b"<html>moved</html>"
    with pytest.raises(ValueError, match="no MD5 in it"):
        download(Remote(f"{publisher.url}/raw.gz", f"{publisher.url}/raw.gz.md5"), tmp_path)


def test_a_part_that_is_whole_is_all_there_is_to_fetch(publisher, tmp_path):
    publisher.files = {"/raw.gz": CONTENT}
    (tmp_path / "raw.gz.part").write_bytes(CONTENT)
    assert download(Remote(f"{publisher.url}/raw.gz"), tmp_path).read_bytes() == CONTENT
    with pytest.raises(OSError, match="127.0.0.1:9/raw.gz"):
        download(Remote("http://127.0.0.1:9/raw.gz"), tmp_path / "other")


def test_what_cannot_be_fetched_says_why(publisher, tmp_path, monkeypatch):
    with pytest.raises(OSError, match="/gone.gz: .*404"):
        download(Remote(f"{publisher.url}/gone.gz"), tmp_path)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(OSError, match="offline mode is enabled"):
        download(Remote(f"{publisher.url}/raw.gz"), tmp_path)


def test_convert_fetches_what_its_source_names(publisher, tmp_path, monkeypatch):
    source = SOURCES["amazon-2018"]
    for file, place in zip(FORMATS["amazon-2018"], ("log_url", "item_url"), strict=True):
        kind = "meta_{}.json.gz" if place == "item_url" else "{}_5.json.gz"
        publisher.files[f"/{file}"] = gzip.compress("\n".join(fixture("amazon-2018", file)).encode())
        monkeypatch.setattr(type(source), place, f"{publisher.url}/{kind}")
    options = ["amazon-2018", "--download", str(tmp_path / "raw"), "--output_dir", str(tmp_path / "data")]
    with pytest.raises(ValueError, match="--category"):
        command.main(options)
    command.main([*options, "--category", "Grocery"])
    assert RecDataset.load(tmp_path / "data").titles == ["Salt & pepper", "Cook's mill"]
    # What lies beside the files is none of theirs.
    (tmp_path / "raw" / "Other_5.json.gz.part").write_bytes(b"half a file")
    again = [
        "amazon-2018",
        "--input",
        str(tmp_path / "raw"),
        "--output_dir",
        str(tmp_path / "again"),
        "--max_bad_lines",
        "0",
    ]
    command.main(again)
    assert "sha256" not in (tmp_path / "again" / "README.md").read_text()


def test_which_sources_can_be_fetched():
    for name, source in SOURCES.items():
        if name in ("netflix", "recbole", "yelp"):
            with pytest.raises(ValueError, match="get them at http"):
                source.downloads("X")
            continue
        remotes = source.downloads("X")
        assert remotes and all(remote.url.startswith("https://") and "{}" not in remote.url for remote in remotes)


@pytest.mark.parametrize("more", [[], ["--input", "x", "--download", "y"]])
def test_one_of_input_and_download(more, tmp_path):
    with pytest.raises(ValueError, match="give --input or --download"):
        command.main(["steam", "--output_dir", str(tmp_path / "data"), *more])
