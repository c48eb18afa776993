"""Change one operator, comparison or number at a time, and see whether the tests notice.

    python benchmarks/mutation.py --count 100 --seed 0

A mutant is a module with one change in its syntax tree: + for −, · for /, < for ≤, "and" for "or",
a condition turned round, a number made another. A sample of all there are is drawn with a seed;
for each of it, the tests of that module run in a process forked from one that has TensorFlow
loaded, and see the changed module in the place of the right one. A mutant is killed if a test
fails or hangs. What decorators and annotations say is not changed, nor are texts. Some survivors
mean the same as the original, so that no test can kill them; they count as survivors all the same.
"""

import argparse
import ast
import copy
import os
import random
import signal
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import import_module
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import CodeType

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "cli"), str(ROOT / "tests")]

TARGETS = {
    "nstk/stylization/objective.py": ("test_objective",),
    "nstk/stylization/losses.py": ("test_losses", "test_objective"),
    "nstk/stylization/statistics.py": ("test_losses", "test_statistics"),
    **{
        f"nstk/optimizers/{name}.py": ("test_optimizer_steps", "test_optimizers", "test_pyramid")
        for name in (
            *("adam", "averaging", "bounds", "choice", "gradient_descent"),
            *("lbfgs", "line_search", "newton", "pyramid"),
        )
    },
    "nstk/heads/links.py": ("test_links",),
    "nstk/heads/logistic.py": ("test_head",),
    "nstk/datasets/holdout.py": ("test_holdout",),
    "nstk/heads/metrics.py": ("test_metrics",),
}
"""Modules that are changed, each with the tests that are to notice."""

SWAPS: dict[type[ast.AST], type[ast.AST]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Mult,
    ast.Pow: ast.Mult,
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.And: ast.Or,
    ast.Or: ast.And,
}


@dataclass(frozen=True)
class Mutant:
    """A module with one change.

    Attributes:
        path: The module.
        line: Where it is changed.
        before: What stood there.
        after: What stands there now.
        tree: All of it.
    """

    path: str
    line: int
    before: str
    after: str
    tree: ast.Module


def main() -> None:
    """Draw mutants, try each, and print what came of them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=100, help="how many mutants")
    parser.add_argument("--seed", type=int, default=0, help="which of them")
    parser.add_argument("--only", default="", help="modules whose path contains this")
    parser.add_argument("--minutes", type=float, default=60.0, help="begin none after these")
    options = parser.parse_args()
    for name in ("keras", "pytest"):  # loaded once for all that are forked
        import_module(name)
    paths = [path for path in TARGETS if options.only in path]
    examples = {TARGETS[path]: path for path in paths}
    limits = {tests: measure(path) for tests, path in examples.items()}
    every = [mutant for path in paths for mutant in mutate(path)]
    drawn = random.Random(options.seed).sample(every, min(options.count, len(every)))
    end = time.monotonic() + 60 * options.minutes
    killed: dict[str, list[bool]] = {path: [] for path in paths}
    for mutant in drawn:
        if time.monotonic() > end:
            break
        dies = not passes(mutant.path, mutant.tree, limits[TARGETS[mutant.path]])
        killed[mutant.path].append(dies)
        print(
            f"{'killed  ' if dies else 'SURVIVED'} {mutant.path}:{mutant.line}: "
            f"{mutant.before}  →  {mutant.after}",
            flush=True,
        )
    print("\n| module | mutants | killed |\n|---|---|---|")
    for path, results in killed.items():
        print(f"| `{path}` | {len(results)} | {sum(results)} |")
    tried = [result for results in killed.values() for result in results]
    share = 100 * sum(tried) / max(1, len(tried))
    print(f"| all, drawn from {len(every)} | {len(tried)} | {sum(tried)} ({share:.0f} %) |")


def measure(path: str) -> float:
    """Seconds after which the tests of a module count as hanging; they must pass as it is."""
    began = time.monotonic()
    if not passes(path, ast.parse((ROOT / path).read_text(encoding="utf-8")), 600):
        sys.exit(f"the tests of {path} fail without any change")
    return 10 + 3 * (time.monotonic() - began)


def passes(path: str, tree: ast.Module, limit: float) -> bool:
    """Whether the tests of a module pass with this in its place."""
    child = os.fork()
    if not child:
        os.setsid()
        os._exit(int(test(path, tree)))
    end = time.monotonic() + limit
    while time.monotonic() < end:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status) == 0
        time.sleep(0.02)
    os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return False


def test(path: str, tree: ast.Module) -> int:
    """Run the tests of a module, this in its place; the exit status of pytest."""
    silence = os.open(os.devnull, os.O_WRONLY)
    for descriptor in (1, 2):
        os.dup2(silence, descriptor)
    place, read = str(ROOT / path), SourceFileLoader.get_code

    def get_code(loader: SourceFileLoader, name: str) -> CodeType | None:
        changed = loader.path == place
        return compile(tree, place, "exec") if changed else read(loader, name)

    SourceFileLoader.get_code = get_code
    import pytest

    os.chdir(ROOT)
    files = [str(file) for name in TARGETS[path] for file in Path("tests").rglob(f"{name}.py")]
    options = ["-x", "-q", "-p", "no:cacheprovider", "-m", "not slow"]
    return int(pytest.main([*options, *files]))


def mutate(path: str) -> Iterator[Mutant]:
    """Every mutant of a module."""
    original = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    for number, node in enumerate(walk(original)):
        for change in range(len(changes(node))):
            tree = copy.deepcopy(original)
            place = list(walk(tree))[number]
            before = ast.unparse(place)
            changes(place)[change]()
            after = ast.unparse(place)
            yield Mutant(path, place.lineno, before, after, ast.fix_missing_locations(tree))


def walk(node: ast.AST) -> Iterator[ast.expr]:
    """The expressions below a node that say what is computed, in the order they stand there."""
    for name, value in ast.iter_fields(node):
        if name in ("annotation", "returns", "decorator_list", "type_params"):
            continue
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.expr):
                yield child
            if isinstance(child, ast.AST):
                yield from walk(child)


def changes(node: ast.expr) -> list[Callable[[], None]]:
    """What can be done to an expression, each a call that does it."""
    if isinstance(node, ast.BinOp | ast.BoolOp) and type(node.op) in SWAPS:
        return [lambda: setattr(node, "op", SWAPS[type(node.op)]())]
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        return [lambda: setattr(node, "op", ast.UAdd())]
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        return [lambda: setattr(node, "operand", ast.UnaryOp(ast.Not(), node.operand))]
    if isinstance(node, ast.Compare) and type(node.ops[0]) in SWAPS:
        return [lambda: node.ops.__setitem__(0, SWAPS[type(node.ops[0])]())]
    if isinstance(node, ast.IfExp):
        return [lambda: setattr(node, "test", ast.UnaryOp(ast.Not(), node.test))]
    if isinstance(node, ast.Constant) and isinstance(node.value, bool):
        return [lambda: setattr(node, "value", not node.value)]
    if isinstance(node, ast.Constant) and isinstance(node.value, int | float):
        return [lambda: setattr(node, "value", node.value * 2 if node.value else 1)]
    return []


if __name__ == "__main__":
    main()
