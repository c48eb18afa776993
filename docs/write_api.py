"""Write api.md, what Python programs may use of nstk, beside this file.

python docs/write_api.py
"""

import ast
import dataclasses
import inspect
import re
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import nstk

HEADING = """# The library

All public names, as their docstrings explain them: `import nstk`, then `nstk.NAME`. Written by
`docs/write_api.py`; a test holds it true. Names that are not here may change without notice.
"""

ROOMS = {
    "stylization": "Stylizing",
    "sweeping": "Sweeping",
    "finetuning": "Fine-tuning",
    "predicting": "Predicting",
    "evaluating": "Evaluating",
    "explaining": "Explaining",
    "exporting": "Exporting",
    "reporting": "Reporting",
    "auditing": "Auditing",
    "inspecting": "Seeing inside",
    "backbones": "Networks",
    "media": "Images and folders",
    "sheets": "Figures",
    "settings": "Settings",
    "progress": "Progress",
    "errors": "Errors",
}

_LINE = 88
_SECTION = re.compile(r"^(Args|Attributes|Returns|Yields|Raises|Example):$", re.MULTILINE)
_ENTRY = re.compile(r"^    (\w+): ", re.MULTILINE)


def write_page() -> str:
    """The page: one section a room, one below it a name."""
    rooms: dict[str, list[str]] = {room: [] for room in ROOMS}
    for name in nstk.__all__:
        rooms[nstk._HOME[name].split(".")[1]].append(name)
    sections = [
        "\n".join([f"## {ROOMS[room]}\n", *map(describe, sorted(names, key=str.casefold))])
        for room, names in rooms.items()
    ]
    return "\n".join([HEADING, *sections])


def describe(name: str) -> str:
    """One public name: its signature and what its docstring says."""
    node, doc = find_source(name)
    blocks = [f"### {name}", f"```python\n{sign(node)}\n```", *render(doc)]
    if name.endswith("Settings"):
        blocks += list_settings(getattr(nstk, name))
    if isinstance(node, ast.ClassDef):
        blocks += list_methods(node)
    return "\n\n".join(blocks) + "\n"


def find_source(name: str, module: str | None = None) -> tuple[ast.stmt, str]:
    """The statement that defines a name, and its docstring, without importing what it needs."""
    spec = find_spec(module or nstk._HOME[name])
    body = ast.parse(Path(spec.origin).read_text(encoding="utf-8")).body
    for place, node in enumerate(body):
        if getattr(node, "name", None) == name:
            return node, ast.get_docstring(node) or ""
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == name:
            return node, inspect.cleandoc(ast.literal_eval(body[place + 1].value))
        if isinstance(node, ast.ImportFrom) and name in [
            each.asname or each.name for each in node.names
        ]:
            return find_source(name, node.module)
    raise LookupError(f"{name} is not defined in {spec.origin}")


def sign(node: ast.stmt) -> str:
    """The first line of a definition, or all of an assignment."""
    if isinstance(node, ast.FunctionDef):
        result = f" -> {ast.unparse(node.returns)}" if node.returns else ""
        arguments = ast.unparse(node.args)
        line = f"{node.name}({arguments}){result}"
        if len(line) <= _LINE:
            return line
        split = ",\n".join(f"    {each}" for each in _split(arguments))
        return f"{node.name}(\n{split},\n){result}"
    if isinstance(node, ast.ClassDef):
        bases = ", ".join(map(ast.unparse, node.bases))
        return f"class {node.name}({bases})" if bases else f"class {node.name}"
    return ast.unparse(node)


def render(doc: str) -> Iterator[str]:
    """A docstring as blocks of Markdown."""
    opening, *parts = _SECTION.split(doc)
    yield from _render_prose(opening)
    for title, body in zip(parts[::2], parts[1::2], strict=True):
        body = body.strip("\n")
        if title == "Example":
            code, _, rest = inspect.cleandoc(body).partition("\n\n")
            yield f"**{title}**\n\n```python\n{code}\n```"
            yield from _render_prose(rest)
        elif title in ("Returns", "Yields"):
            yield f"**{title}** " + "\n\n".join(_render_prose(inspect.cleandoc(body)))
        else:
            pieces = _ENTRY.split(body)
            pairs = zip(pieces[1::2], pieces[2::2], strict=True)
            entries = [f"- `{name}`: {_escape(' '.join(text.split()))}" for name, text in pairs]
            yield f"**{title}**\n\n" + "\n".join(entries)


def list_settings(settings: type) -> Iterator[str]:
    """The settings of a class, whose docstring leaves them to their help texts."""
    told = [field for field in dataclasses.fields(settings) if "help" in field.metadata]
    entries = [
        f"- `{field.name}` = `{field.default!r}`: {_escape(field.metadata['help'])}"
        for field in told
    ]
    yield "**Settings**\n\n" + "\n".join(entries)


def list_methods(node: ast.ClassDef) -> Iterator[str]:
    """The public methods and properties of a class."""
    for each in node.body:
        if not isinstance(each, ast.FunctionDef) or each.name.startswith("_"):
            continue
        marks = [ast.unparse(mark) for mark in each.decorator_list]
        if "overload" in marks:
            continue
        is_value = any(mark.endswith("property") for mark in marks)
        opening = (
            f"`{node.name}.{each.name}`" if is_value else f"```python\n{_call(node, each)}\n```"
        )
        blocks = list(render(ast.get_docstring(each) or ""))
        yield f"{opening}: {blocks[0]}" if is_value else "\n\n".join([opening, *blocks])


def _call(owner: ast.ClassDef, method: ast.FunctionDef) -> str:
    arguments = method.args
    bound = (arguments.posonlyargs or arguments.args)[:1]
    free = ast.arguments(
        arguments.posonlyargs,
        [each for each in arguments.args if each not in bound],
        arguments.vararg,
        arguments.kwonlyargs,
        arguments.kw_defaults,
        arguments.kwarg,
        arguments.defaults,
    )
    called = ast.FunctionDef(
        name=f"{owner.name}.{method.name}",
        args=free,
        body=[],
        decorator_list=[],
        returns=method.returns,
    )
    return sign(called)


def _split(arguments: str) -> list[str]:
    """Arguments one by one: at the commas that stand in no brackets."""
    parts, depth = [""], 0
    for letter in arguments:
        depth += (letter in "([{") - (letter in ")]}")
        if letter == "," and not depth:
            parts.append("")
        else:
            parts[-1] += letter
    return [part.strip() for part in parts]


def _render_prose(text: str) -> Iterator[str]:
    for paragraph in re.split(r"\n\s*\n", text.strip()):
        lines = paragraph.splitlines()
        if lines and all(line.startswith("    ") for line in lines):
            yield "```python\n" + inspect.cleandoc(paragraph) + "\n```"
        elif lines:
            yield _escape(paragraph)


def _escape(text: str) -> str:
    """Markdown's own signs as they are, and code as code."""
    pieces = re.split(r"(``.+?``|`.+?`)", text, flags=re.DOTALL)
    pieces[::2] = [re.sub(r"([*<|\[\]])", r"\\\1", piece) for piece in pieces[::2]]
    pieces[1::2] = [f"`{piece.strip('`')}`" for piece in pieces[1::2]]
    return "".join(pieces)


if __name__ == "__main__":
    Path(__file__).with_name("api.md").write_text(write_page(), encoding="utf-8")
