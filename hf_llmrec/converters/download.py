"""Raw files from their publishers: resumed after a break, checked, with progress."""

from __future__ import annotations

import hashlib
import logging
import os
import re
from pathlib import Path

from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled
from huggingface_hub.file_download import http_get

from .source import Remote

logger = logging.getLogger(__name__)
_BLOCK = 1 << 20


def download(remote: Remote, folder: str | os.PathLike) -> Path:
    """Fetch a file, or find it there from before.

    A download that breaks off lies in ``NAME.part`` and goes on from there the next time. When it is whole, its SHA-256
    goes to ``NAME.sha256``; a file that is there is checked against it.

    Args:
        remote: what to fetch. folder: made if it is not there.

    Raises:
        ValueError: the file is not what its publisher or an earlier download says it is.
        OSError: it cannot be fetched.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    target, note = folder / remote.name, folder / f"{remote.name}.sha256"
    if target.exists():
        if note.exists() and note.read_text().split()[0] != _digest(target, "sha256"):
            raise ValueError(f"{target}: it is not what was downloaded ({note.name}): remove both to fetch it again")
        return target
    part = folder / f"{remote.name}.part"
    try:
        with open(part, "ab") as file:
            http_get(remote.url, file, resume_size=part.stat().st_size, displayed_filename=remote.name)
    except OfflineModeIsEnabled as error:
        raise OSError(f"{remote.url}: offline mode is enabled (HF_HUB_OFFLINE)") from error
    except HfHubHTTPError as error:
        raise OSError(f"{remote.url}: {' '.join(str(error).split())[:200]}") from error
    if remote.md5_url is not None:
        expected, found = _published_md5(remote.md5_url, folder), _digest(part, "md5")
        if found != expected:
            part.unlink()
            raise ValueError(f"{remote.url}: MD5 is {found}, its publisher says {expected}; the file was removed")
    note.write_text(f"{_digest(part, 'sha256')}  {remote.name}\n")
    os.replace(part, target)
    logger.info("%s: %.1f MB, SHA-256 in %s", target, target.stat().st_size / 1e6, note.name)
    return target


def _digest(path: Path, algorithm: str) -> str:
    found = hashlib.new(algorithm, usedforsecurity=False)
    with open(path, "rb") as file:
        while block := file.read(_BLOCK):
            found.update(block)
    return found.hexdigest()


def _published_md5(url: str, folder: Path) -> str:
    path = folder / f".{url.rsplit('/', 1)[-1]}"
    with open(path, "wb") as file:
        http_get(url, file, displayed_filename=path.name)
    text = path.read_text(encoding="utf-8", errors="replace")
    path.unlink()
    match = re.search(r"\b[0-9a-fA-F]{32}\b", text)
    if match is None:
        raise ValueError(f"{url}: no MD5 in it: {text[:80]!r}")
    return match.group().lower()
