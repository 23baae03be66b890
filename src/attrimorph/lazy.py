"""Packages whose names are loaded when they are first used, so that an import costs what is used of it."""

import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any


def loading(package: str, homes: Mapping[str, str]) -> Callable[[str], Any]:
    """Return the package's `__getattr__`.

    Args:
        package: its name.
        homes: name -> the module that defines it; a name that lives in the package itself is a module of it.
    """

    def load(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        home = homes[name]
        value = import_module(f"{package}.{name}") if home == package else vars(import_module(home))[name]
        setattr(sys.modules[package], name, value)
        return value

    return load
