"""Files written whole or not at all: to a temporary name, fsynced, renamed; and the one lock of a folder."""

import fcntl
import json
import os
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO, TextIO

from attrimorph.errors import AttrimorphError


@contextmanager
def reading(path: Path, remedy: str = "check the path") -> Iterator[None]:
    """Tell in one sentence why a file or folder cannot be read, where something in this block finds that out."""
    try:
        yield
    except OSError as error:
        raise AttrimorphError(f"cannot read {path}: {error.strerror or error}; {remedy}") from error


@contextmanager
def writing(path: Path, remedy: str = "free some space or choose another folder with --out") -> Iterator[None]:
    """Tell in one sentence why a file or folder cannot be written, where something in this block finds that out."""
    try:
        yield
    except OSError as error:
        raise AttrimorphError(f"cannot write {path}: {error.strerror or error}; {remedy}") from error


@contextmanager
def whole_file(path: Path) -> Iterator[BinaryIO]:
    """Open `path` for writing; it appears, complete, when the block ends well, and not at all otherwise.

    Raises:
        AttrimorphError: the folder cannot be written, or no space is left.
    """
    path = Path(path)
    temporary = None
    try:
        with writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".part")
            temporary = Path(name)
            with os.fdopen(handle, "wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            # mkstemp makes files private; a result is as readable as any other file of the user's.
            umask = os.umask(0)
            os.umask(umask)
            temporary.chmod(0o666 & ~umask)
            temporary.replace(path)
            sync_folder(path.parent)
    finally:
        if temporary is not None:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable, where the system lets a folder be synced."""
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def write_bytes(path: Path, content: bytes) -> None:
    """Write `content` to `path`, whole or not at all."""
    with whole_file(path) as file:
        file.write(content)


def write_text(path: Path, content: str) -> None:
    """Write `content` as UTF-8 to `path`, whole or not at all."""
    write_bytes(path, content.encode())


def write_json(path: Path, value: Any) -> None:
    """Write `value` as indented JSON to `path`, whole or not at all."""
    # Names of files that are no UTF-8 become JSON's own escapes, \\udcXX.
    write_bytes(path, (json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode("utf-8", "backslashreplace"))


def read_json(path: Path) -> Any:
    """Read a JSON file.

    Raises:
        AttrimorphError: the file is missing, unreadable or no JSON.
    """
    try:
        with reading(path):
            return json.loads(Path(path).read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        reason = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise AttrimorphError(f"{path} must be a JSON file; reading it failed: {reason}") from error


def lock_folder(folder: Path, *, wait: bool = False) -> TextIO:
    """Lock a folder for this process until the file is closed; the system unlocks it however the process ends.

    Args:
        folder: made when missing.
        wait: until another process lets go of it, instead of refusing.

    Raises:
        AttrimorphError: it cannot be written, or another process has it.
    """
    with writing(folder, "choose another folder with --out"):
        folder.mkdir(parents=True, exist_ok=True)
        file = (folder / ".lock").open("a+")
    try:
        fcntl.flock(file, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        file.close()
        raise AttrimorphError(
            f"another process is training in {folder}; wait for it, or choose another --out"
        ) from error
    # Who it is, for those who wish to stop it.
    with suppress(OSError):
        file.truncate(0)
        file.write(f"{os.getpid()} {socket.gethostname()}")
        file.flush()
    return file


def is_locked(folder: Path) -> bool:
    """Tell whether a process has locked a folder: it has the lock as long as it lives."""
    try:
        with (folder / ".lock").open() as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def locked_by(folder: Path) -> int | None:
    """Return the process of this machine that has locked a folder; None where nobody has, or nobody knows who."""
    if not is_locked(folder):
        return None
    try:
        number, _, host = (folder / ".lock").read_text(encoding="utf-8").partition(" ")
    except (OSError, UnicodeDecodeError):
        return None
    return int(number) if number.isascii() and number.isdigit() and host == socket.gethostname() else None
