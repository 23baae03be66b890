"""The folder of a run, which belongs to one run for good: what run it is, its log, its sheets of samples; and what it
goes on from and back to: averages of weights, checkpoints, the guard that says when it went wrong.

A checkpoint is `checkpoints/000512000/{model.safetensors, state.pt}`; the folder is there whole or not at all.
"""

import copy
import hashlib
import importlib.util
import io
import json
import math
import os
import pickle
import shutil
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from attrimorph.data.loader import generator_for
from attrimorph.data.prepared import PreparedData, open_or_prepare, open_prepared
from attrimorph.data.readers import Source
from attrimorph.errors import AttrimorphError
from attrimorph.files import read_json, read_within, reading, sync_folder, write_bytes, write_json, write_text, writing
from attrimorph.loading import assemble, parse_header
from attrimorph.methods import read_recipe
from attrimorph.models.model import Encodes, Model
from attrimorph.pictures import grid, write_png
from attrimorph.recipe import AnyRecipe, field_names
from attrimorph.training import FastPath

CHANGEABLE = (
    "training.images", "training.keep", "training.log_images", "training.sample_images", "training.checkpoint_images",
    "training.checkpoint_minutes",
)  # fmt: skip
"""The fields in which a run may be gone on with differently: how long, and what is written on the way."""
ANEW = "free some space, then give the same command"
COLUMNS, ROWS = 8, 3  # of samples on a sheet
WRITTEN = ("recipe.json", "machine.json", "data.json", "log.jsonl", "samples", "checkpoints", "tensorboard")
"""What a training writes into its folder."""


def is_begun(folder: Path) -> bool:
    """Tell whether a folder holds a run."""
    return (folder / "recipe.json").is_file()


def check_recipe(folder: Path, recipe: AnyRecipe) -> str | None:
    """See that a folder is new, None, or holds a run of this recipe; return the fingerprint of its data.

    Raises:
        AttrimorphError: the folder holds another run, a damaged file, or a link that leads out of it.
    """
    for name in WRITTEN:
        path = folder / name
        if path.is_symlink() and not path.resolve().is_relative_to(folder.resolve()):
            raise AttrimorphError(
                f"{path} must lie in the run's folder, as a training writes there; it is a link to {path.resolve()}; "
                "remove it, or choose another folder with --out"
            )
    if not is_begun(folder):
        return None
    file = folder / "recipe.json"
    value = read_json(file)
    if not isinstance(value, dict) or not {"recipe", "data"} <= set(value):
        raise AttrimorphError(f"{file} is no recipe of a run; choose another folder with --out, or remove the file")
    held, mine = read_recipe(value["recipe"]).model_dump(), recipe.model_dump()
    for name in field_names(mine):
        a, b = field(held, name), field(mine, name)
        if a != b and name not in CHANGEABLE:
            raise AttrimorphError(
                f"{folder} holds a run with {name} = {a!r}, this one has {b!r}; a run keeps that to its end: give the "
                "same, or choose another folder with --out"
            )
    return str(value["data"])


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
    known = check_recipe(folder, recipe)
    if known is None:
        return None
    if known != fingerprint:
        raise AttrimorphError(
            f"{folder} holds a run on other data ({data_of(folder)}); give those, or choose another folder with --out"
        )
    file = folder / "machine.json"
    return FastPath.read(file) if file.is_file() else None


def claim(folder: Path, recipe: AnyRecipe, data: PreparedData, path: FastPath) -> None:
    """Write what run this is into its folder; clear away what a process that was killed left half-written."""
    for leftover in [*folder.glob(".*.part"), *folder.glob("samples/.*.part")]:
        with suppress(OSError):
            leftover.unlink()
    source = data.source or (None if data.path is None else Source(data.path))
    words = {} if source is None else source.to_json()
    if data.path is not None:
        words["prepared"] = str(data.path.resolve())
    if data.source is None and "drawn" in data.preprocessing:
        words["drawn"] = str(data.preprocessing["drawn"])
    write_json(folder / "data.json", words)
    write_json(folder / "machine.json", asdict(path))
    write_json(folder / "recipe.json", {"recipe": recipe.model_dump(), "data": data.fingerprint})


