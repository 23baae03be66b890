"""Files written whole or not at all: to a temporary name, fsynced, renamed; the one lock of a folder; unfinished work.

A long computation that a signal ended is kept beside its result until the same command has finished it.
"""

import errno
import fcntl
import hashlib
import io
import json
import os
import re
import secrets
import socket
import stat
import warnings
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, TextIO
from zlib import crc32

from attrimorph.errors import AttrimorphError

if TYPE_CHECKING:
    from torch import Tensor

MARKED_WITHIN = 2**16  # bytes from either end in which a file of this program says so
LARGEST_JSON = 256 * 2**20  # the receipt of a folder of a million photographs
LARGEST_FILE = 16 * 2**30
LARGEST_READ = 2**30  # label files and pictures, which are read whole


@contextmanager
def reading(path: Path, remedy: str = "check the path") -> Iterator[None]:
    """Tell in one sentence why a file or folder cannot be read, where something in this block finds that out."""
    try:
        yield
    except OSError as error:
        raise AttrimorphError(f"cannot read {path}: {error.strerror or error}; {remedy}") from error


def check_plain(path: Path, most: int = LARGEST_FILE) -> None:
    """Refuse what is no plain file, which may never end, or too large; of what is not there whoever opens it tells.

    Args:
        path: of the file.
        most: bytes that it may have.

    Raises:
        AttrimorphError: it is a device, a pipe or a folder, cannot be read, or is larger.
    """
    with reading(path):
        if not path.exists():
            return
        if not path.is_file():
            raise AttrimorphError(f"{path} must be a plain file; it is a {'folder' if path.is_dir() else 'device'}")
        if (size := path.stat().st_size) > most:
            raise AttrimorphError(f"{path} must have at most {most >> 20:,} MiB; it has {size >> 20:,}")


def file_sha256(path: Path) -> str:
    """Hash a file.

    Raises:
        AttrimorphError: it cannot be read, or see `check_plain`.
    """
    check_plain(path)
    with reading(path), path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def tensor_file(tensors: "Mapping[str, Tensor]", words: Mapping[str, Any]) -> bytes:
    """Return the content of a safetensors file: tensors, and words with a checksum of the tensors.

    All words are one entry of its header: of several the order changes from one writing to the next, and equal tensors
    are to give equal files.
    """
    from safetensors.torch import save

    held = dict(tensors)
    return save(held, {"attrimorph": json.dumps({**words, "crc32": _tensors_crc32(save(held))})})


def tensors_changed(content: bytes, words: Mapping[str, Any]) -> bool:
    """Return whether a safetensors file holds other tensors than were written; older files do not tell."""
    return "crc32" in words and words["crc32"] != _tensors_crc32(content)


def words_of(header: Mapping[str, str]) -> dict[str, Any]:
    """Return what the header of a file says, nothing where it is not ours.

    In files of earlier versions each word is an entry of its own.
    """
    if "attrimorph" in header:
        return dict(json.loads(header["attrimorph"]))
    if not header.get("format", "").startswith("attrimorph "):
        return {}
    plain = ("format", "format_version", "name")
    return {name: text if name in plain else json.loads(text) for name, text in header.items()}


