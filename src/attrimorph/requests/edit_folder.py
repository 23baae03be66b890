"""Edit a folder of photographs: names and sub-folders are kept, and what is done is not done again."""

import csv
import hashlib
import io
import json
import os
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple, Self

import torch
from PIL import Image
from pydantic import Field, ValidationError
from torch import Tensor

from attrimorph.applications.axes.edit import edit_photographs
from attrimorph.applications.edit import Looked, edit, look, unchanged, unlike
from attrimorph.applications.generating import edit_like
from attrimorph.console import Interrupted, defer_signals
from attrimorph.data import csv_text
from attrimorph.data.images import WRITTEN, Affine, Frame
from attrimorph.data.readers.raw import list_images, need_images, preview
from attrimorph.errors import AttrimorphError, shown
from attrimorph.evaluators import Judges
from attrimorph.evaluators.judge import OwnClassifier, judge_for
from attrimorph.files import file_sha256, read_json, write_all, write_bytes, write_json
from attrimorph.models.model import Groups, Model
from attrimorph.photographs.file import Photograph
from attrimorph.pictures import picture_bytes, to_pil
from attrimorph.requests import Fitting, Progress
from attrimorph.requests.edit import Edit, Moving
from attrimorph.requests.receipt import (
    InputFile,
    ModelNamed,
    OutputFile,
    Receipt,
    Written,
    input_files,
    model_reference,
    tag_of,
)

TABLE, RECEIPT = "edits.csv", "edits.json"
Row = dict[str, str]


