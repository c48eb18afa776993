"""The public names of `nstk` are complete, importable and documented."""

import ast
import dataclasses
import inspect
from pathlib import Path

import pytest

import nstk
from nstk import errors

FACADE = Path(nstk.__file__)


def test_the_list_of_names_is_sorted_and_unique():
    assert list(nstk.__all__) == sorted(set(nstk.__all__))


def test_type_checkers_see_exactly_the_public_names():
    tree = ast.parse(FACADE.read_text(encoding="utf-8"))
    block = next(node for node in tree.body if isinstance(node, ast.If))
    seen = {}
    for statement in block.body:
        for alias in statement.names:
            assert alias.asname == alias.name, "only `X as X` is re-exported to type checkers"
            seen[alias.name] = statement.module
    assert {name for name, module in seen.items() if module == "nstk"} == set(nstk.NAMESPACES)
    assert {name: module for name, module in seen.items() if module != "nstk"} == nstk._HOME


def test_the_facade_is_small():
    assert len(nstk._HOME) <= 41


@pytest.mark.parametrize("name", nstk.NAMESPACES)
def test_a_namespace_is_documented_and_so_is_all_it_offers(name):
    namespace = getattr(nstk, name)
    assert namespace.__doc__
    for public, value in vars(namespace).items():
        if inspect.isfunction(value) or inspect.isclass(value):
            assert public.startswith("_") or inspect.getdoc(value), f"nstk.{name}.{public}"


def test_dir_lists_the_public_names():
    assert set(nstk.__all__) <= set(dir(nstk))


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="styliz"):
        _ = nstk.styliz


def test_every_error_has_one_root_and_stands_in_the_tree_of_errors():
    raised = {
        name: value
        for name, value in vars(errors).items()
        if inspect.isclass(value) and issubclass(value, Exception)
    }
    assert all(issubclass(value, nstk.NstkError) for value in raised.values())
    assert all(name in errors.__doc__ for name in raised)


@pytest.mark.parametrize("name", sorted(nstk._HOME))
def test_a_public_name_is_documented(name):
    value = getattr(nstk, name)
    if name == "Image":  # an alias of an array type: its docstring is a string after it
        source = Path(inspect.getsourcefile(nstk.load_image)).parent
        assert any("Image = " in path.read_text("utf-8") for path in source.glob("*.py"))
        return
    first = (inspect.getdoc(value) or "").splitlines()[0]
    assert first.endswith((".", ":")), first
    if inspect.isfunction(value):
        for parameter in inspect.signature(value).parameters:
            assert f"{parameter}:" in value.__doc__, f"{name} does not explain {parameter}"
    elif dataclasses.is_dataclass(value) and "Settings" not in name:
        for field in dataclasses.fields(value):
            if field.name.startswith("_"):
                continue
            assert f"{field.name}" in value.__doc__, f"{name} does not explain {field.name}"


@pytest.mark.parametrize("name", sorted(nstk._HOME))
def test_the_public_methods_of_a_public_class_are_documented(name):
    value = getattr(nstk, name)
    if inspect.isclass(value):
        for method, function in vars(value).items():
            if not method.startswith("_") and inspect.isfunction(function):
                assert inspect.getdoc(function), f"nstk.{name}.{method}"
