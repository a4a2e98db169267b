"""Packs the installed package as a wheel with the same bytes on every machine."""

from __future__ import annotations

import base64
import hashlib
import io
import zipfile
from importlib.metadata import Distribution, distribution
from pathlib import Path

_PACKAGE = Path(__file__).parents[1]
# As in pyproject.toml, [tool.setuptools.package-data]; a test compares the wheel with that of setuptools.
_SUFFIXES = {".py", ".yaml", ".jinja", ".css"}
_METADATA = ("entry_points.txt", "top_level.txt")
_LICENSE = "licenses/LICENSE"
_WHEEL = "Wheel-Version: 1.0\nGenerator: hf_llmrec\nRoot-Is-Purelib: true\nTag: py3-none-any\n"


def make_wheel() -> tuple[str, bytes]:
    """Pack a wheel of the running package.

    It is packed from the installed files (those of the checkout if the install is editable), so that neither a build
    tool nor a network is needed. Files are sorted, have a constant date and are not compressed, so that the same
    package always gives the same bytes.

    Returns:
        The file name of the wheel and its content.

    Raises:
        importlib.metadata.PackageNotFoundError: the package is imported without being installed.
    """
    package = distribution(_PACKAGE.name)
    info = f"{_PACKAGE.name}-{package.version}.dist-info"
    content = {f"{_PACKAGE.name}/{path.relative_to(_PACKAGE).as_posix()}": path.read_bytes() for path in _modules()}
    content |= {f"{info}/{name}": text.encode() for name, text in _metadata(package).items()}
    content[f"{info}/WHEEL"] = _WHEEL.encode()
    record = [f"{name},sha256={_digest(content[name])},{len(content[name])}" for name in sorted(content)]
    content[f"{info}/RECORD"] = "\n".join([*record, f"{info}/RECORD,,", ""]).encode()
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as archive:
        # The metadata come last, as the wheel format recommends.
        for name in sorted(content, key=lambda name: (name.startswith(info), name)):
            member = zipfile.ZipInfo(name, date_time=(1980, 1, 1, 0, 0, 0))
            # A regular file on Unix, whichever system packs it.
            member.create_system, member.external_attr = 3, 0o100644 << 16
            archive.writestr(member, content[name])
    return f"{_PACKAGE.name}-{package.version}-py3-none-any.whl", stream.getvalue()


def _modules() -> list[Path]:
    return [path for path in _PACKAGE.rglob("*") if path.is_file() and _is_packaged(path)]


def _is_packaged(path: Path) -> bool:
    parts = path.relative_to(_PACKAGE).parts
    if any(part.startswith(".") or part == "__pycache__" for part in parts):
        return False
    return path.suffix in _SUFFIXES or path.name == "py.typed"


def _metadata(package: Distribution) -> dict[str, str]:
    # In an egg-info folder, which setuptools leaves in a checkout, METADATA is called PKG-INFO.
    texts = {"METADATA": package.read_text("METADATA") or package.read_text("PKG-INFO")}
    texts |= {name: package.read_text(name) for name in _METADATA}
    texts[_LICENSE] = package.read_text(_LICENSE)
    license_file = _PACKAGE.parent / "LICENSE"
    if texts[_LICENSE] is None and license_file.is_file():  # an egg-info folder has no copy of the license
        texts[_LICENSE] = license_file.read_text(encoding="utf-8")
    return {name: text for name, text in texts.items() if text is not None}


def _digest(content: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
