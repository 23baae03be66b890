"""Edit a folder of photographs: names and sub-folders are kept, and what is done is not done again."""

import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import torch
from PIL import Image
from torch import Tensor

from attrimorph.applications.axes.write import AxisEdit, edit_photographs
from attrimorph.applications.edit import edit
from attrimorph.applications.edits_table import EditsTable, Row
from attrimorph.applications.inputs import photographs
from attrimorph.applications.inversion.search import Progress
from attrimorph.applications.options import Search
from attrimorph.applications.receipt import Written, file_sha256, receipt_of, tag_of
from attrimorph.applications.references import Follows, edit_like
from attrimorph.data.readers.raw import list_images, need_images, preview
from attrimorph.errors import AttrimorphError
from attrimorph.evaluators.attributes import Judges
from attrimorph.evaluators.default_evaluators import judge_for
from attrimorph.evaluators.judge import OwnClassifier
from attrimorph.files import write_bytes
from attrimorph.interruption import Interrupted, defer_signals
from attrimorph.models.model import Model
from attrimorph.pictures import WRITTEN, picture_bytes, to_pil
from attrimorph.strength import Strengths

VERB = "edit-folder"
PIXELS = 64 * 64 * 64  # that go through a model at once


@dataclass(frozen=True)
class Change:
    """What is done to every picture of a folder.

    Attributes:
        changes: see `edit`; with a reference see `edit_like`.
        known, calibrated, invert: see `edit`.
        like: a reference, or None.
        axis_edit: to go along axes, or None.
    """

    changes: Mapping[str, float]
    known: Mapping[str, float]
    calibrated: bool = True
    invert: Search | None = None
    like: Path | None = None
    axis_edit: AxisEdit | None = None

    def __post_init__(self) -> None:
        if self.like is not None and (self.known or self.invert is not None):
            raise AttrimorphError("--known and --invert do nothing in an edit with references; leave them out")
        if self.invert is not None and self.invert.seconds is not None:
            raise AttrimorphError(
                "all pictures of a folder get the same search, and --invert-seconds does not give them one; "
                "give --invert-steps instead"
            )

    @property
    def references(self) -> list[Path]:
        """The files that all pictures are changed with."""
        return [
            path
            for path in (self.like, None if self.axis_edit is None else self.axis_edit.along.pack)
            if path is not None
        ]

    def to_json(self) -> dict[str, object]:
        """Return plain values for a receipt, where the references are inputs."""
        return {
            "changes": dict(self.changes),
            "known": dict(self.known),
            "calibrated": self.calibrated,
            "like": self.like is not None,
            **({} if self.invert is None else {"invert": self.invert.to_json(self.invert.steps)}),
            **({} if self.axis_edit is None else {"along": self.axis_edit.along.to_json()}),
        }

    def of(self, model: Model, images: Tensor, paths: Sequence[Path]) -> tuple[Sequence[Image.Image], Tensor]:
        """Change pictures.

        Args:
            model: one that edits.
            images: [B, 3, S, S] in [-1, 1]; paths: their B files.

        Returns:
            The results, and the same at the model's size, [B, 3, S, S].
        """
        if self.axis_edit is not None:
            moved = edit_photographs(self.axis_edit, paths, self.changes, known=self.known, invert=self.invert)
            return moved.pictures, moved.blended
        if self.like is not None:
            own = model if self.calibrated else model.with_strengths(Strengths())
            edited = edit_like(own, images, photographs(model, [self.like]), self.changes).edited[0]
        else:
            edited = edit(
                model, images, self.changes, calibrated=self.calibrated, known=self.known, invert=self.invert
            ).edited.cpu()
        return to_pil(edited), edited


