"""Photographs decoded outside the server: in processes that are ended when they take too long, with bounded memory.

`python -m attrimorph.studio.decoder NUMBER` is such a process: it reads files from an inherited socket, and answers.
"""

import os
import pickle
import resource
import sys
import threading
import time
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path

from attrimorph.data.decoding import Worker
from attrimorph.errors import AttrimorphError
from attrimorph.photographs.file import Photograph, read_photograph

AT_ONCE = 2


class PhotographReader:
    """Reads photographs in up to two processes at the same time.

    Args:
        seconds: that one photograph may take.
        memory: bytes that a process may take beside its program.
        most_bytes: of one photograph's pixels.
    """

    def __init__(self, seconds: float, memory: int, most_bytes: int) -> None:
        self.seconds, self.memory, self.most_bytes = seconds, memory, most_bytes
        self._turns, self._idle = threading.BoundedSemaphore(AT_ONCE), list[Worker]()

    def read(self, content: bytes, most_pixels: int, called: str = "the photograph") -> Photograph:
        """Return what `photographs.file.read_photograph` does.

        Raises:
            AttrimorphError: as there; or it takes too long, or too much memory.
        """
        with self._turns:
            worker = (
                self._idle.pop() if self._idle else Worker("attrimorph.studio.decoder", str(self.memory), folder="/")
            )
            late, begin = threading.Timer(self.seconds, worker.end), time.monotonic()
            late.start()
            try:
                found = _asked(worker, content, most_pixels, called)
            except (EOFError, OSError) as error:
                took = "longer" if time.monotonic() - begin >= self.seconds else "the process with it"
                worker.close()
                raise AttrimorphError(
                    f"{called} must be decoded within {self.seconds:g} s; it takes {took}; save it anew, smaller"
                ) from error
            finally:
                late.cancel()
            self._idle.append(worker)
        if isinstance(found, str):
            raise AttrimorphError(found)
        if found.pixels.nbytes > self.most_bytes:
            raise AttrimorphError(
                f"{called} must take at most {self.most_bytes >> 20} MiB decoded; it takes "
                f"{found.pixels.nbytes >> 20}; make it smaller, or save it with 8 bits"
            )
        return found

    def close(self) -> None:
        """End the processes that wait."""
        while self._idle:
            self._idle.pop().close()


def _asked(worker: Worker, content: bytes, most_pixels: int, called: str) -> Photograph | str:
    """Return the photograph that a file holds, or a sentence on why there is none."""
    worker.line.send((most_pixels, called))
    worker.line.send_bytes(content)
    # Pixels come beside the rest, and are not copied.
    buffers = [bytearray(size) for size in worker.line.recv()]
    rest = worker.line.recv_bytes()
    for buffer in buffers:
        worker.line.recv_bytes_into(buffer)
    found: Photograph | str = pickle.loads(rest, buffers=buffers)  # of this very program, out of its own pipe
    return found


def main(number: int, memory: int) -> None:
    """Answer until the server goes, giving way to what it computes."""
    os.nice(5)
    with suppress(OSError, ValueError):  # not on every system
        own = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (own + memory, own + memory))
    with Connection(number) as line, suppress(EOFError, ConnectionError):
        while True:
            (most_pixels, called), content = line.recv(), line.recv_bytes()
            buffers: list[pickle.PickleBuffer] = []
            found: Photograph | str
            try:
                found = read_photograph(content, most_pixels, called)
                if not found.pixels.flags.c_contiguous:
                    found = found.with_pixels(found.pixels.copy())
            except AttrimorphError as error:
                found = str(error)
            except MemoryError:
                found = f"{called} must be decoded in {memory >> 20} MiB; it takes more; make it smaller"
            rest = pickle.dumps(found, protocol=5, buffer_callback=buffers.append)
            line.send([buffer.raw().nbytes for buffer in buffers])
            line.send_bytes(rest)
            for buffer in buffers:
                line.send_bytes(buffer.raw())
            del found, buffers, content


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
