"""A folder of labelled image files: SPLIT/CLASS/NAME.png for any trainer, and attributes.csv for `data prepare`."""

import shutil
import tempfile
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from attrimorph.errors import AttrimorphError
from attrimorph.files import sync_folder, write_bytes, writing
from attrimorph.metrics.tables import to_csv


class LabelledFolder:
    """Writes a folder, whole or not at all: it appears when the block ends well.

    Args:
        path: the folder; must not exist, or be empty.
        columns: names of the attributes.
    """

    def __init__(self, path: Path, columns: Sequence[str]) -> None:
        self.path, self.columns = Path(path), list(columns)
        self.counts: Counter[tuple[str, str]] = Counter()
        self._lines: list[list[Any]] = []
        self._work = self.path

    def __enter__(self) -> Self:
        with writing(self.path):
            if self.path.exists() and (not self.path.is_dir() or any(self.path.iterdir())):
                raise AttrimorphError(
                    f"{self.path} must be a new or empty folder; it is not; choose another with --out"
                )
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._work = Path(tempfile.mkdtemp(dir=self.path.parent, prefix=f".{self.path.name}.", suffix=".part"))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self._finish()
        finally:
            shutil.rmtree(self._work, ignore_errors=True)

    def add(
        self,
        images: NDArray[np.uint8],
        table: Mapping[str, Sequence[Any]],
        *,
        split: str,
        label: str,
        identities: Sequence[str],
        stem: str,
    ) -> list[str]:
        """Write images of one class.

        Args:
            images: uint8 [B, S, S, 3].
            table: column -> B raw values; None = missing.
            split: train, valid or test.
            label: the class.
            identities: B words; "" = unknown.
            stem: files are named STEM-000001.png, counted within the split and class.

        Returns:
            B names, relative to the folder.
        """
        names = []
        for row, pixels in enumerate(images):
            self.counts[split, label] += 1
            name = f"{split}/{folder_name(label)}/{stem}-{self.counts[split, label]:06d}.png"
            with writing(self.path):
                (self._work / name).parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(pixels).save(self._work / name, "PNG")
            values = [table[column][row] for column in self.columns]
            self._lines.append([name, split, identities[row], *["" if value is None else value for value in values]])
            names.append(name)
        return names

    def _finish(self) -> None:
        text = to_csv(["file_name", "split", "identity", *self.columns], self._lines)
        write_bytes(self._work / "attributes.csv", text.encode("utf-8", "surrogateescape"))
        with writing(self.path):
            # mkdtemp makes folders private; a data set is as readable as any other folder of the user's.
            self._work.chmod(0o755)
            if self.path.exists():
                self.path.rmdir()
            self._work.rename(self.path)
        sync_folder(self.path.parent)


def folder_name(label: str) -> str:
    """Return a class as the name of a folder."""
    plain = "".join("_" if letter in '/\\:*?"<>|\0' else letter for letter in label).strip()
    return plain.lstrip(".") or "_"
