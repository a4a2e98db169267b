"""The house plan holds: floors import downwards only, no cycles, remote-code files stand alone, files stay short."""

import ast
from pathlib import Path

import pytest
from transformers.dynamic_module_utils import get_relative_import_files

import hf_llmrec

PACKAGE = Path(__file__).parents[2] / "hf_llmrec"
# Lowest floor last; a floor imports only floors below it.
FLOORS = (
    "space",
    "cli",
    "registration",
    "serving",
    "pipelines",
    "methods",
    "recommender",
    "tuning",
    "training",
    "hub",
    "generation",
    "indexing",
    "prompting",
    "evaluation",
    "supervision",
    "converters",
    "losses",
    "data",
)
FILES = sorted(PACKAGE.rglob("*.py"))
# Files that travel into repositories: nothing imports them, and they import what users do.
TRAVELLING = PACKAGE / "hub/templates"


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__")


def package_imports(path: Path) -> set[str]:
    """Absolute names of the package's modules that a file imports."""
    name = module_name(path)
    here = name if path.name == "__init__.py" else name.rpartition(".")[0]
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names if alias.name.split(".")[0] == "hf_llmrec"}
        elif isinstance(node, ast.ImportFrom):
            base = here.split(".")[: len(here.split(".")) - (node.level - 1)] if node.level else []
            target = ".".join([*base, *([node.module] if node.module else [])])
            if target.split(".")[0] == "hf_llmrec":
                found |= {f"{target}.{alias.name}" if not node.module else target for alias in node.names}
    return found


def floor(module: str) -> str | None:
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else None


def test_every_room_is_in_the_plan():
    rooms = {floor(module_name(path)) for path in FILES} - {None}
    assert rooms <= set(FLOORS), rooms - set(FLOORS)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_go_down(path):
    mine = floor(module_name(path))
    if mine is None or path.parent == TRAVELLING:  # hf_llmrec/__init__.py stands above all floors
        return
    for target in package_imports(path):
        other = floor(target)
        assert other is not None, f"{path.name} imports the package itself"
        assert FLOORS.index(other) >= FLOORS.index(mine), f"{module_name(path)} imports upwards: {target}"


def imported_names() -> list[tuple[Path, str, str]]:
    """(file, module, name) of whatever the package, its scripts and its tests import from the package."""
    root, found = PACKAGE.parent, []
    folders = ("hf_llmrec", "benchmarks", "recipes", "datasets_scripts", "docs", "model_cards", "spaces", "examples")
    for path in sorted(path for folder in folders for path in (root / folder).rglob("*.py")):
        inside = path.is_relative_to(PACKAGE)
        here = (
            (module_name(path) if path.name == "__init__.py" else module_name(path).rpartition(".")[0])
            if inside
            else ""
        )
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and path.parent != TRAVELLING:
                base = here.split(".")[: len(here.split(".")) - (node.level - 1)] if node.level else []
                module = ".".join([*base, *([node.module] if node.module else [])])
                if module.split(".")[0] == "hf_llmrec":
                    found += [(path.relative_to(root), module, alias.name) for alias in node.names]
    return found


def names_of(module: str) -> set[str]:
    """What a module of the package defines or imports at its top, and its submodules; nothing is imported for it."""
    place = PACKAGE.parent / Path(*module.split("."))
    file = place / "__init__.py" if place.is_dir() else place.with_suffix(".py")
    assert file.is_file(), f"there is no module {module}"
    found = {each.stem for each in file.parent.iterdir()} if file.name == "__init__.py" else set()
    statements = list(ast.parse(file.read_text(encoding="utf-8")).body)
    for node in statements:  # grows
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            found.add(node.name)
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            found |= {alias.asname or alias.name for alias in node.names}
        elif isinstance(node, (ast.Assign, ast.AnnAssign)):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            found |= {each.id for target in targets for each in ast.walk(target) if isinstance(each, ast.Name)}
        elif isinstance(node, (ast.If, ast.Try)):
            statements += [*node.body, *node.orelse]
    return found | (set(hf_llmrec._EXPORTS) if module == "hf_llmrec" else set())


def test_what_is_imported_is_there():
    """Also what a function imports when it runs, and what only a browser or a GPU would come to."""
    imported = imported_names()
    known = {module: names_of(module) for module in {module for _, module, _ in imported}}
    assert len(imported) > 1000 and len(known) > 100
    assert not [f"{path}: from {module} import {name}" for path, module, name in imported if name not in known[module]]


def test_type_checkers_see_what_is_exported():
    tree = ast.parse((PACKAGE / "__init__.py").read_text(encoding="utf-8"))
    imports = {
        alias.name: node.module
        for block in tree.body
        if isinstance(block, ast.If) and getattr(block.test, "id", "") == "TYPE_CHECKING"
        for node in block.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
        if alias.asname == alias.name
    }
    assert imports == hf_llmrec._EXPORTS
    assert all(getattr(hf_llmrec, name).__name__ == name for name in hf_llmrec.__all__)


def test_no_two_files_import_each_other():
    graph = {module_name(path): package_imports(path) for path in FILES}
    for name, targets in graph.items():
        for target in targets & set(graph):
            assert target == name or name not in graph[target], f"{name} and {target} import each other"


# A model of our own travels to the Hub as a flat folder: a modeling file and all that it needs must stand alone.
REMOTE_CODE = sorted(
    {
        Path(file)
        for path in FILES
        if path.name.startswith(("modeling_", "configuration_"))
        for file in (path, *get_relative_import_files(path))
    }
)


def test_remote_code_is_found():
    assert {"modeling_galrec.py", "entity_layers.py", "sinkhorn.py"} <= {path.name for path in REMOTE_CODE}


@pytest.mark.parametrize("path", REMOTE_CODE, ids=lambda path: path.name)
def test_remote_code_imports_only_its_siblings(path):
    folder = module_name(path).rpartition(".")[0]
    for target in package_imports(path):
        assert target.rpartition(".")[0] == folder, f"{path.name} imports {target}"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_files_stay_short(path):
    # A command parses, calls and prints.
    longest = 110 if path.parent == PACKAGE / "cli" else 350
    assert len(path.read_text(encoding="utf-8").splitlines()) <= longest
