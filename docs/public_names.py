"""Extension of Griffe: what it needs to know about settings classes and public names."""

import ast
from importlib import import_module

from griffe import Alias, Attribute, Docstring, Extension, Object

import nstk


class PublicNames(Extension):
    """Documents settings by their help texts, and every name imported ``as`` itself."""

    def on_instance(self, *, obj: Object, **_: object) -> None:
        """Show an example as code, as the plural heading does."""
        if obj.docstring:
            obj.docstring.value = obj.docstring.value.replace("\nExample:\n", "\nExamples:\n")

    def on_attribute_instance(self, *, node: object, attr: Attribute, **_: object) -> None:
        """Turn ``size = setting(512, "Longer side")`` into ``size = 512``, documented."""
        call = getattr(node, "value", None)
        if isinstance(call, ast.Call) and ast.unparse(call.func) == "setting":
            owner = getattr(import_module(attr.parent.module.path), attr.parent.name)
            field = owner.__dataclass_fields__[attr.name]
            attr.value = repr(field.default)
            attr.docstring = Docstring(f"{field.metadata['help']}.", parent=attr)

    def on_alias_instance(self, *, node: object, alias: Alias, **_: object) -> None:
        """Mark ``from nstk.heads.head import Head as Head`` as public, once for each name."""
        names = node.names if isinstance(node, ast.ImportFrom) else []
        if any(each.asname == alias.name for each in names):
            alias.public = alias.parent.path == "nstk" or alias.name not in nstk._HOME
