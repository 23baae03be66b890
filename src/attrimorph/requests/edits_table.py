"""The table of a folder's edits: what was done, line by line, and whether it is still so."""

import csv
import hashlib
import io
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from attrimorph.data.images import Affine
from attrimorph.errors import AttrimorphError
from attrimorph.files import read_json, write_bytes, write_json
from attrimorph.requests.receipt import InputFile, OutputFile, Receipt, file_sha256

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
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue().encode("utf-8", "surrogateescape")
