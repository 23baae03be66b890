"""The folder of a run: held by one process at a time, and by one run for good."""

import fcntl
import os
import socket
from contextlib import suppress
from pathlib import Path
from typing import Any, TextIO

from attrimorph.errors import AttrimorphError
from attrimorph.files import read_json, write_json
from attrimorph.recipes.options import AnyRecipe, field_names
from attrimorph.recipes.reading import read_recipe
from attrimorph.training.hardware import FastPath

CHANGEABLE = ("training.images", "training.keep")  # the fields in which a run may be gone on with differently


def lock_folder(folder: Path) -> TextIO:
    """Hold the run's folder for this process; the system lets go of it when the process ends, however it ends.

    Raises:
        AttrimorphError: it cannot be written, or another process holds it.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = (folder / ".lock").open("a+")
    except OSError as error:
        raise AttrimorphError(
            f"cannot write into {folder}: {error.strerror or error}; choose another folder with --out"
        ) from error
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        file.close()
        raise AttrimorphError(
            f"another process is training in {folder}; wait for it, or choose another --out"
        ) from error
    # Who it is, for those who wish to stop it.
    with suppress(OSError):
        file.truncate(0)
        file.write(f"{os.getpid()} {socket.gethostname()}")
        file.flush()
    return file


def holder_of(folder: Path) -> int | None:
    """Return the process of this machine that holds a run's folder; None where nobody does, or nobody knows who."""
    if not is_held(folder):
        return None
    try:
        number, _, host = (folder / ".lock").read_text(encoding="utf-8").partition(" ")
    except (OSError, UnicodeDecodeError):
        return None
    return int(number) if number.isascii() and number.isdigit() and host == socket.gethostname() else None


def is_held(folder: Path) -> bool:
    """Tell whether a process trains in a run's folder: it holds the lock as long as it lives."""
    try:
        with (folder / ".lock").open() as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            fcntl.flock(file, fcntl.LOCK_UN)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def known_path(folder: Path, recipe: AnyRecipe, fingerprint: str) -> FastPath | None:
    """See that a folder is new, None, or holds this very run; return the fast path that it began on.

    The path is measured once and kept: a resumed run must compute as it did before.

    Args:
        folder: the run's.
        recipe: the run.
        fingerprint: of its data.

    Raises:
        AttrimorphError: the folder holds another run, or damaged files.
    """
    recipe_file, machine_file = folder / "recipe.json", folder / "machine.json"
    if not recipe_file.exists():
        return None
    value = read_json(recipe_file)
    if not isinstance(value, dict) or not {"recipe", "data"} <= set(value):
        raise AttrimorphError(
            f"{recipe_file} is no recipe of a run; choose another folder with --out, or remove the file"
        )
    held, mine = read_recipe(value["recipe"]).model_dump(), recipe.model_dump()
    for name in field_names(mine):
        a, b = field(held, name), field(mine, name)
        if a != b and name not in CHANGEABLE:
            raise AttrimorphError(
                f"{folder} holds a run with {name} = {a!r}, this one has {b!r}; choose another folder with --out"
            )
    if value["data"] != fingerprint:
        raise AttrimorphError(f"{folder} holds a run on other data; choose another folder with --out")
    return FastPath.from_json(read_json(machine_file), machine_file) if machine_file.exists() else None


def claim(folder: Path, recipe: AnyRecipe, fingerprint: str, path: FastPath) -> None:
    """Write what run this is into its folder; clear away what a process that was killed left half-written."""
    for leftover in [*folder.glob(".*.part"), *folder.glob("samples/.*.part")]:
        with suppress(OSError):
            leftover.unlink()
    write_json(folder / "machine.json", path.to_json())
    write_json(folder / "recipe.json", {"recipe": recipe.model_dump(), "data": fingerprint})


def field(recipe: dict[str, Any], dotted: str) -> Any:
    """Return a field of a dumped recipe by its dotted name."""
    value: Any = recipe
    for key in dotted.split("."):
        value = value[key]
    return value
