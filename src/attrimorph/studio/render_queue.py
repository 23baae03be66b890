"""The queue where live edits are done: one lock for the device; what arrives together is decoded together.

A stream is one picture on one page. While it waits, a newer state of the same stream takes the place of the older one:
stale ones are dropped, what is computed is the newest.
"""

import io
import threading
import time
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import torch
from PIL import Image

from attrimorph.applications.edit import EditTarget, side_effects
from attrimorph.pictures import to_pil
from attrimorph.studio.model_store import ModelStore, Origin, Seen, Served
from attrimorph.studio.opened import WHOLE, View

TOGETHER = 16
LEAST = 0.2
"""A change of probability from which on a side effect is told."""
FEW = 128 * 128
"""Pixels up to which a second thread costs more than it brings, the more so beside a browser on the same machine."""
Format = Literal["rgba", "jpeg", "webp", "png"]


@dataclass(frozen=True)
class Live:
    """One state of one stream.

    Attributes:
        served: the model.
        origin: what is edited.
        target: what shall become of it.
        format: of the picture; "rgba" are its bare bytes, the soonest made and painted.
        watch: whether side effects are looked for.
        view: what is shown of a whole photograph.
    """

    served: Served
    origin: Origin
    target: EditTarget
    format: Format = "jpeg"
    watch: bool = True
    view: View = WHOLE


@dataclass(frozen=True)
class Rendered:
    """What came of it.

    Attributes:
        picture: encoded.
        besides: attribute -> how much a judge sees it change although nobody asked; None where nobody looked.
        box: of a whole photograph the picture is what changes; where in the view it lies: left, upper, width, height;
            None where it is the whole picture.
    """

    picture: bytes
    besides: dict[str, float] | None
    box: tuple[int, int, int, int] | None = None


Answer = Callable[[Rendered | Exception], None]


class RenderQueue:
    """Does live edits in a thread of its own.

    Args:
        store: where models and photographs are.

    Attributes:
        device: held by whoever computes.
        done, dropped: how many live edits were answered, and how many gave way to newer ones.
    """

    def __init__(self, store: ModelStore) -> None:
        self.store, self.device = store, threading.Lock()
        self.done = self.dropped = 0
        self._waiting: dict[Hashable, tuple[Live, Answer]] = {}
        self._changed = threading.Condition()
        self._open = True
        self._thread = threading.Thread(target=self._work, name="studio queue", daemon=True)
        self._thread.start()

    def submit(self, stream: Hashable, live: Live, answer: Answer) -> None:
        """Put a state of a stream on the queue; `answer` is called from the queue's thread unless a newer one comes."""
        with self._changed:
            self.dropped += stream in self._waiting
            self._waiting[stream] = (live, answer)
            self._changed.notify()

    def forget(self, session: Hashable) -> None:
        """Drop all that waits for the streams (session, ...) of a session that has ended."""
        with self._changed:
            for stream in [each for each in self._waiting if isinstance(each, tuple) and each[0] == session]:
                del self._waiting[stream]

    def give_way(self) -> None:
        """Let live edits go first; called now and then by long work that holds the device."""
        if not self._waiting:
            return
        self.device.release()
        until = time.monotonic() + 0.2
        while self._waiting and time.monotonic() < until:
            time.sleep(0.001)
        self.device.acquire()

    def close(self) -> None:
        """End the thread."""
        with self._changed:
            self._open = False
            self._changed.notify()
        self._thread.join(timeout=10)

    def _take(self) -> list[tuple[Live, Answer]] | None:
        """Wait for work; return what goes together with the first of it, None at the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._waiting or not self._open)
            if not self._open:
                return None
            first = next(iter(self._waiting.values()))[0].served
            streams = [stream for stream, (live, _) in self._waiting.items() if live.served is first][:TOGETHER]
            return [self._waiting.pop(stream) for stream in streams]

    def _work(self) -> None:
        while (taken := self._take()) is not None:
            lives = [live for live, _ in taken]
            with self.device, _threads(lives):
                answers = self.frames(lives)
            self.done += len(taken)
            for (_, answer), found in zip(taken, answers, strict=True):
                answer(found)

    def frames(self, lives: Sequence[Live]) -> list[Rendered | Exception]:
        """Do live edits of one model; what cannot be done is answered by its error. The caller has the device."""
        answers: dict[int, Rendered | Exception] = {}
        ready: dict[int, tuple[Live, Seen]] = {}
        for place, live in enumerate(lives):
            try:
                ready[place] = (live, self.store.seen(live.served, live.origin))
            except Exception as error:  # of this stream alone: the others go on
                answers[place] = error
        try:
            found = self._rendered(list(ready.values()))
        except Exception:
            # One of them is wrong: each on its own, to tell which.
            found = [self._alone(each) for each in ready.values()]
        answers |= dict(zip(ready, found, strict=True))
        return [answers[place] for place in range(len(lives))]

    def _alone(self, each: tuple[Live, Seen]) -> Rendered | Exception:
        try:
            return self._rendered([each])[0]
        except Exception as error:
            return error

    @torch.inference_mode()
    def _rendered(self, ready: Sequence[tuple[Live, Seen]]) -> list[Rendered | Exception]:
        if not ready:
            return []
        served = ready[0][0].served
        images, fields = self.store.pictures(served, [seen for _, seen in ready], [live.target for live, _ in ready])
        judge = served.judge if any(live.watch for live, _ in ready) else None
        probabilities = [None] * len(ready) if judge is None else list(judge(images).cpu())
        frames: list[Rendered | Exception] = []
        for (live, seen), picture, own, after in zip(ready, to_pil(images), fields, probabilities, strict=True):
            besides: dict[str, float] | None = {} if live.watch else None
            if live.watch and judge is not None and seen.probabilities is not None and after is not None:
                besides = side_effects(judge.schema, seen.probabilities, after, live.target.changes, LEAST)
            box = None
            if seen.frame is not None and live.origin.photo is not None and own is not None:
                picture, box = self.store.shown(live.origin.photo, live.view).edited(seen.frame, own)
            frames.append(Rendered(encoded(picture, live.format), besides, box))
        return frames


@contextmanager
def _threads(lives: Sequence[Live]) -> Iterator[None]:
    """Compute a few small, quick pictures with one thread. The caller has the device: nobody else sees the change."""
    usual, pixels = torch.get_num_threads(), sum(live.served.model.image_size**2 for live in lives)
    few = pixels <= FEW and not any(live.format == "png" for live in lives)
    if few:
        torch.set_num_threads(1)
    try:
        yield
    finally:
        if few:
            torch.set_num_threads(usual)


def encoded(picture: Image.Image, format: Format) -> bytes:
    """Encode a picture: quickly where a person drags a slider, exactly ("png") where she looks at it."""
    if format == "rgba":
        return picture.convert("RGBA").tobytes()
    buffer = io.BytesIO()
    if format == "png":
        picture.save(buffer, "PNG", compress_level=1)
    elif format == "webp":
        picture.save(buffer, "WEBP", quality=92, method=0)
    else:
        picture.save(buffer, "JPEG", quality=94, subsampling=0)
    return buffer.getvalue()
