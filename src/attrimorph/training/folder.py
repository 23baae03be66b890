"""The folder of a run, which belongs to one run for good: what run it is, its log, its sheets of samples."""

import copy
import importlib.util
import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from torch import nn

from attrimorph.data.loader import generator_for
from attrimorph.data.prepare import open_or_prepare
from attrimorph.data.prepared import PreparedData, open_prepared
from attrimorph.data.readers import Source
from attrimorph.errors import AttrimorphError
from attrimorph.files import read_json, write_json, write_text, writing
from attrimorph.loading import assemble, parse_header
from attrimorph.methods import read_recipe
from attrimorph.pictures import grid, write_png
from attrimorph.recipe import AnyRecipe, field_names
from attrimorph.training import FastPath

CHANGEABLE = (
    "training.images", "training.keep", "training.log_images", "training.sample_images", "training.checkpoint_images"
)  # fmt: skip
"""The fields in which a run may be gone on with differently: how long, and what is written on the way."""
ANEW = "free some space, then give the same command"
COLUMNS, ROWS = 8, 3  # of samples on a sheet


def is_begun(folder: Path) -> bool:
    """Tell whether a folder holds a run."""
    return (folder / "recipe.json").is_file()


def check_recipe(folder: Path, recipe: AnyRecipe) -> str | None:
    """See that a folder is new, None, or holds a run of this recipe; return the fingerprint of its data.

    Raises:
        AttrimorphError: the folder holds another run, or a damaged file.
    """
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
    return FastPath.read(file) if file.exists() else None


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


def read_log(folder: Path) -> list[dict[str, Any]]:
    """Return the lines of a run's log, oldest first; a last line cut short by a kill is left out."""
    path = folder / "log.jsonl"
    lines: list[dict[str, Any]] = []
    if path.exists():
        for text in path.read_text(encoding="utf-8", errors="replace").splitlines():
            try:
                line = json.loads(text)
            except (ValueError, RecursionError):
                break
            if not isinstance(line, dict) or not isinstance(line.get("images_seen"), int):
                break
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
        device = str(next(next(iter(networks.values())).parameters()).device)
        model = assemble(copy.deepcopy(dict(networks)), parse_header(header), device, "")
        rows = model.sheet_rows(self.images, self.attributes, self.masks)
        # Some models only change images that they are given.
        with suppress(AttrimorphError):
            codes = model.sample_codes(COLUMNS * ROWS, generator_for(self.seed, 2))
            rows.append(model.decode(codes).cpu())
        write_png(self.folder / f"{images_seen:09d}.png", grid(torch.cat(rows), columns=len(self.images)))