def data_words(folder: Path) -> dict[str, str]:
    """Return what a run's folder says of its data: "data", "format", "table", "prepared", "drawn", as far as known."""
    file = folder / "data.json"
    value = read_json(file) if file.is_file() else {}
    if not isinstance(value, dict) or not all(isinstance(word, str) for word in value.values()):
        raise AttrimorphError(f"{file} does not say where data are; remove it, and name the data with --data")
    return value


def data_of(folder: Path) -> str:
    """Say in words what data a run learns from."""
    words = data_words(folder)
    return "synthetic faces" if "drawn" in words else words.get("data", "it does not say which")


def reopened(folder: Path, image_size: int, progress: Callable[[int, int], None] | None = None) -> PreparedData:
    """Open the data that a run learns from again: as they were prepared, or else from where they came.

    Args:
        folder: the run's.
        image_size: the recipe's.
        progress: called with (done, total) when they are prepared or drawn again.

    Raises:
        AttrimorphError: they are gone, have changed, or nobody knows where they were.
    """
    words, fingerprint = data_words(folder), read_json(folder / "recipe.json")["data"]
    if "data" not in words:
        raise AttrimorphError(f"{folder} does not say where its data are; name them with --data FOLDER")
    source = Source.from_json(words)
    prepared = Path(words.get("prepared", words["data"]))
    if (prepared / "schema.json").is_file() and (data := open_prepared(prepared)).fingerprint == fingerprint:
        return replace(data, source=None if "drawn" in words else source)
    if not source.path.exists() and "drawn" not in words:
        raise AttrimorphError(f"the data of {folder} are gone from {source.path}; name where they are now with --data")
    if "drawn" in words:
        from attrimorph.data.drawn.synthetic import drawn_faces

        data = drawn_faces(image_size, progress=progress)
    else:
        data = open_or_prepare(source, image_size, progress=progress)
    if data.fingerprint != fingerprint:
        raise AttrimorphError(
            f"the data in {source.path} have changed since {folder} began; begin another run with --data and --out"
        )
    return data


def field(recipe: dict[str, Any], dotted: str) -> Any:
    """Return a field of a dumped recipe by its dotted name."""
    value: Any = recipe
    for key in dotted.split("."):
        value = value[key]
    return value


class Log:
    """Lines of `log.jsonl`; on resuming, lines after the checkpoint are dropped.

    Args:
        folder: the run's.
        images_seen: of the checkpoint that the run goes on from.

    Raises:
        AttrimorphError: it cannot be written.
    """

    def __init__(self, folder: Path, images_seen: int) -> None:
        self.path = folder / "log.jsonl"
        kept = [line for line in read_log(folder) if line["images_seen"] <= images_seen]
        write_text(self.path, "".join(json.dumps(line) + "\n" for line in kept))
        with writing(self.path, ANEW):
            # Unbuffered: what could not be written is not tried again when the file is closed.
            self.file = self.path.open("ab", buffering=0)
            self.writer: Any = None
            if importlib.util.find_spec("tensorboard"):
                from torch.utils.tensorboard import SummaryWriter

                self.writer = SummaryWriter(str(folder / "tensorboard"), purge_step=images_seen + 1)

    def write(self, line: dict[str, Any]) -> None:
        """Append one line; it must hold `images_seen`.

        Raises:
            AttrimorphError: it cannot be written.
        """
        with writing(self.path, ANEW):
            self.file.write((json.dumps(line) + "\n").encode())
            if self.writer is not None:
                for name, value in line.items():
                    if isinstance(value, int | float) and name != "images_seen":
                        self.writer.add_scalar(name, value, line["images_seen"])

    def close(self) -> None:
        """Close the files."""
        self.file.close()
        if self.writer is not None:
            # A disk that is full was reported when a line was written; the curves can be drawn from log.jsonl.
            with suppress(OSError):
                self.writer.close()


def read_log(folder: Path, most: int = 2**62) -> list[dict[str, Any]]:
    """Return the lines of a run's log, oldest first; damaged ones, as the last one after a kill, are left out.

    Of a log of more than so many bytes its end. One that is a link or no plain file counts as none.
    """
    try:
        content = read_within(folder, "log.jsonl", most=most)
    except OSError:
        return []
    lines: list[dict[str, Any]] = []
    for text in content.decode(errors="replace").split("\n"):
        try:
            line = json.loads(text)
        except (ValueError, RecursionError):
            continue
        # Not true, which is a number to Python; nor one that no curve can be drawn at.
        if isinstance(line, dict) and type(seen := line.get("images_seen")) is int and 0 <= seen < 2**53:
            lines.append(line)
    return lines