class EditsTable:
    """What was done to the pictures of a folder, in the folder of the results: edits.csv, and its receipt edits.json.

    Lines are added as pictures are done, each before its result is written: a file without a line is somebody else's.

    Args:
        out: the folder of the results.
        receipt: of this edit, without results.
        columns: figures of each picture, besides the columns that all tables have.

    Raises:
        AttrimorphError: `out` holds the results of another edit.
    """

    def __init__(self, out: Path, receipt: Receipt, columns: Sequence[str]) -> None:
        self.out, self.receipt = out, receipt
        self.path, self.receipt_path = out / TABLE, out / RECEIPT
        self.columns = ["picture", "result", "status", "reason", *columns, "frames"]
        self.columns += ["picture_sha256", "result_sha256", "model_sha256"]
        self.rows = self._earlier()
        self._begun = False

    def _earlier(self) -> dict[str, Row]:
        """Read the lines of an earlier call, whose last one may be torn."""
        if not self.path.exists() and not self.receipt_path.exists():
            return {}
        try:
            told = Receipt.model_validate(read_json(self.receipt_path) if self.receipt_path.exists() else {})
            # The references come first, then the pictures, once all are done.
            same = (
                (told.verb, _asked(told)) == (self.receipt.verb, _asked(self.receipt))
                and told.model.sha256 == self.receipt.model.sha256
                and told.inputs[: len(self.receipt.inputs)] == self.receipt.inputs
            )
        except ValidationError:  # no receipt of ours
            same = False
        if not same:
            raise AttrimorphError(
                f"{self.out} must be a new folder, or hold results of the same edit; its {TABLE} or {RECEIPT} tells of "
                "another one (other changes, another model or folder); choose another with --out"
            )
        if not self.path.exists():
            return {}
        text = self.path.read_bytes().decode("utf-8", "surrogateescape")
        lines = list(csv.reader(io.StringIO(text[: text.rfind("\n") + 1], newline="")))
        rows = [dict(zip(lines[0], line, strict=True)) for line in lines[1:] if len(line) == len(lines[0])]
        rows = [{column: row.get(column, "") for column in self.columns} for row in rows]
        return {row["picture"]: row for row in rows}

    def row(
        self, name: str, result: str, status: str, reason: str = "", *, digest: str = "", content: bytes | None = None,
        figures: Mapping[str, str] | None = None, frames: Sequence[Affine] = (),
    ) -> Row:  # fmt: skip
        """Return the line of one picture; `digest` is of its file, `content` its result, `frames` where it changes."""
        fixed = {"picture": name, "result": result, "status": status, "reason": reason, "picture_sha256": digest}
        fixed["result_sha256"] = "" if content is None else hashlib.sha256(content).hexdigest()
        fixed["model_sha256"] = self.receipt.model.sha256
        fixed["frames"] = json.dumps(frames) if frames else ""
        return {column: {**fixed, **(figures or {})}.get(column, "") for column in self.columns}

    def is_own(self, name: str, place: str) -> bool:
        """Whether the file at a place is the result of this picture, as it was written."""
        row = self.rows.get(name, {})
        path = self.out / place
        return row.get("result") == place and path.is_file() and file_sha256(path) == row["result_sha256"]

    def is_done(self, name: str, place: str, digest: str) -> bool:
        """Whether a picture, whose file has this digest, need not be edited again."""
        return self.is_own(name, place) and self.rows[name]["picture_sha256"] == digest

    def count(self, status: str) -> int:
        """Return how many pictures have a status."""
        return sum(row["status"] == status for row in self.rows.values())

    def append(self, rows: Sequence[Row]) -> None:
        """Add lines; whole ones, whatever happens."""
        if not self._begun:
            write_json(self.receipt_path, self.receipt.model_dump())
            write_bytes(self.path, _encoded([self.columns, *(row.values() for row in self.rows.values())]))
            self._begun = True
        self.rows |= {row["picture"]: row for row in rows}
        with self.path.open("ab") as file:
            file.write(_encoded(row.values() for row in rows))
            file.flush()
            os.fsync(file.fileno())

    def finish(self, names: Sequence[str], folder: str) -> None:
        """Write the table in order, one line for each picture, and the receipt with all results."""
        self.rows = {name: self.rows[name] for name in names}
        write_bytes(self.path, _encoded([self.columns, *(row.values() for row in self.rows.values())]))
        edited = [row for row in self.rows.values() if row["status"] == "edited"]
        pictures = [InputFile(path=f"{folder}/{row['picture']}", sha256=row["picture_sha256"]) for row in edited]
        outputs = [OutputFile(file=row["result"], sha256=row["result_sha256"], pixels_sha256="") for row in edited]
        frames = {row["picture"]: json.loads(row["frames"]) for row in edited if row["frames"]}
        arguments = self.receipt.arguments | ({"frames": frames} if frames else {})
        inputs = [*self.receipt.inputs, *pictures]
        whole = self.receipt.model_copy(update={"arguments": arguments, "inputs": inputs, "outputs": outputs})
        write_json(self.receipt_path, whole.model_dump())


def _asked(receipt: Receipt) -> dict[str, Any]:
    """Return a receipt's arguments without what was found."""
    return {name: value for name, value in receipt.arguments.items() if name != "frames"}


def _encoded(rows: Iterable[Iterable[str]]) -> bytes:
    return csv_text(rows).encode("utf-8", "surrogateescape")


PIXELS = 64 * 64 * 64  # that go through a model at once
BYTES = 1 << 27  # of photographs that are held at once; as much again of results
Change = Callable[
    [Tensor, Sequence[Path], Looked | None], tuple[Sequence[Image.Image | Photograph], Tensor, Tensor | None]
]
"""Images [N, 3, S, S] in [-1, 1], their files, and the photographs that they were taken from (None: as earlier versions
did) -> the results, the N images edited, and as the model reconstructs them where it tells."""


class Edited(NamedTuple):
    """Pictures that were edited.

    Attributes:
        images: what the model was shown of them, [N, 3, S, S] in [-1, 1].
        after: the same, edited.
        made: as the model reconstructs them, where it tells.
        pictures: of each the result, its first row of these, its frames, and sentences worth reading.
    """

    images: Tensor
    after: Tensor
    made: Tensor | None
    pictures: list[tuple[Image.Image | Photograph, int, Sequence[Frame], list[str]]]


