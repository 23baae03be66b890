"""Many image files decoded at once: by threads, or where there are many by processes of their own.

Pillow decodes without holding the interpreter, and yet two threads make 1.3 to 1.4 times as many images as one.
`python -m attrimorph.data.decoding NUMBER` is such a process: it reads what to decode from an inherited socket.
"""

import os
import signal
import socket
import subprocess
import sys
from collections import deque
from collections.abc import Generator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice
from multiprocessing.connection import Connection
from pathlib import Path
from queue import SimpleQueue

import numpy as np
from numpy.typing import NDArray

from attrimorph.data.images import CropLike, aligned, read_mask, read_pixels
from attrimorph.errors import AttrimorphError

Pixels = tuple[NDArray[np.uint8], NDArray[np.uint8] | None]
File = tuple[Path, Path | None]
"""An image and its mask."""
AT_ONCE, BYTES_AT_ONCE = 16, 1 << 20  # images, and bytes of them, that are asked of a process at a time
WORTH = 500  # images for which starting processes is worth its time


@dataclass(frozen=True)
class ImageDecoder:
    """How image files are made into pixels.

    Attributes:
        image_size: S.
        crop: what is cut out.
        align: put the eyes of every face at fixed places.
        mask_background: colour of the background in mask files; None = white is foreground.
    """

    image_size: int
    crop: CropLike = None
    align: bool = False
    mask_background: tuple[int, int, int] | None = None

    def __call__(self, file: File) -> Pixels | AttrimorphError:
        """Return an image, uint8 [S, S, 3], and its mask, uint8 [S, S], or why there is none."""
        try:
            if self.align:
                return aligned(file[0], self.image_size), None
            mask = read_mask(file[1], self.image_size, self.crop, self.mask_background) if file[1] else None
            return read_pixels(file[0], self.image_size, self.crop), mask
        except AttrimorphError as error:
            return error

    def all(self, files: Sequence[File], workers: int) -> Generator[Pixels | AttrimorphError]:
        """Yield what becomes of files, in order, by so many threads or processes.

        Raises:
            AttrimorphError: a process has ended.
        """
        from attrimorph.data.readers.archives import Cell  # not in the processes, which need no readers

        # Faces are found by a network on all cores; of a column groups of rows are read, once for all threads.
        apart = workers > 1 and len(files) >= WORTH and not self.align and not isinstance(files[0][0], Cell)
        idle, started = SimpleQueue[Worker](), list[Worker]()

        def decode(part: Sequence[File]) -> list[Pixels | AttrimorphError]:
            if not apart:
                return [self(file) for file in part]
            worker = idle.get()
            try:
                return _asked(worker, part)
            finally:
                idle.put(worker)

        try:
            for _ in range(workers if apart else 0):
                started.append(Worker("attrimorph.data.decoding"))
                started[-1].line.send(self)
                idle.put(started[-1])
            at_once = max(1, min(AT_ONCE, BYTES_AT_ONCE // (3 * self.image_size**2))) if apart else 1
            rest = iter(files)
            with ThreadPoolExecutor(workers, thread_name_prefix="decode") as pool:
                waiting = deque[Future[list[Pixels | AttrimorphError]]]()
                try:
                    while part := list(islice(rest, at_once)):
                        waiting.append(pool.submit(decode, part))
                        if len(waiting) > 8 * workers:
                            yield from waiting.popleft().result()
                    for future in waiting:
                        yield from future.result()
                finally:
                    pool.shutdown(wait=False, cancel_futures=True)
                    for worker in started:  # what they still do is wanted no more
                        worker.process.kill()
        finally:
            for worker in started:
                worker.close()


class Worker:
    """A process that runs a module, and the line to it; it ends with this one, however that ends.

    Args:
        module: gets the number of its end of the line, an inherited socket, and `words`.
        folder: where it runs; None: here.
    """

    def __init__(self, module: str, *words: str, folder: str | None = None) -> None:
        here, there = socket.socketpair()
        with there:
            # Not of the terminal's group: Ctrl+C is answered here.
            self.process = subprocess.Popen(
                [sys.executable, "-m", module, str(there.fileno()), *words],
                stdin=subprocess.DEVNULL, pass_fds=(there.fileno(),), start_new_session=True, cwd=folder,
                env=os.environ | {
                    "PYTHONPATH": os.pathsep.join(os.path.abspath(place) for place in sys.path if place),
                    "OPENBLAS_NUM_THREADS": "1",
                },
            )  # fmt: skip
        self.line = Connection(here.detach())

    def end(self) -> None:
        """End the process, whatever it does."""
        self.process.kill()
        self.process.wait()

    def close(self) -> None:
        """End the process and the line."""
        self.end()
        self.line.close()


def _asked(worker: Worker, files: Sequence[File]) -> list[Pixels | AttrimorphError]:
    """Return what becomes of files in a process.

    Raises:
        AttrimorphError: it has ended.
    """
    found = list[Pixels | AttrimorphError]()
    try:
        worker.line.send(files)
        while len(found) < len(files):
            found.append(worker.line.recv())
    except (EOFError, OSError) as error:
        code = worker.process.wait()
        how = f"by {signal.Signals(-code).name}" if code < 0 else f"with exit code {code}"
        raise AttrimorphError(
            f"a process that decodes images must go on to the end; it ended {how} at {files[len(found)][0]}; run "
            "the same again, which goes on, with --workers 1 where it ends there again"
        ) from error
    return found


def main(number: int) -> None:
    """Decode until the other end goes."""
    with Connection(number) as line, suppress(EOFError, ConnectionError):
        decoder: ImageDecoder = line.recv()
        while True:
            for file in line.recv():
                line.send(decoder(file))


if __name__ == "__main__":
    main(int(sys.argv[1]))
