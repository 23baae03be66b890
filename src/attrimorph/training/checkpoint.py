"""What a run goes on from and back to: averages of weights, checkpoints, the guard that says when it went wrong.

A checkpoint is `checkpoints/000512000/{model.safetensors, state.pt}`; the folder is there whole or not at all.
"""

import copy
import io
import math
import os
import pickle
import shutil
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from attrimorph.errors import AttrimorphError
from attrimorph.files import sync_folder, write_bytes

COLLAPSED = 0.1  # spread of samples, as a share of that of real images, under which they are all alike
DEAD_LINES = 40  # log lines in a row with a discriminator that is never wrong, or never right
RETURNS = 3


class Ema:
    """Averaged copies of networks: average <- w average + (1 - w) weights, w = 2^(-images / half-life).

    The half-life grows with the run (at most a tenth of the images seen), so that early averages forget the
    first weights. Floating-point buffers (batch-norm statistics) are averaged alike; others are copied.

    Args:
        networks: name -> network; copied, never trained.
        half_life: images; 0 keeps plain copies.
    """

    def __init__(self, networks: Mapping[str, nn.Module], half_life: int) -> None:
        self.networks = {name: copy.deepcopy(net).eval().requires_grad_(False) for name, net in networks.items()}
        self.half_life = half_life
        self._pairs = [
            (mine, yours)
            for name, net in networks.items()
            for mine, yours in zip(tensors(self.networks[name]), tensors(net), strict=True)
        ]

    @torch.no_grad()
    def update(self, images_seen: int, images: int) -> None:
        """Move the averages after a step of `images` images, with `images_seen` before it."""
        half_life = min(float(self.half_life), images_seen / 10)
        weight = 1 - 2 ** (-images / half_life) if half_life > 0 else 1.0
        real = [(mine, yours) for mine, yours in self._pairs if mine.is_floating_point()]
        torch._foreach_lerp_([mine for mine, _ in real], [yours for _, yours in real], weight)
        for mine, yours in self._pairs:
            if not mine.is_floating_point():
                mine.copy_(yours)


def tensors(network: nn.Module) -> list[Tensor]:
    """Parameters and buffers in one order."""
    return [*network.parameters(), *network.buffers()]


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


@dataclass
class Guard:
    """Reads the averaged values of each log line.

    NaN or infinity is fatal at once. A collapsed sampler (all samples nearly the same picture) or a dead
    discriminator (always right, or always wrong, for forty lines) is given time: it must last.

    Attributes:
        returns: how often the run has gone back to a checkpoint.
        rate_scale: what the learning rates are multiplied by since.
        collapsed_lines, dead_lines: lines in a row in which the samples were alike, or the discriminator sure.
        good: the clock of the newest checkpoint that was written without any doubt; what lasts is noticed late, when
            newer checkpoints have it too.
    """

    returns: int = 0
    rate_scale: float = 1.0
    collapsed_lines: int = 0
    dead_lines: int = 0
    good: int = 0

    def sees(self, values: Mapping[str, float], images_seen: int) -> str | None:
        """Return what is wrong, as a sentence, or None.

        Args:
            values: averages since the last line.
            images_seen: the clock.
        """
        for name, value in values.items():
            if not math.isfinite(value) and not (name.endswith("accuracy") and math.isnan(value)):
                return f"at {images_seen:,} images the value of {name} was {value}: the numbers have blown up"
        spread = values.get("sample_spread", 1.0)
        self.collapsed_lines = self.collapsed_lines + 1 if spread < COLLAPSED else 0
        if self.collapsed_lines >= DEAD_LINES // 2:
            return (
                f"at {images_seen:,} images the samples had been nearly the same picture for "
                f"{self.collapsed_lines} lines "
                f"of the log (their spread is {spread:.0%} of that of real images): the sampler has collapsed"
            )
        if "d_real_right" in values and "d_sample_right" in values:
            sure = min(values["d_real_right"], values["d_sample_right"])
            best = max(values["d_real_right"], values["d_sample_right"])
            stuck = values["d_real_right"] in (0.0, 1.0) and values["d_sample_right"] == 1 - values["d_real_right"]
            self.dead_lines = self.dead_lines + 1 if sure == 1.0 or best == 0.0 or stuck else 0
            if self.dead_lines >= DEAD_LINES:
                return (
                    f"at {images_seen:,} images the discriminator had told "
                    f"{values['d_real_right']:.0%} of the real images and "
                    f"{values['d_sample_right']:.0%} of the samples rightly for {self.dead_lines} lines of the log: "
                    "it teaches the generator nothing any more"
                )
        return None

    def inspects(self, state: Mapping[str, Any], images_seen: int) -> str | None:
        """Return what is wrong with a state that is about to become a checkpoint, as a sentence, or None.

        Args:
            state: tensors and plain values, nested.
            images_seen: the clock.
        """
        for name, tensor in tensors_in(state):
            if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
                return f"at {images_seen:,} images {name} held NaN or infinity: the numbers have blown up"
        return None

    def saves(self, images_seen: int) -> None:
        """Take note of a checkpoint that is written now."""
        if self.collapsed_lines == self.dead_lines == 0:
            self.good = images_seen

    def go_back(self) -> bool:
        """Count a return to the last good checkpoint with halved learning rates; False when it was one too many."""
        self.returns += 1
        self.rate_scale *= 0.5
        self.collapsed_lines, self.dead_lines = 0, 0
        return self.returns <= RETURNS


def tensors_in(state: Any, name: str = "") -> Iterator[tuple[str, Tensor]]:
    """Yield (dotted name, tensor) of everything inside mappings and lists."""
    if isinstance(state, Tensor):
        yield name, state
    elif isinstance(state, Mapping):
        for key, part in state.items():
            yield from tensors_in(part, f"{name}.{key}" if name else str(key))
    elif isinstance(state, list | tuple):
        for place, part in enumerate(state):
            yield from tensors_in(part, f"{name}.{place}")
