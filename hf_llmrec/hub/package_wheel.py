"""The installed package as a wheel, with the same bytes on every machine."""

from __future__ import annotations

import base64
import hashlib
import io
import zipfile
from importlib.metadata import Distribution, distribution
from pathlib import Path

_PACKAGE = Path(__file__).parents[1]
# As in pyproject.toml, [tool.setuptools.package-data]; a test compares with what setuptools builds.
_SUFFIXES = {".py", ".yaml", ".jinja", ".css"}
_METADATA = ("entry_points.txt", "top_level.txt")
_LICENSE = "licenses/LICENSE"
_WHEEL = "Wheel-Version: 1.0\nGenerator: hf_llmrec\nRoot-Is-Purelib: true\nTag: py3-none-any\n"


def make_wheel() -> tuple[str, bytes]:
    """(file name, content) of a wheel of the package that runs.

    Packed from the installed files, those of a checkout where the install is an editable one, so that neither a build
    tool nor a network is needed. Files are sorted, have no date and are not compressed: the same package gives the same
    bytes.

    Raises:
        importlib.metadata.PackageNotFoundError: the package is imported without being installed.
    """
    found = distribution(_PACKAGE.name)
    info = f"{_PACKAGE.name}-{found.version}.dist-info"
    content = {f"{_PACKAGE.name}/{path.relative_to(_PACKAGE).as_posix()}": path.read_bytes() for path in _modules()}
    content |= {f"{info}/{name}": text.encode() for name, text in _metadata(found).items()}
    content[f"{info}/WHEEL"] = _WHEEL.encode()
    record = [f"{name},sha256={_digest(content[name])},{len(content[name])}" for name in sorted(content)]
    content[f"{info}/RECORD"] = "\n".join([*record, f"{info}/RECORD,,", ""]).encode()
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as archive:
        # What describes the rest comes last, as the format recommends.
        for name in sorted(content, key=lambda name: (name.startswith(info), name)):
            member = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
            member.create_system, member.external_attr = 3, 0o100644 << 16  # a plain file, wherever it is packed
            archive.writestr(member, content[name])
    return f"{_PACKAGE.name}-{found.version}-py3-none-any.whl", stream.getvalue()


def _modules() -> list[Path]:
    return [path for path in _PACKAGE.rglob("*") if path.is_file() and _is_packaged(path)]


def _is_packaged(path: Path) -> bool:
    parts = path.relative_to(_PACKAGE).parts
    if any(part.startswith(".") or part == "__pycache__" for part in parts):
        return False
    return path.suffix in _SUFFIXES or path.name == "py.typed"


def _metadata(found: Distribution) -> dict[str, str]:
    # An egg-info folder, which setuptools leaves in a checkout, calls it PKG-INFO.
    texts = {"METADATA": found.read_text("METADATA") or found.read_text("PKG-INFO")}
    texts |= {name: found.read_text(name) for name in _METADATA}
    texts[_LICENSE] = found.read_text(_LICENSE)
    license_file = _PACKAGE.parent / "LICENSE"
    if texts[_LICENSE] is None and license_file.is_file():  # which such a folder leaves where it is
        texts[_LICENSE] = license_file.read_text(encoding="utf-8")
    return {name: text for name, text in texts.items() if text is not None}


def _digest(content: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
