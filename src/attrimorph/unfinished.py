"""A long computation that a signal ended, kept beside its result until the same command has finished it."""

import io
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from attrimorph.errors import AttrimorphError
from attrimorph.files import write_bytes


def beside(result: Path) -> Path:
    """Return where the unfinished work on a result is kept."""
    return result.with_name(f"{result.name}.unfinished")


def save_unfinished(result: Path, key: Mapping[str, Any], state: Mapping[str, Any]) -> Path:
    """Write how far the work on `result` has come; return the file.

    Args:
        result: the file that will come of it.
        key: plain values that tell this work from another.
        state: tensors and plain values.
    """
    buffer = io.BytesIO()
    torch.save({"key": dict(key), "state": dict(state)}, buffer)
    write_bytes(beside(result), buffer.getvalue())
    return beside(result)


def key_of(result: Path) -> dict[str, Any]:
    """Return what tells the unfinished work on `result` from another; empty where there is none."""
    return dict(_read(beside(result))[0]) if beside(result).exists() else {}


def load_unfinished(result: Path, key: Mapping[str, Any]) -> dict[str, Any] | None:
    """Read how far the work on `result` had come; None where it was not begun.

    Raises:
        AttrimorphError: the file is damaged, or of another work.
    """
    path = beside(result)
    if not path.exists():
        return None
    held, state = _read(path)
    if held != dict(key):
        other = next((name for name in key if held.get(name) != key[name]), "")
        raise AttrimorphError(
            f"{path} is unfinished work with another {other}; remove it to begin anew, or choose another --out"
        )
    return dict(state)


def _read(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = torch.load(path, weights_only=True)
        return dict(found["key"]), dict(found["state"])
    except Exception as error:  # a damaged or foreign pickle fails in nearly every way
        raise AttrimorphError(f"{path} is no unfinished work of this program, or damaged; remove it") from error