class SampleSheet:
    """Writes `samples/000020000.png`: held-out images, over them reconstructed or edited, then samples.

    Args:
        folder: the run's.
        data: prepared; the held-out images are of "valid", "test" or "train", the first that has any.
        seed: of the samples.
    """

    def __init__(self, folder: Path, data: PreparedData, seed: int) -> None:
        self.folder, self.seed = folder / "samples", seed
        rows = next(r for r in (data.indices(split) for split in ("valid", "test", "train")) if len(r))[:COLUMNS]
        self.images, self.attributes = data.batch(rows)
        self.masks = None if data.masks is None else torch.from_numpy(data.masks[rows])[:, None].float() / 255

    @torch.inference_mode()
    def write(self, networks: Mapping[str, nn.Module], header: Mapping[str, Any], images_seen: int) -> None:
        """Write one sheet with the averaged networks, which stay as they are."""
        model = model_of(networks, header)
        rows = model.sheet_rows(self.images, self.attributes, self.masks)
        # Some models only change images that they are given.
        with suppress(AttrimorphError):
            codes = model.sample_codes(COLUMNS * ROWS, generator_for(self.seed, 2))
            rows.append(model.decode(codes).cpu())
        write_png(self.folder / f"{images_seen:09d}.png", grid(torch.cat(rows), columns=len(self.images)))


def model_of(networks: Mapping[str, nn.Module], header: Mapping[str, Any]) -> Model:
    """Return the model of networks as they are, and of a header; its networks are copies, on the same device."""
    device = str(next(next(iter(networks.values())).parameters()).device)
    return assemble(copy.deepcopy(dict(networks)), parse_header(header), device, "")


KNOWN = 256  # pictures on which a model's header tells how well it reconstructs what it was trained on


def own_reconstruction(
    networks: Mapping[str, nn.Module], header: Mapping[str, Any], data: PreparedData
) -> dict[str, float]:
    """Return mean and deviation of the PSNR in dB, data range 1, of reconstructed pictures; nothing without an encoder.

    Args:
        networks: of the model, which stay as they are; header: of its file.
        data: its held-out pictures ("valid") are taken, or its training pictures where there are none.
    """
    model = model_of(networks, header)
    if not isinstance(model, Encodes):
        return {}
    rows = next(r for r in (data.indices(split) for split in ("valid", "train")) if len(r))[:KNOWN]
    errors = []
    for start in range(0, len(rows), 64):
        images, labels = data.batch(rows[start : start + 64])
        made = model.decode(model.encode(images, labels)).cpu().as_subclass(Tensor)
        errors.append(((made - images) / 2).square().mean((1, 2, 3)))
    psnr = -10 * torch.cat(errors).clamp(min=1e-10).log10()
    return {"psnr": round(float(psnr.mean()), 2), "deviation": round(float(psnr.std(correction=0)), 2)}


# --- checkpoints

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
    with writing(home):
        home.mkdir(parents=True, exist_ok=True)
        for leftover in home.glob(".part-*"):
            shutil.rmtree(leftover, ignore_errors=True)
        part = Path(tempfile.mkdtemp(dir=home, prefix=".part-"))
        part.chmod(0o755)
    try:
        buffer = io.BytesIO()
        torch.save(dict(state), buffer)
        write_bytes(part / "state.pt", buffer.getvalue())
        write_json(part / "sha256.json", {"state.pt": hashlib.sha256(buffer.getbuffer()).hexdigest()})
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


def snapshot(state: dict[str, Any]) -> dict[str, Any]:
    """Copy a state, its tensors to the CPU, while the training goes on; what is there twice is copied once."""
    return copy.deepcopy(state, {id(each): each.detach().to("cpu", copy=True) for _, each in tensors_in(state)})


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
    if (checkpoint / "sha256.json").exists():  # absent in checkpoints of early versions
        told = read_json(checkpoint / "sha256.json")
        with reading(path), path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        if not isinstance(told, dict) or told.get("state.pt") != found:
            raise AttrimorphError(
                f"{path} has changed since it was written; remove that checkpoint's folder to go on from the one before"
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
