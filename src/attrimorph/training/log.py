"""The log of a run: one JSON line every so many images, and the same in TensorBoard where it is installed."""

import importlib.util
import json
from contextlib import suppress
from pathlib import Path
from typing import Any

from attrimorph.files import write_text, writing

ANEW = "free some space, then give the same command"


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
