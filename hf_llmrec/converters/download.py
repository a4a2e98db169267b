"""Downloads raw files from their publishers: resumable, verified, with a progress bar."""

from __future__ import annotations

import hashlib
import logging
import os
import re
import tempfile
from pathlib import Path
from typing import BinaryIO

from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled
from huggingface_hub.file_download import http_get

from .source import Remote

logger = logging.getLogger(__name__)
_BLOCK = 1 << 20


def download(remote: Remote, folder: str | os.PathLike) -> Path:
    """Download a file, or verify it if it was downloaded before.

    An interrupted download stays in ``NAME.part`` and is resumed the next time. The SHA-256 of a complete download is
    written to ``NAME.sha256``; an existing file is compared with it.

    Args:
        remote: file to download.
        folder: folder to write to; created if needed.

    Returns:
        path of the file.

    Raises:
        ValueError: the file does not match the checksum of its publisher or of an earlier download.
        OSError: the file cannot be downloaded.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    target, checksum = folder / remote.name, folder / f"{remote.name}.sha256"
    if target.exists():
        if checksum.exists() and checksum.read_text().split()[0] != _digest(target, "sha256"):
            raise ValueError(
                f"{target}: it is not what was downloaded ({checksum.name}): remove both to fetch it again"
            )
        return target
    part = folder / f"{remote.name}.part"
    expected = None if remote.md5_url is None else _published_md5(remote.md5_url)
    with open(part, "ab") as file:
        _fetch(remote.url, file, part.stat().st_size, remote.name)
    if expected is not None and (actual := _digest(part, "md5")) != expected:
        part.unlink()
        raise ValueError(f"{remote.url}: MD5 is {actual}, its publisher says {expected}; the file was removed")
    checksum.write_text(f"{_digest(part, 'sha256')}  {remote.name}\n")
    os.replace(part, target)
    logger.info("%s: %.1f MB, SHA-256 in %s", target, target.stat().st_size / 1e6, checksum.name)
    return target


def _digest(path: Path, algorithm: str) -> str:
    digest = hashlib.new(algorithm, usedforsecurity=False)
    with open(path, "rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def _fetch(url: str, file: BinaryIO, start: int, name: str) -> None:
    try:
        http_get(url, file, resume_size=start, displayed_filename=name)
    except OfflineModeIsEnabled as error:
        raise OSError(f"{url}: offline mode is enabled (HF_HUB_OFFLINE)") from error
    except HfHubHTTPError as error:
        headers = getattr(error.response, "headers", {})
        if getattr(error.response, "status_code", None) == 416 and headers.get("Content-Range") == f"bytes */{start}":
            return  # the file was complete already
        raise OSError(f"{url}: {' '.join(str(error).split())[:200]}") from error
    except Exception as error:  # any failure of the connection
        raise OSError(f"{url}: {type(error).__name__}: {error}") from error


def _published_md5(url: str) -> str:
    with tempfile.TemporaryFile() as file:
        _fetch(url, file, 0, url.rsplit("/", 1)[-1])
        file.seek(0)
        text = file.read().decode("utf-8", errors="replace")
    match = re.search(r"\b[0-9a-fA-F]{32}\b", text)
    if match is None:
        raise ValueError(f"{url}: no MD5 in it: {text[:80]!r}")
    return match.group().lower()
