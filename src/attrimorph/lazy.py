"""Packages whose names are loaded when they are first used, so that an import costs what is used of it."""

import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any


def loading(package: str, homes: Mapping[str, str]) -> Callable[[str], Any]:
    """Return the package's `__getattr__`.

    Args:
        package: its name.
        homes: name -> the module that defines it, or the package that it is a module of.
    """

    def load(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        found = vars(import_module(homes[name]))
        value = found[name] if name in found else import_module(f"{homes[name]}.{name}")
        setattr(sys.modules[package], name, value)
        return value

    return load
