"""The layer table: which module may import which. The dictionary is the architecture diagram."""

from __future__ import annotations

import ast
from pathlib import Path

import stemlight

PACKAGE = Path(stemlight.__file__).parent

LAYERS = {  # layer: (its modules, the layers that it may import)
    "words": ("_version errors shapes configs processes", ""),
    "signal": ("audio chunking stft stft_torch", "words"),
    "blocks": ("blocks", "words"),
    "models": ("models", "words signal blocks"),
    "separation": ("separation", "words signal models"),
    "weights": ("weights", "words signal models separation"),
    "science": (
        "tracks evaluation comparison synthesis training inspection",
        "words signal blocks models separation weights",
    ),
    "library": ("api __init__", "words signal models separation weights"),
    "shells": (
        "cli gallery serve batch memory __main__",
        "words signal models separation weights science library",
    ),
}
# Evaluation is handed a callable, never a model.
NARROWER = {
    "evaluation": "words",
    "comparison": "words signal",
    "tracks": "words signal",
    "synthesis": "words signal",
}
LAYER_OF = {module: layer for layer, (names, _) in LAYERS.items() for module in names.split()}


def stemlight_imports(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative imports hide the layer"
            names = [node.module]
        yield from (name.split(".")[1] for name in names if name.startswith("stemlight."))


def test_no_module_imports_from_a_layer_that_is_closed_to_it():
    wrong = []
    for path in PACKAGE.rglob("*.py"):
        module = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
        layer = LAYER_OF[module]
        allowed = {*NARROWER.get(module, LAYERS[layer][1]).split(), layer}
        wrong += [
            f"{path.relative_to(PACKAGE)} ({layer}) imports {name} ({LAYER_OF[name]})"
            for name in stemlight_imports(path)
            if LAYER_OF[name] not in allowed and name != module
        ]
    assert not wrong, "\n".join(wrong)
