"""A source: the folder that data come from, and how it is read."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from attrimorph.data.readers import RawData, read
from attrimorph.errors import AttrimorphError


@dataclass(frozen=True)
class Source:
    """A prepared folder, or a folder of images and how it is read.

    Attributes:
        path: the folder.
        format: one of `readers.FORMATS`, or "auto" to recognise it.
        table: a CSV or JSON-lines file of any name that labels the images.
    """

    path: Path
    format: str = "auto"
    table: Path | None = None

    @staticmethod
    def of(value: "str | Path | Source") -> "Source":
        """Return what a path alone stands for, or the source itself."""
        return value if isinstance(value, Source) else Source(Path(value))

    @property
    def recognised(self) -> bool:
        """Whether nobody said how it is read."""
        return self.format == "auto" and self.table is None

    @property
    def prepared(self) -> bool:
        """Whether it is a prepared folder.

        Raises:
            AttrimorphError: it is, and something is said about how images are read.
        """
        if not (self.path / "schema.json").is_file():
            return False
        if not self.recognised:
            raise AttrimorphError(
                f"{self.path} is prepared already; --format and --table tell how images are read; leave them out"
            )
        return True

    def read(self) -> RawData:
        """Read the folder of images; errors as of `readers.read`."""
        return read(self.path, self.format, self.table)

    def to_json(self) -> dict[str, str]:
        """Return plain values for JSON, the paths absolute."""
        words = {"data": str(self.path.resolve())}
        if self.format != "auto":
            words["format"] = self.format
        if self.table is not None:
            words["table"] = str(self.table.resolve())
        return words

    @staticmethod
    def from_json(words: Mapping[str, Any]) -> "Source":
        """Read what `to_json` wrote."""
        table = Path(words["table"]) if "table" in words else None
        return Source(Path(words["data"]), words.get("format", "auto"), table)