class EditFolder(Fitting, Moving):
    """Edit every picture below a folder into another folder; write a table of what was done, and one receipt.

    Interrupted, the same request goes on: a picture is done when its result is there, made by the same model with the
    same changes from the same file. Pictures that cannot be read, and those whose result would take the place of
    another file, are named in the table and left out.

    Attributes:
        folder: The photographs, those in sub-folders too.
        like: A reference.
        calibrated: See `Edit`.
        only: Names of the pictures to edit; None = all.
        frames: Of the pictures by name, where the faces were found.
    """

    verb = "edit-folder"
    pictures = ("like",)
    meter = ("editing", "images")
    folder: Path
    like: Path | None = None
    calibrated: bool = True
    only: list[str] | None = Field(None, exclude=True)
    frames: dict[str, list[Affine]] | None = None

    def model_post_init(self, context: Any, /) -> None:
        """Refuse what does not go together."""
        if self.like is not None and (self.known or self.invert is not None):
            raise AttrimorphError("--known and --invert do nothing in an edit with references; leave them out")
        if self.invert is not None and self.invert.seconds is not None:
            raise AttrimorphError(
                "all pictures of a folder get the same search, and --invert-seconds does not give them one; "
                "give --invert-steps instead"
            )

    @classmethod
    def of(cls, request: Edit) -> Self:
        """Return an edit whose one picture is a folder.

        Raises:
            AttrimorphError: there are more, or several references, or a seed.
        """
        along, (folder, *others) = request.along, request.images
        seed = along is not None and along.seed is not None
        if others or len(request.like) > 1 or request.save_fields or request.numbers or seed:
            raise AttrimorphError(
                "edit takes one folder alone, at most one --like, and no --seed, --save-fields nor --faces; leave the "
                "others out"
            )
        names = (
            "model", "changes", "along", "known", "invert", "calibrated", "composition",
            "face", "box", "aligned", "no_location", "program", "fits",
        )  # fmt: skip
        like = request.like[0] if request.like else None
        return cls(folder=folder, like=like, **{name: getattr(request, name) for name in names})

    def arguments(self) -> dict[str, Any]:
        """Return what a receipt says; the folder by its whole path, so that an interrupted edit is known again."""
        return super().arguments() | {"folder": str(self.folder.absolute()), "like": self.like is not None}

    @classmethod
    def from_receipt(cls, receipt: Receipt) -> Self:
        """Return the edit of the pictures that were edited; the references stand before them among the inputs."""
        words = dict(receipt.arguments)
        if not receipt.outputs:
            raise AttrimorphError(
                f"the edit of {shown(words.get('folder'))} did not come to its end; repeat its command to go on"
            )
        count = bool(words.get("like")) + ("along" in words)
        found = super().from_receipt(receipt.model_copy(update={"inputs": receipt.inputs[:count]}))
        only = []
        for path in (PurePosixPath(each.path) for each in receipt.inputs[count:]):
            if not path.is_relative_to(found.folder) or ".." in path.parts:
                raise AttrimorphError(f"its input {path} must lie in its folder {found.folder}")
            only.append(str(path.relative_to(found.folder)))
        return found.model_copy(update={"only": only})

    def place_again(self, receipt: Path) -> Path:
        """Return the folder beside that of the results."""
        return receipt.parent.with_name(f"{receipt.parent.absolute().name}.again")

    def write(
        self,
        out: str | Path,
        model: Model | None = None,
        *,
        progress: Progress | None = None,
        say: Callable[[str], None] | None = None,
    ) -> Written:
        """Edit the pictures.

        Args:
            out: the folder of results; what else lies in it stays.
            model: loaded already; by default the one that is named.
            progress: called with (pictures done, in all).
            say: gets sentences about what was left out or renamed, and along axes about what to expect.

        Raises:
            AttrimorphError: the folders or what is asked do not go together, `out` holds the results of another edit,
                or no picture could be edited.
            Interrupted: a signal came; what was done by then is on disk.
        """
        folder, out, model = self.folder.absolute(), Path(out).absolute(), model or self.load()
        check_places(folder, out)
        found = list_images(folder, own=True) if self.only is None else {name: folder / name for name in self.only}
        need_images(list(found.values()), folder)
        change, judge = self.change_of(model, say)
        receipt = Receipt(
            verb=self.verb,
            model=ModelNamed(name=model_reference(self.model), sha256=model.hash),
            arguments=self.arguments(),
            inputs=input_files(self.inputs),
        )
        witness = self._witness(model, judge)
        table = EditsTable(out, receipt, witness.columns)
        job = _Job(self, model, change, found, out, table, witness)
        with defer_signals() as signals:
            for done in job.work():
                if progress is not None:
                    progress(done, len(found))
                if signals.number and done < len(found):
                    kept = f"{table.count('edited'):,} of {len(found):,} pictures are in {out}"
                    raise Interrupted(signals.number, kept)
        table.finish(list(found), str(folder))
        if say is not None:
            say("\n".join(job.lines()))
        if not table.count("edited"):
            raise AttrimorphError(
                f"none of the {len(found):,} pictures in {folder} could be edited; {table.path} says why"
            )
        return Written((out,), table.receipt_path, (table.path,))

    def change_of(self, model: Model, say: Callable[[str], None] | None) -> tuple[Change, Judges | None]:
        """Return what is done to pictures, and who tells what came of them."""
        judge: Judges | None = judge_for(model.schema, model.image_size, model.device)
        if "classifier" in model.networks:
            judge = OwnClassifier(model)
        if self.along is not None:
            axis_edit = self.axis_edit(model, say)

            def move(
                images: Tensor, paths: Sequence[Path], looked: Looked | None
            ) -> tuple[Sequence[Image.Image | Photograph], Tensor, Tensor | None]:
                given = (self.changes, self.known, self.invert)
                moved = edit_photographs(axis_edit, paths, *given, composition=self.composition, looked=looked)
                return moved.pictures, moved.shown, None

            return move, axis_edit.judge

        def change(
            images: Tensor, paths: Sequence[Path], looked: Looked | None
        ) -> tuple[Sequence[Image.Image | Photograph], Tensor, Tensor | None]:
            if self.like is not None:
                reference, how = model.prepared(self.like), self.composition
                answers = edit_like(model, images, reference, self.changes, how, calibrated=self.calibrated)
                edited, fields, made = answers.edited[0], answers.fields[0], None
            else:
                found = edit(
                    model, images, self.changes, calibrated=self.calibrated, known=self.known, invert=self.invert,
                    composition=self.composition,
                )  # fmt: skip
                edited, fields, made = found.edited, found.fields, found.reconstructions
            return to_pil(edited) if fields is None or looked is None else looked.changed(fields), edited, made

        return change, judge

    def edited(self, model: Model, change: Change, paths: Sequence[Path], seen: Sequence[Looked | Tensor]) -> "Edited":
        """Edit pictures.

        Args:
            model, change: as `change_of` returns it.
            paths: of the pictures, one for each of `seen`.
            seen: what `look` made of each; as earlier versions did, what the model is shown.
        """
        looks = [each for each in seen if isinstance(each, Looked)]
        images = torch.cat([each.images if isinstance(each, Looked) else each for each in seen])
        counts = [len(each.images) if isinstance(each, Looked) else 1 for each in seen]
        pictures, after, made = change(images, paths, Looked.together(looks) if looks else None)
        firsts = [sum(counts[:row]) for row in range(len(counts))]  # of several faces the first one is told of
        if len(pictures) == sum(counts):
            pictures = [pictures[row] for row in firsts]
        # Told of all at once, then, where there is something to tell, of each.
        far = made is not None and bool(unlike(model, images, made))
        same = bool(unchanged(model.schema, images, after, self.changes, self.known))
        found = []
        for each, picture, row in zip(seen, pictures, firsts, strict=True):
            said, frames = ([], []) if isinstance(each, Tensor) else (list(each.said), each.frames[0])
            rows = slice(row, row + max(1, len(frames)))
            said += unlike(model, images[rows], None if made is None else made[rows]) if far else []
            said += unchanged(model.schema, images[rows], after[rows], self.changes, self.known) if same else []
            found.append((picture, row, frames, said))
        return Edited(images, after, made, found)

    def encoded(self, picture: Image.Image | Photograph, suffix: str, tag: str) -> bytes:
        """Return the file of an edited picture: a photograph's as its own was, the model's own by a suffix."""
        if isinstance(picture, Photograph):
            return picture.bytes(no_location=self.no_location, tag=tag)
        return picture_bytes(picture, suffix, tag)

    def _witness(self, model: Model, judge: Judges | None) -> "_Witness":
        groups = model.groups if isinstance(model, Groups) else {}
        names = [each for name in self.changes for each in groups.get(name, (name,))]
        known = () if judge is None else judge.schema.column_names
        return _Witness(judge, tuple(name for name in dict.fromkeys(names) if name in known))


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
        wished = [str(path)] if kept else [str(path.with_suffix(".png")), f"{path}.png"]
        suffix = path.suffix if kept else ".png"
        numbered = (f"{path.with_suffix('')}-{number}{suffix}" for number in range(2, len(names) + 3))
        places[name] = next(each for each in chain(wished, numbered) if alike(each) not in taken)
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