def _tensors_crc32(content: bytes) -> int:
    return crc32(memoryview(content)[8 + int.from_bytes(content[:8], "little") :])


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
            new = path.with_name(f".{path.name}.{secrets.token_hex(4)}.part")
            # As readable as any other file of the user's.
            handle = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
            temporary = new
            with os.fdopen(handle, "wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
            sync_folder(path.parent)
    finally:
        if temporary is not None:
            with suppress(OSError):
                temporary.unlink(missing_ok=True)


def refuse_foreign(paths: Iterable[Path]) -> None:
    """Refuse to write over files that nobody named and that this program did not make.

    Raises:
        AttrimorphError: a file is there that does not say, in its first or last bytes, that it is of this program.
    """
    for path in paths:
        if not path.is_file():
            continue
        with reading(path), path.open("rb") as file:
            ends = file.read(MARKED_WITHIN)
            file.seek(max(0, path.stat().st_size - MARKED_WITHIN))
            ends += file.read()
        if b"attrimorph" not in ends:
            raise AttrimorphError(
                f"{path} would be written over, and this program did not make it; move it away, or choose another --out"
            )


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


def write_all(contents: Mapping[Path, bytes]) -> None:
    """Write files, each whole or not at all, at the same time: the disk makes those that wait durable together."""
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write_bytes, contents, contents.values()))


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
        AttrimorphError: the file is missing, unreadable, no plain file, too large or no JSON.
    """
    check_plain(Path(path), LARGEST_JSON)
    try:
        with reading(path):
            return json.loads(Path(path).read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        reason = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise AttrimorphError(f"{path} must be a JSON file; reading it failed: {reason}") from error


def lock_folder(folder: Path, *, wait: bool = False, remedy: str = "choose another folder with --out") -> TextIO:
    """Lock a folder for this process until the file is closed; the system unlocks it however the process ends.

    Args:
        folder: made when missing.
        wait: until another process lets go of it, instead of refusing.
        remedy: where it cannot be written.

    Raises:
        AttrimorphError: it cannot be written, or another process has it.
    """
    handle, flags = None, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    with writing(folder, remedy):
        folder.mkdir(parents=True, exist_ok=True)
        try:
            handle = os.open(folder / ".lock", flags, 0o666)
        except OSError as error:
            if error.errno not in (errno.ELOOP, errno.EISDIR, errno.ENXIO):
                raise
    if handle is None or not stat.S_ISREG((about := os.fstat(handle)).st_mode) or about.st_nlink > 1:
        if handle is not None:
            os.close(handle)
        # It is written to: what it may lead to, or be besides, is somebody's file.
        raise AttrimorphError(f"{folder / '.lock'} must be a plain file; it is a link or something else; remove it")
    file = os.fdopen(handle, "a+")
    try:
        fcntl.flock(file, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        file.close()
        raise AttrimorphError(
            f"another process is at work in {folder}; wait for it, or choose another --out"
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
        with opened_within(folder, ".lock") as handle:
            fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def locked_by(folder: Path) -> int | None:
    """Return the process that has locked a folder; None where nobody has, or the system does not prove who.

    What the file says is no proof: elsewhere, as in a container, another process has the same number.
    """
    if not is_locked(folder):
        return None
    try:
        number, _, host = read_within(folder, ".lock", most=1000).decode(errors="replace").partition(" ")
        if not re.fullmatch("[0-9]{1,10}", number) or host != socket.gethostname():
            return None
        with opened_within(folder, ".lock") as handle:
            lock = os.fstat(handle)
        for entry in os.scandir(f"/proc/{number}/fd"):
            with suppress(OSError):  # it may be closed by now
                told = Path(f"/proc/{number}/fdinfo/{entry.name}").read_text()
                if os.path.samestat(os.stat(entry.path), lock) and re.search("^lock:.* WRITE ", told, re.MULTILINE):
                    return int(number)
    except OSError:  # it has ended, or is another user's
        pass
    return None


@contextmanager
def opened_within(folder: Path, *parts: str) -> Iterator[int]:
    """Open a file or folder that lies in a folder, for reading; give its descriptor. No part may be a link.

    Args:
        folder: may be a link itself.
        parts: names, from the folder inwards.

    Raises:
        OSError: it is not there, is a link, or cannot be read.
    """
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for part in parts:
            # A pipe does not wait for somebody to write.
            inner = os.open(part, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=handle)
            os.close(handle)
            handle = inner
        yield handle
    finally:
        os.close(handle)


def read_within(folder: Path, *parts: str, most: int) -> bytes:
    """Read a plain file that lies in a folder, no more than so many bytes of its end; see `opened_within`.

    Raises:
        OSError: as of `opened_within`, and where it is a pipe, a folder or a device.
    """
    with opened_within(folder, *parts) as handle:
        about = os.fstat(handle)
        if not stat.S_ISREG(about.st_mode):
            raise OSError(errno.EINVAL, "it is no plain file", parts[-1])
        with open(handle, "rb", closefd=False) as file:
            file.seek(max(0, about.st_size - most))
            return file.read(min(most, about.st_size))


def cache_folder() -> Path:
    """Return where the user's cache of this program lies.

    Raises:
        AttrimorphError: nobody's home is known.
    """
    home = os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache")
    if home.startswith("~"):
        raise AttrimorphError("a cache needs a folder, and this user has no home; set XDG_CACHE_HOME to a folder")
    return Path(home) / "attrimorph"


def beside(result: Path) -> Path:
    """Return where the unfinished work on a result is kept."""
    return result.with_name(f"{result.name}.unfinished")


def save_unfinished(result: Path, key: Mapping[str, Any], state: Mapping[str, Any]) -> Path:
    """Write how far the work on `result` has come; return the file.

    Args:
        result: the file that will come of it.
        key: plain values that tell this work from another.
        state: tensors and plain values.
    """
    import torch

    buffer = io.BytesIO()
    torch.save({"key": dict(key), "state": dict(state)}, buffer)
    write_bytes(beside(result), buffer.getvalue())
    return beside(result)


def key_of(result: Path) -> dict[str, Any]:
    """Return what tells the unfinished work on `result` from another; empty where there is none."""
    return dict(_read(beside(result))[0]) if beside(result).exists() else {}


def load_unfinished(result: Path, key: Mapping[str, Any]) -> dict[str, Any] | None:
    """Read how far the work on `result` had come; None where it was not begun.

    Raises:
        AttrimorphError: the file is damaged, or of another work.
    """
    path = beside(result)
    if not path.exists():
        return None
    held, state = _read(path)
    if held != dict(key):
        other = next((name for name in key if held.get(name) != key[name]), "")
        raise AttrimorphError(
            f"{path} is unfinished work with another {other}; remove it to begin anew, or choose another --out"
        )
    return dict(state)


def _read(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    import torch

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = torch.load(path, weights_only=True)
        return dict(found["key"]), dict(found["state"])
    except Exception as error:  # a damaged or foreign pickle fails in nearly every way
        raise AttrimorphError(f"{path} is no unfinished work of this program, or damaged; remove it") from error
