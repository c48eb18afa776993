"""Run the notebooks and save what they show in them, small enough for a code host.

    python docs/write_notebooks.py [NAME...]

Images become JPEG or PNG, whichever is smaller. Takes about ten minutes without a GPU.
"""

import ast
import base64
import contextlib
import hashlib
import io
import json
import sys
from pathlib import Path
from typing import Any

from PIL import Image

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
Cell = dict[str, Any]


def run_cell(cell: Cell, names: dict[str, Any]) -> tuple[str, Any]:
    """Run a cell; return what it prints, and the value of its last expression or None."""
    tree = ast.parse("".join(cell["source"]))
    is_value = bool(tree.body) and isinstance(tree.body[-1], ast.Expr)
    last = tree.body.pop() if is_value else None
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(tree, cell["id"], "exec"), names)
        if not isinstance(last, ast.Expr):
            return printed.getvalue(), None
        value = eval(compile(ast.Expression(last.value), cell["id"], "eval"), names)
    return printed.getvalue(), value


def make_outputs(printed: str, value: object) -> list[Cell]:
    """Return the outputs of a cell as a notebook stores them."""
    outputs: list[Cell] = []
    if printed:
        text = printed.splitlines(keepends=True)
        outputs.append({"name": "stdout", "output_type": "stream", "text": text})
    if isinstance(value, Image.Image):
        kind, content = encode(value)
        data = {f"image/{kind}": base64.b64encode(content).decode("ascii")}
        outputs.append({"data": data, "metadata": {}, "output_type": "display_data"})
    return outputs


def encode(image: Image.Image) -> tuple[str, bytes]:
    """Encode an image as JPEG or PNG, whichever is smaller."""
    made = {}
    for kind, options in (("jpeg", {"quality": 82}), ("png", {"optimize": True})):
        file = io.BytesIO()
        image.convert("RGB").save(file, kind, **options)
        made[kind] = file.getvalue()
    return min(made.items(), key=lambda item: len(item[1]))


def digest_code(notebook: Cell) -> str:
    """Return what the outputs belong to: a digest of all code."""
    code = ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code"]
    return hashlib.sha256("\0".join(code).encode()).hexdigest()


def write_outputs(path: Path) -> None:
    """Run a notebook from top to bottom and save its outputs."""
    notebook = json.loads(path.read_text(encoding="utf-8"))
    names: dict[str, Any] = {"__name__": "__main__"}
    code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    for number, cell in enumerate(code, 1):
        print(f"{path.name}: {number} of {len(code)}, {cell['id']}", flush=True)
        cell["outputs"] = make_outputs(*run_cell(cell, names))
        cell["execution_count"] = number
    notebook["metadata"]["outputs_of"] = digest_code(notebook)
    text = json.dumps(notebook, ensure_ascii=False, indent=1) + "\n"
    path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    with contextlib.chdir(EXAMPLES):
        for name in sys.argv[1:] or ("neural_style_transfer", "transfer_learning"):
            write_outputs(EXAMPLES / f"{name}.ipynb")
