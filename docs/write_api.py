"""Write api.md and a page for each namespace, the public names of nstk, beside this file.

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

HEADING = """# Python API

The public names of `import nstk` with their docstrings. Loops of your own are built from the
namespaces {namespaces}.
Names that are not listed here may change without notice. `docs/write_api.py` generates these pages.
"""

SECTIONS = {
    "stylization": "Style transfer",
    "sweeping": "Sweeps",
    "finetuning": "Fine-tuning",
    "classifiers": "Classifiers: predict, evaluate, explain",
    "heads": "Heads and metrics",
    "features": "Features",
    "exporting": "Exporting",
    "auditing": "Auditing",
    "inspecting": "Inspecting",
    "backbones": "Networks",
    "images": "Images",
    "datasets": "Labeled data",
    "reports": "Reports and figures",
    "storage": "Files",
    "settings": "Settings",
    "progress": "Progress",
    "errors": "Errors",
}

_LINE = 88
_SECTION = re.compile(r"^(Args|Attributes|Returns|Yields|Raises|Example):$", re.MULTILINE)
_ENTRY = re.compile(r"^    (\*{0,2}\w+): ", re.MULTILINE)


def write_pages() -> dict[str, str]:
    """Write the pages by file name: one of the package, and one of each namespace."""
    pages = {f"api-{name}.md": write_namespace(name) for name in nstk.NAMESPACES}
    return {"api.md": write_package(), **pages}


def write_package() -> str:
    """Write the page of the package: one section per subpackage, one subsection per name."""
    packages: dict[str, list[str]] = {package: [] for package in SECTIONS}
    for name, module in nstk._HOME.items():
        packages[module.split(".")[1]].append(name)
    links = ",\n".join(f"[`nstk.{name}`](api-{name}.md)" for name in nstk.NAMESPACES)
    sections = [
        "\n".join([f"## {SECTIONS[package]}\n", *map(describe, sorted(names, key=str.casefold))])
        for package, names in packages.items()
        if names
    ]
    return "\n".join([HEADING.format(namespaces=links), *sections])


def write_namespace(namespace: str) -> str:
    """Write the page of one public module: a table of its names, then one section for each."""
    spec = find_spec(f"nstk.{namespace}")
    tree = ast.parse(Path(spec.origin).read_text(encoding="utf-8"))
    imports = [each for each in tree.body if isinstance(each, ast.ImportFrom)]
    found = {alias.asname for each in imports for alias in each.names}
    found |= {each.name for each in tree.body if isinstance(each, ast.ClassDef)}
    names = sorted(found - {None}, key=str.casefold)
    own = [name for name in names if name not in nstk._HOME]
    heading = [f"# nstk.{namespace}", *_render_prose(ast.get_docstring(tree))]
    rows = [
        f"| [`{name}`]({page}#{name.lower()}) | {summarize(name, spec.name)} |"
        for name in names
        for page in ["" if name in own else "api.md"]
    ]
    table = "\n".join(["| name | |", "|---|---|", *rows])
    entries = [describe(name, spec.name) for name in own]
    return "\n".join(["\n\n".join([*heading, table]) + "\n", *entries])


def summarize(name: str, module: str) -> str:
    """Return the first sentence of a docstring on one line."""
    opening = next(_render_prose(find_source(name, module)[1]), "")
    return " ".join(opening.split()).partition(". ")[0].rstrip(".:") + "."


def describe(name: str, module: str | None = None) -> str:
    """Describe one public name: its signature and its docstring."""
    node, doc = find_source(name, module)
    blocks = [f"{'##' if module else '###'} {name}", f"```python\n{sign(node)}\n```", *render(doc)]
    if name.endswith("Settings"):
        blocks += list_settings(getattr(nstk, name))
    if isinstance(node, ast.ClassDef):
        blocks += list_methods(node)
    return "\n\n".join(blocks) + "\n"


def find_source(name: str, module: str | None = None) -> tuple[ast.stmt, str]:
    """Find the statement that defines a name, and its docstring, without importing it."""
    spec = find_spec(module or nstk._HOME[name])
    body = ast.parse(Path(spec.origin).read_text(encoding="utf-8")).body
    for position, node in enumerate(body):
        if getattr(node, "name", None) == name:
            return node, ast.get_docstring(node) or ""
        if isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            if name in re.split(r"\W+", ast.unparse(ast.Tuple(targets))):
                return node, _read_docstring(body[position + 1 : position + 2])
        if isinstance(node, ast.ImportFrom) and name in [
            each.asname or each.name for each in node.names
        ]:
            return find_source(name, node.module)
    raise LookupError(f"{name} is not defined in {spec.origin}")


def _read_docstring(following: list[ast.stmt]) -> str:
    """Return the string below an assignment, if there is one."""
    for each in following:
        if isinstance(each, ast.Expr) and isinstance(each.value, ast.Constant):
            return inspect.cleandoc(str(each.value.value))
    return ""


def sign(node: ast.stmt) -> str:
    """Return the signature of a definition, or all of an assignment."""
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
    """Convert a docstring to blocks of Markdown."""
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
    """List the settings of a class with their help texts."""
    documented = [field for field in dataclasses.fields(settings) if "help" in field.metadata]
    entries = [
        f"- `{field.name}` = `{field.default!r}`: {_escape(field.metadata['help'])}"
        for field in documented
    ]
    yield "**Settings**\n\n" + "\n".join(entries)


def list_methods(node: ast.ClassDef) -> Iterator[str]:
    """List the public methods and properties of a class."""
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
    """Split arguments at the commas outside of brackets."""
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
    """Escape the special characters of Markdown outside of code."""
    pieces = re.split(r"(``.+?``|`.+?`)", text, flags=re.DOTALL)
    pieces[::2] = [re.sub(r"([*<|\[\]])", r"\\\1", piece) for piece in pieces[::2]]
    pieces[1::2] = [f"`{piece.strip('`')}`" for piece in pieces[1::2]]
    return "".join(pieces)


if __name__ == "__main__":
    for name, page in write_pages().items():
        Path(__file__).with_name(name).write_text(page, encoding="utf-8")
