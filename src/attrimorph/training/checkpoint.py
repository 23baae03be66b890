"""Checkpoints: `checkpoints/000512000/{model.safetensors, state.pt}`; a folder is there whole or not at all."""

import io
import os
import pickle
import shutil
import tempfile
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from attrimorph.errors import AttrimorphError
from attrimorph.files import sync_folder, write_bytes


def checkpoint_folders(run: Path) -> list[Path]:
    """Return the run's checkpoints, oldest first."""
    home = run / "checkpoints"
    if home.exists() and not home.is_dir():
        raise AttrimorphError(f"{home} must be the folder of the checkpoints; it is a file; move it away")
    return sorted(folder for folder in home.glob("[0-9]*") if folder.is_dir() and folder.name.isdigit())


def save_checkpoint(
    run: Path, images_seen: int, model: bytes, state: Mapping[str, Any], keep: int, *, spare: int | None = None
) -> Path:
    """Write one checkpoint, then remove all but the newest `keep`.

    Args:
        run: the run's folder.
        images_seen: the clock, the checkpoint's name.
        model: content of model.safetensors.
        state: tensors and plain values, read back with weights_only=True.
        keep: how many stay.
        spare: the clock of one more that stays.
    """
    home = run / "checkpoints"
    final = home / f"{images_seen:09d}"
    try:
        home.mkdir(parents=True, exist_ok=True)
        for leftover in home.glob(".part-*"):
            shutil.rmtree(leftover, ignore_errors=True)
        part = Path(tempfile.mkdtemp(dir=home, prefix=".part-"))
        part.chmod(0o755)
    except OSError as error:
        raise AttrimorphError(
            f"cannot write a checkpoint in {home}: {error.strerror or error}; free some space or choose another --out"
        ) from error
    try:
        buffer = io.BytesIO()
        torch.save(dict(state), buffer)
        write_bytes(part / "state.pt", buffer.getvalue())
        write_bytes(part / "model.safetensors", model)
        if final.exists():
            shutil.rmtree(final)
        os.replace(part, final)
        sync_folder(home)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    for old in checkpoint_folders(run)[:-keep]:
        if int(old.name) != spare:
            shutil.rmtree(old, ignore_errors=True)
    return final


def load_state(checkpoint: Path) -> dict[str, Any]:
    """Read a checkpoint's state.

    Raises:
        AttrimorphError: it cannot be read, or holds anything but tensors and plain values.
    """
    path = checkpoint / "state.pt"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged or foreign pickle fails in nearly every way
        reason = (str(error).strip() or type(error).__name__).splitlines()[0].partition(". ")[0][:100]
        if isinstance(error, pickle.UnpicklingError):
            reason = "it holds something else than tensors and plain values"
        raise AttrimorphError(
            f"{path} is no checkpoint of this program or is damaged ({reason}); "
            "remove that checkpoint's folder to go on from the one before"
        ) from error
    if not isinstance(state, dict) or "algorithm" not in state:
        raise AttrimorphError(
            f"{path} is no checkpoint of this program; remove its folder to go on from the one before"
        )
    return state


def named_tensors(prefix: str, values: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return contiguous copies under "prefix.name", as safetensors wants them."""
    return {f"{prefix}.{name}": value.detach().cpu().contiguous().clone() for name, value in values.items()}