class _Job:
    """The work on one folder; arguments as `EditFolder.write` makes them."""

    def __init__(
        self,
        request: EditFolder,
        model: Model,
        change: Change,
        found: dict[str, Path],
        out: Path,
        table: EditsTable,
        witness: _Witness,
    ) -> None:
        self.request, self.model, self.change, self.found = request, model, change, found
        self.out, self.table, self.witness, self.places = out, table, witness, results_of(found)
        self.tag = tag_of(request.verb, model, request.model)
        self.before = self._held = 0
        self._batch: list[tuple[str, str, Looked | Tensor]] = []
        self._lines: list[Row] = []

    def work(self) -> Iterator[int]:
        """Edit all pictures; yields how many are done."""
        for done, (name, path) in enumerate(self.found.items(), 1):
            try:
                self._take(name, path)
            except AttrimorphError as error:
                self._lines.append(self.table.row(name, "", "unreadable", str(error)))
            many = len(self._batch) * self.model.image_size**2 >= PIXELS or self._held > BYTES
            if many or done == len(self.found):
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
        elif self.request.composition == "earlier":
            self._batch.append((name, digest, self.model.prepared(path)))
        else:
            frames = (self.request.frames or {}).get(name)
            looked = look(self.model, [path], self.request.meant(), None if frames is None else [frames])
            self._held += looked.photographs[0].pixels.nbytes
            self._batch.append((name, digest, looked))

    def _finish(self) -> None:
        """Edit what has been gathered and write it: the lines first, for a file without a line is somebody else's."""
        contents: dict[str, bytes] = {}
        if self._batch:
            names, digests, seen = zip(*self._batch, strict=True)
            done = self.request.edited(self.model, self.change, [self.found[name] for name in names], seen)
            figures = self.witness.figures(done.images, done.after)
            for name, digest, (picture, row, frames, said) in zip(names, digests, done.pictures, strict=True):
                place = self.places[name]
                contents[place] = self.request.encoded(picture, PurePosixPath(place).suffix, self.tag)
                line = self.table.row(
                    name, place, "edited", "; ".join(said), digest=digest, content=contents[place],
                    figures=figures[row], frames=[frame.matrix for frame in frames],
                )  # fmt: skip
                self._lines.append(line)
        self.table.append(self._lines)
        write_all({self.out / place: content for place, content in contents.items()})
        self._batch, self._lines, self._held = [], [], 0

    def lines(self) -> Iterator[str]:
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
        if names := [row["picture"] for row in edited if row["reason"]]:
            yield f"{len(names):,} edited with a note: {preview(names)} (notes in {self.table.path.name})"
        if names := [f"{row['picture']} as {row['result']}" for row in edited if row["picture"] != row["result"]]:
            yield f"{len(names):,} under another name (format not written, or name taken): {preview(names)}"