def write_edit_folder(
    model: Model,
    folder: Path,
    change: Change,
    out: Path,
    *,
    named: str | Path,
    only: Sequence[str] | None = None,
    progress: Progress | None = None,
    say: Callable[[str], None] | None = None,
) -> Written:
    """Edit every picture below a folder into another folder; write a table of what was done, and one receipt.

    Interrupted, the same call goes on: a picture is done when its result is there, made by the same model with the same
    changes from the same file. Pictures that cannot be read, and those whose result would take the place of another
    file, are named in the table and left out.

    Args:
        model: one that edits.
        folder: the photographs, those in sub-folders too.
        change: what is done.
        out: the folder of results; what else lies in it stays.
        named: the model as the user named it.
        only: names of the pictures to edit; None = all.
        progress: called with (pictures done, in all).
        say: gets sentences about what was left out or renamed.

    Raises:
        AttrimorphError: the folders or the wish do not go together, `out` holds the results of another edit, or no
            picture could be edited.
        Interrupted: a signal came; what was done by then is on disk.
    """
    folder, out = Path(folder).absolute(), Path(out).absolute()
    check_places(folder, out)
    found = {name: path for name, path in list_images(folder).items() if only is None or name in only}
    need_images(list(found.values()), folder)
    inputs = [{"path": str(path.resolve()), "sha256": file_sha256(path)} for path in change.references]
    receipt = receipt_of(VERB, model, named, {"folder": str(folder), **change.to_json()}, inputs)
    witness = _witness(model, change)
    table = EditsTable(out, receipt, witness.columns)
    job = _Job(model, change, found, out, table, witness, tag_of(VERB, model, named))
    with defer_signals() as signals:
        for done in job.work():
            if progress is not None:
                progress(done, len(found))
            if signals.number and done < len(found):
                raise Interrupted(signals.number, f"{table.count('edited'):,} of {len(found):,} pictures are in {out}")
    table.finish(list(found), str(folder))
    if say is not None:
        say("\n".join(job.told()))
    if not table.count("edited"):
        raise AttrimorphError(f"none of the {len(found):,} pictures in {folder} could be edited; {table.path} says why")
    return Written((out,), table.receipt_path, (table.path,))


def check_places(folder: Path, out: Path) -> None:
    """Refuse a folder of results that lies in the folder of pictures, or around it: one would become the other.

    Raises:
        AttrimorphError: it does, or is no folder.
    """
    one, other = folder.resolve(), out.resolve()
    if one == other or one in other.parents or other in one.parents:
        raise AttrimorphError(
            f"the results must go to a folder apart from the pictures; {out} and {folder} are one, or one lies in the "
            f"other; choose another with --out, such as {folder.name}-edited beside it"
        )
    if out.exists() and not out.is_dir():
        raise AttrimorphError(f"the results of a folder go to a folder; {out} is a file; choose another with --out")


def results_of(names: Iterable[str]) -> dict[str, str]:
    """Return the name of each picture's result: its own, or one in .png where its format is not written.

    No two are the same, on a disk that does not tell capitals either.
    """

    def alike(name: str) -> str:
        return unicodedata.normalize("NFC", name).casefold()

    names = list(names)
    taken = {alike(str(above)) for name in names for above in PurePosixPath(name).parents}
    places: dict[str, str] = {}
    # Those that keep their names come first.
    for name in sorted(names, key=lambda each: PurePosixPath(each).suffix.lower() not in WRITTEN):
        path = PurePosixPath(name)
        kept = path.suffix.lower() in WRITTEN
        wished = (
            [
                str(path),
            ]
            if kept
            else [str(path.with_suffix(".png")), f"{path}.png"]
        )
        suffix = path.suffix if kept else ".png"
        numbered = (f"{path.with_suffix('')}-{number}{suffix}" for number in range(2, len(names) + 3))
        places[name] = next(each for each in (*wished, *numbered) if alike(each) not in taken)
        taken.add(alike(places[name]))
    return places


@dataclass(frozen=True)
class _Witness:
    """Who tells the attributes that change, before and after; nobody where there is no classifier and no judge."""

    judge: Judges | None
    names: tuple[str, ...]

    @property
    def columns(self) -> list[str]:
        return [f"{name} {when}" for name in self.names for when in ("before", "after")]

    def figures(self, before: Tensor, after: Tensor) -> list[Row]:
        """Return the probabilities of every picture, as the table writes them."""
        if self.judge is None:
            return [{} for _ in before]
        places = [self.judge.schema.column_names.index(name) for name in self.names]
        both = torch.stack([self.judge(images).float().cpu()[:, places] for images in (before, after)], 2)
        return [
            dict(zip(self.columns, (f"{value:.4f}" for value in row), strict=True)) for row in both.flatten(1).tolist()
        ]


