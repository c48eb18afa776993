"""Mutation testing: change one operator, comparison or number, and check whether a test fails.

    python benchmarks/mutation.py --count 100 --seed 0

A mutant is a module with one change in its syntax tree: + for −, · for /, < for ≤, "and" for "or",
a negated condition, another number. The program draws a random sample of all mutants. For each, it
forks a process that has TensorFlow loaded, replaces the module by the mutant and runs the tests of
that module. A mutant is killed if a test fails or hangs. Decorators, annotations and strings do
not change. Some survivors are equivalent to the original, so that no test can kill them; they count
as survivors all the same.
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
        f"nstk/optimizers/{name}.py": (
            "test_optimizer_steps",
            "test_optimizers",
            "test_preconditioner",
        )
        for name in (
            *("adam", "averaging", "choice", "gradient_descent"),
            *("lbfgs", "line_search", "newton", "protocol"),
        )
    },
    "nstk/heads/links.py": ("test_links",),
    "nstk/heads/logistic.py": ("test_head",),
    "nstk/datasets/folders.py": ("test_folders", "test_holdout", "test_layout"),
    "nstk/heads/metrics.py": ("test_metrics",),
}
"""Modules to mutate, with the tests that must fail."""

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
        line: The changed line.
        before: The original expression.
        after: The changed expression.
        tree: The changed module.
    """

    path: str
    line: int
    before: str
    after: str
    tree: ast.Module


def main() -> None:
    """Draw mutants, test each, and print the results."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=100, help="number of mutants [%(default)s]")
    parser.add_argument("--seed", type=int, default=0, help="random seed [%(default)s]")
    parser.add_argument("--only", default="", help="only modules whose path contains this")
    parser.add_argument(
        "--minutes", type=float, default=60.0, help="start no mutant after this time [%(default)s]"
    )
    options = parser.parse_args()
    for name in ("keras", "pytest"):  # loaded once, before forking
        import_module(name)
    paths = [path for path in TARGETS if options.only in path]
    modules = {TARGETS[path]: path for path in paths}
    limits = {tests: measure_time_limit(path) for tests, path in modules.items()}
    mutants = [mutant for path in paths for mutant in mutate(path)]
    drawn = random.Random(options.seed).sample(mutants, min(options.count, len(mutants)))
    end = time.monotonic() + 60 * options.minutes
    killed: dict[str, list[bool]] = {path: [] for path in paths}
    for mutant in drawn:
        if time.monotonic() > end:
            break
        is_killed = not passes(mutant.path, mutant.tree, limits[TARGETS[mutant.path]])
        killed[mutant.path].append(is_killed)
        print(
            f"{'killed  ' if is_killed else 'SURVIVED'} {mutant.path}:{mutant.line}: "
            f"{mutant.before}  →  {mutant.after}",
            flush=True,
        )
    print("\n| module | mutants | killed |\n|---|---|---|")
    for path, results in killed.items():
        print(f"| `{path}` | {len(results)} | {sum(results)} |")
    tested = [result for results in killed.values() for result in results]
    share = 100 * sum(tested) / max(1, len(tested))
    print(f"| all, drawn from {len(mutants)} | {len(tested)} | {sum(tested)} ({share:.0f} %) |")


def measure_time_limit(path: str) -> float:
    """Run the tests of the unchanged module; return a time limit for those of its mutants."""
    began = time.monotonic()
    if not passes(path, ast.parse((ROOT / path).read_text(encoding="utf-8")), 600):
        sys.exit(f"the tests of {path} fail on the unchanged module; fix them first")
    return 10 + 3 * (time.monotonic() - began)


def passes(path: str, tree: ast.Module, limit: float) -> bool:
    """Return whether the tests of a module pass with this syntax tree in its place."""
    child = os.fork()
    if not child:
        os.setsid()
        os._exit(run_tests(path, tree))
    end = time.monotonic() + limit
    while time.monotonic() < end:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return os.waitstatus_to_exitcode(status) == 0
        time.sleep(0.02)
    os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return False


def run_tests(path: str, tree: ast.Module) -> int:
    """Run the tests of a module with this syntax tree in its place; return pytest's exit status."""
    null_device = os.open(os.devnull, os.O_WRONLY)
    for descriptor in (1, 2):
        os.dup2(null_device, descriptor)
    file, original = str(ROOT / path), SourceFileLoader.get_code

    def get_code(loader: SourceFileLoader, name: str) -> CodeType | None:
        is_mutated = loader.path == file
        return compile(tree, file, "exec") if is_mutated else original(loader, name)

    SourceFileLoader.get_code = get_code
    import pytest

    os.chdir(ROOT)
    files = [str(file) for name in TARGETS[path] for file in Path("tests").rglob(f"{name}.py")]
    options = ["-x", "-q", "-p", "no:cacheprovider", "-m", "not slow"]
    return int(pytest.main([*options, *files]))


def mutate(path: str) -> Iterator[Mutant]:
    """Yield every mutant of a module."""
    original = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    for number, node in enumerate(iterate_expressions(original)):
        for change in range(len(list_changes(node))):
            tree = copy.deepcopy(original)
            target = list(iterate_expressions(tree))[number]
            before = ast.unparse(target)
            list_changes(target)[change]()
            after = ast.unparse(target)
            yield Mutant(path, target.lineno, before, after, ast.fix_missing_locations(tree))


def iterate_expressions(node: ast.AST) -> Iterator[ast.expr]:
    """Yield the expressions below a node in source order, without annotations and decorators."""
    for name, value in ast.iter_fields(node):
        if name in ("annotation", "returns", "decorator_list", "type_params"):
            continue
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.expr):
                yield child
            if isinstance(child, ast.AST):
                yield from iterate_expressions(child)


def list_changes(node: ast.expr) -> list[Callable[[], None]]:
    """Return the possible changes of an expression, each as a function that applies it."""
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