def _witness(model: Model, change: Change) -> _Witness:
    judge: Judges | None = judge_for(model.schema, model.image_size)
    if change.axis_edit is not None:
        judge = change.axis_edit.judge
    elif "classifier" in model.networks:
        judge = OwnClassifier(model)
    groups = model.groups if isinstance(model, Follows) else {}
    names = [each for name in change.changes for each in groups.get(name, (name,))]
    known = () if judge is None else judge.schema.column_names
    return _Witness(judge, tuple(name for name in dict.fromkeys(names) if name in known))


class _Job:
    """The work on one folder; arguments as `write_edit_folder` makes them."""

    def __init__(
        self, model: Model, change: Change, found: Mapping[str, Path], out: Path, table: EditsTable, witness: _Witness,
        tag: str,
    ) -> None:  # fmt: skip
        self.model, self.change, self.found, self.out, self.table = model, change, found, out, table
        self.witness, self.tag, self.places = witness, tag, results_of(found)
        self.before = 0
        self._batch: list[tuple[str, str, Tensor]] = []
        self._lines: list[Row] = []

    def work(self) -> Iterator[int]:
        """Edit all pictures; yields how many are done."""
        for done, (name, path) in enumerate(self.found.items(), 1):
            try:
                self._take(name, path)
            except AttrimorphError as error:
                self._lines.append(self.table.row(name, "", "unreadable", str(error)))
            if len(self._batch) * self.model.image_size**2 >= PIXELS or done == len(self.found):
                self._finish()
            yield done - len(self._batch)

    def _take(self, name: str, path: Path) -> None:
        """Put a picture into the next batch, unless it is done or cannot be."""
        digest, place = file_sha256(path), self.places[name]
        if self.table.is_done(name, place, digest):
            self.before += 1
        elif (self.out / place).exists() and not self.table.is_own(name, place):
            reason = f"{self.out / place} is another file; move it, or choose another folder with --out"
            self._lines.append(self.table.row(name, place, "skipped", reason))
        else:
            self._batch.append((name, digest, photographs(self.model, [path])))

    def _finish(self) -> None:
        """Edit what has been gathered and write it: the lines first, for a file without a line is somebody else's."""
        contents: dict[str, bytes] = {}
        if self._batch:
            images = torch.cat([image for _, _, image in self._batch])
            pictures, after = self.change.of(self.model, images, [self.found[name] for name, _, _ in self._batch])
            figures = self.witness.figures(images, after)
            for (name, digest, _), picture, row in zip(self._batch, pictures, figures, strict=True):
                place = self.places[name]
                contents[place] = picture_bytes(picture, PurePosixPath(place).suffix, self.tag)
                line = self.table.row(name, place, "edited", digest=digest, content=contents[place], figures=row)
                self._lines.append(line)
        self.table.append(self._lines)
        for place, content in contents.items():
            write_bytes(self.out / place, content)
        self._batch, self._lines = [], []

    def told(self) -> Iterator[str]:
        """Say in sentences what came of it."""
        rows = self.table.rows.values()
        earlier = f", {self.before:,} of them before" if self.before else ""
        yield f"{self.table.count('edited'):,} of {len(rows):,} pictures edited{earlier}"
        for status, words in (
            ("unreadable", "could not be read"),
            ("skipped", "left out: another file is there"),
        ):
            if names := [row["picture"] for row in rows if row["status"] == status]:
                yield f"{len(names):,} {words}: {preview(names)} (reasons in {self.table.path.name})"
        edited = [row for row in rows if row["status"] == "edited"]
        if names := [f"{row['picture']} as {row['result']}" for row in edited if row["picture"] != row["result"]]:
            yield f"{len(names):,} under another name (format not written, or name taken): {preview(names)}"
