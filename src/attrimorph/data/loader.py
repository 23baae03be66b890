"""The loader: which images make up a batch is a pure function of the seed, the rank and the images seen."""

import queue
import re
import threading
import time
from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import pad

from attrimorph.data import Schema
from attrimorph.errors import AttrimorphError

if TYPE_CHECKING:  # an edit takes a weight or two from here, and reads no data
    from attrimorph.data.prepared import PreparedData

LUMA = (0.299, 0.587, 0.114)
AHEAD = 3  # batches that wait ready
BLOCK = 6 << 20  # bytes of pictures that lie together and are read at a stretch: 512 of 64 pixels
MIXED = 64  # blocks
Order = Literal["shuffled", "blocks"]


@dataclass(frozen=True)
class Augment:
    """How a batch is varied; all zero leaves it as it is.

    Attributes:
        shift: largest shift as a fraction of the width, 0 .. 0.5, drawn in whole pixels for both directions; the
            border is mirrored.
        flip: probability of a left-right flip, 0 .. 1.
        colour: largest relative change of brightness, contrast and saturation, 0 .. 0.9, each drawn by itself.
    """

    shift: float = 0.0
    flip: float = 0.0
    colour: float = 0.0

    def __post_init__(self) -> None:
        for name, most in (("shift", 0.5), ("flip", 1.0), ("colour", 0.9)):
            value = getattr(self, name)
            if not 0 <= value <= most:
                raise AttrimorphError(f"augmentation {name} must be between 0 and {most:g}; got {value}")

    def check(self, schema: Schema) -> None:
        """Refuse flips where an attribute tells left from right.

        Raises:
            AttrimorphError: `flip` is above 0 and a name holds the word left or right.
        """
        if not self.flip:
            return
        for name in schema.column_names:
            if {"left", "right"} & {word.lower() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+", name)}:
                raise AttrimorphError(
                    f"augmentation flip must be 0 where an attribute tells left from right; {name!r} does; "
                    "set flip to 0 or leave the attribute out"
                )

    def __call__(
        self,
        images: Tensor,
        masks: Tensor | None,
        generator: torch.Generator,
        together: int = 1,
        rank: int = 0,
        world: int = 1,
    ) -> tuple[Tensor, Tensor | None]:
        """Vary a batch; masks follow the geometry.

        Args:
            images: float32 [B, 3, H, W] in [-1, 1].
            masks: float32 [B, 1, H, W] in [0, 1], or None.
            generator: on the CPU, so that the draws are the same on every device.
            together: so many neighbours are varied alike; B is a multiple of it.
            rank, world: which part of the joint batch it is, of how many; draws are for all of them.

        Returns:
            Images and masks of the same shapes and ranges; the memory format is kept.
        """
        count, width = images.shape[0], images.shape[3]
        # Every draw is made whatever the settings, so that one setting does not change the draws of another.
        draws = world * count // together
        places, coins, tints = (
            torch.rand(draws, *size, generator=generator)[rank::world].repeat_interleave(together, 0)
            for size in ((2,), (), (3,))
        )
        if reach := round(self.shift * width):
            offsets = (places * (2 * reach + 1)).long().clamp_(max=2 * reach).tolist()
            images = _shift(images, offsets, reach)
            masks = None if masks is None else _shift(masks, offsets, reach)
        if self.flip:
            chosen = (coins < self.flip).to(images.device)[:, None, None, None]
            images = torch.where(chosen, images.flip(3), images)
            masks = None if masks is None else torch.where(chosen, masks.flip(3), masks)
        if self.colour:
            images = _tint(images, (1 + self.colour * (2 * tints - 1)).to(images.device))
        return images, masks


def _shift(images: Tensor, offsets: list[list[int]], reach: int) -> Tensor:
    """Cut an H x W window at (row, column) = offsets[b], 0 .. 2 reach, out of each mirrored-border image."""
    height, width = images.shape[2:]
    mirrored = pad(images, (reach, reach, reach, reach), mode="reflect")
    shifted = torch.empty_like(images)
    for image, (row, column) in enumerate(offsets):
        shifted[image] = mirrored[image, :, row : row + height, column : column + width]
    return shifted


def _tint(images: Tensor, factors: Tensor) -> Tensor:
    """Scale brightness, contrast and saturation by factors [B, 3]; black stays black under brightness alone."""
    brightness, contrast, saturation = (factors[:, i, None, None] for i in range(3))
    luma = torch.tensor(LUMA, device=images.device)
    pixels = images.permute(0, 2, 3, 1).flatten(1, 2)
    middle = (pixels.mean(1) @ luma)[:, None, None]
    # saturated = grey + s (x - grey); contrasted = m + c (saturated - m); brightened = b (contrasted + 1) - 1:
    # together one 3 x 3 matrix and one constant for each image.
    identity = torch.eye(3, device=images.device)
    matrix = brightness * contrast * (saturation * identity + (1 - saturation) * luma[:, None])
    constant = brightness * ((1 - contrast) * middle + 1) - 1
    tinted = torch.baddbmm(constant, pixels, matrix).clamp_(-1, 1)
    return tinted.view(*images.permute(0, 2, 3, 1).shape).permute(0, 3, 1, 2)


@dataclass(frozen=True, eq=False)
class Batch:
    """One batch of one rank: what a step is given.

    Attributes:
        images: float32 [B, 3, H, W] in [-1, 1].
        attributes: float32 [B, W]; NaN = missing.
        masks: float32 [B, 1, H, W], 0 background .. 1 foreground, or None.
        identity: int64 [B], -1 = unknown, or None.
        index: int64 [B], rows of the data, or None.
        images_seen: by all ranks, before this batch.
    """

    images: Tensor
    attributes: Tensor
    masks: Tensor | None = None
    identity: Tensor | None = None
    index: Tensor | None = None
    images_seen: int = 0

    def first(self, count: int) -> "Batch":
        """Return the first images of the batch."""
        parts = {name: part[:count] for name, part in vars(self).items() if isinstance(part, Tensor)}
        return replace(self, **parts)  # type: ignore[arg-type]


def generator_for(*words: int) -> torch.Generator:
    """Return a CPU generator seeded by whole numbers >= 0; different words give unrelated streams."""
    state = np.random.SeedSequence(words).generate_state(1, np.uint64)
    return torch.Generator().manual_seed(int(state[0]) >> 1)


class Loader:
    """Batches of prepared data in an order addressed by images seen.

    Every epoch is a permutation seeded by (seed, epoch). The epochs form one endless stream of rows, so that a
    batch may span two epochs and no image is ever dropped. At `images_seen` = n, the global batch is the rows n ..
    n + batch_size of the stream, which the ranks take in turn.

    In blocks, an epoch is blocks of neighbours, `BLOCK` bytes each, in an order drawn at random; the rows of `MIXED`
    blocks at a time, a window, are shuffled. While a window is used, the next one is fetched in the order in which it
    lies on the disk: by each rank its own rows, so that no machine reads what it does not use.

    Args:
        data: prepared data.
        indices: int64 rows that take part, for example data.indices("train"); or [N, k]: the k rows of a line stay
            together, in their order, and are augmented alike.
        batch_size: images of all ranks together; a multiple of world * k.
        seed: of order and augmentation, >= 0.
        order: "shuffled", or "blocks" for images that memory does not hold; what one window holds is shuffled always.
        augment: applied to every batch, seeded by (seed, images_seen).
        rank, world: this process among how many.
        device: where batches go.
        channels_last: memory format of the images.

    Attributes:
        batches: how many batches `iterate` has handed out.
        waited_seconds: how long `iterate` has kept its callers waiting, in all.

    Raises:
        AttrimorphError: no rows, or sizes out of range, or a flip that the labels forbid.
    """

    def __init__(
        self,
        data: "PreparedData",
        indices: NDArray[np.int64],
        batch_size: int,
        *,
        seed: int,
        order: Order = "shuffled",
        augment: Augment | None = None,
        rank: int = 0,
        world: int = 1,
        device: str | torch.device = "cpu",
        channels_last: bool = True,
    ) -> None:
        if not len(indices):
            raise AttrimorphError("there are no images to load; choose a split that has some")
        if batch_size < 1:
            raise AttrimorphError(f"batch_size must be at least 1; got {batch_size}")
        if not 0 <= rank < world:
            raise AttrimorphError(f"rank must be between 0 and world - 1; got rank {rank} of {world}")
        if seed < 0:
            raise AttrimorphError(f"seed must be at least 0; got {seed}")
        if order not in get_args(Order):
            raise AttrimorphError(f"order must be one of {', '.join(get_args(Order))}; got {order!r}")
        if augment is not None:
            augment.check(data.schema)
        self.data = data
        self.together = 1 if indices.ndim == 1 else indices.shape[1]
        if batch_size % world:
            raise AttrimorphError(
                f"training.batch_size must be a multiple of the number of processes, {world}, as they share the batch; "
                f"got {batch_size}; try --training.batch-size {-(-batch_size // world) * world}"
            )
        if batch_size // world % self.together:
            raise AttrimorphError(
                f"batch_size must be a multiple of {self.together * world}, as so many images belong together; "
                f"got {batch_size}"
            )
        lines = np.asarray(indices, dtype=np.int64).reshape(-1, self.together)
        row = sum(each.strides[0] for each in (data.images, data.masks) if each is not None)
        self.block = max(1, BLOCK // (row * self.together)) if order == "blocks" else 0  # lines in one
        if self.block * MIXED >= len(lines):
            self.block = 0
        if self.block:
            lines = lines[np.argsort(lines[:, 0], kind="stable")]
        self.indices = lines.reshape(-1)
        self.batch_size, self.seed, self.augment = batch_size, seed, augment
        self.rank, self.world = rank, world
        self.device, self.channels_last = torch.device(device), channels_last
        self.batches = 0
        self.waited_seconds = 0.0
        self._orders: dict[int, NDArray[np.int64]] = {}

    def rows(self, images_seen: int) -> NDArray[np.int64]:
        """Return the rows of this rank's batch, [batch_size / world]."""
        return self._rows(images_seen, 0)

    def _rows(self, images_seen: int, way: int) -> NDArray[np.int64]:
        share = self.batch_size // self.world
        lines = np.arange(share // self.together) * self.world + self.rank
        places = images_seen + (lines[:, None] * self.together + np.arange(self.together)).reshape(-1)
        epochs, places = np.divmod(places, len(self.indices))
        rows = np.empty(share, dtype=np.int64)
        for epoch in np.unique(epochs):
            here = epochs == epoch
            rows[here] = self._order(int(epoch))[way, places[here]]
        return rows

    def _order(self, epoch: int) -> NDArray[np.int64]:
        """Return the rows of an epoch in their order, [1, N]; in blocks also as this rank fetches its own, [2, N]."""
        order = self._orders.get(epoch)
        if order is None:
            lines = self.indices.reshape(-1, self.together)
            random = np.random.default_rng([self.seed, epoch])
            places = self._in_blocks(epoch, random) if self.block else random.permutation(len(lines))[None]
            order = lines[places].reshape(len(places), -1)
            # Replaced as a whole, as the prefetching thread may look at the same time.
            self._orders = {**{old: value for old, value in self._orders.items() if old == epoch - 1}, epoch: order}
        return order

    def _in_blocks(self, epoch: int, random: np.random.Generator) -> NDArray[np.int64]:
        """Return places of lines, [2, lines]: shuffled within each window, and there this rank's own ascending."""
        count, window = len(self.indices) // self.together, self.block * MIXED
        blocks = random.permutation(-(-count // self.block))
        places = (blocks[:, None] * self.block + np.arange(self.block)).reshape(-1)
        places = np.stack([places[places < count]] * 2)
        for start in range(0, count, window):
            used, fetched = places[:, start : start + window]
            random.shuffle(used)
            own = slice((self.rank - epoch * count - start) % self.world, None, self.world)
            fetched[own] = np.sort(used[own])
        return places

    def read(self, images_seen: int) -> tuple[NDArray[np.int64], NDArray[np.uint8], NDArray[np.uint8] | None]:
        """Return the rows of this rank's batch, their images and their masks; in blocks, fetch what comes later."""
        if self.block:
            # A window ahead, so that all of it has been asked for when its first batch comes; by the same rank.
            lines = -(-self.block * MIXED // self.world) * self.world
            self.data.fetch(self._rows(images_seen + lines * self.together, 1))
        rows = self.rows(images_seen)
        return rows, *self.data.read(rows)

    def batch(self, images_seen: int) -> Batch:
        """Return the batch at `images_seen`, always the same one."""
        rows, read, drawn = self.read(images_seen)
        images = self._to_device(torch.from_numpy(read))
        # NHWC bytes seen as NCHW are channels_last already: the conversion to float keeps that without a copy.
        pixels = images.permute(0, 3, 1, 2).to(torch.float32).mul_(1 / 127.5).sub_(1)
        masks = None
        if drawn is not None:
            masks = self._to_device(torch.from_numpy(drawn))[:, None].float().mul_(1 / 255)
        if self.augment is not None:
            generator = generator_for(self.seed, images_seen, 0)
            pixels, masks = self.augment(pixels, masks, generator, self.together, self.rank, self.world)
        layout = torch.channels_last if self.channels_last else torch.contiguous_format
        index = torch.from_numpy(rows)
        return Batch(
            images=pixels.contiguous(memory_format=layout),
            attributes=self._to_device(self.data.attributes[index]),
            identity=self._to_device(self.data.identity[index]),
            index=self._to_device(index),
            masks=masks,
            images_seen=images_seen,
        )

    def _to_device(self, tensor: Tensor) -> Tensor:
        if self.device.type == "cuda":
            return tensor.pin_memory().to(self.device, non_blocking=True)
        return tensor.to(self.device)

    def iterate(self, images_seen: int = 0) -> Generator[Batch]:
        """Yield batches from `images_seen` on, without end, made ahead in one background thread.

        Closing the iterator (or leaving it to the garbage collector) stops the thread. An exception in the thread
        is raised here.
        """
        ready: queue.Queue[Batch | BaseException] = queue.Queue(AHEAD)
        stop = threading.Event()
        thread = threading.Thread(target=self._work_ahead, args=(images_seen, ready, stop), name="attrimorph-loader")
        thread.start()
        try:
            while True:
                begin = time.perf_counter()
                item = ready.get()
                self.waited_seconds += time.perf_counter() - begin
                if isinstance(item, BaseException):
                    raise item
                self.batches += 1
                yield item
        finally:
            stop.set()
            thread.join()

    def _work_ahead(self, images_seen: int, ready: "queue.Queue[Batch | BaseException]", stop: threading.Event) -> None:
        while not stop.is_set():
            item: Batch | BaseException
            try:
                item = self.batch(images_seen)
            except BaseException as error:
                item = error
            images_seen += self.batch_size
            # The thread also ends with the main thread, so that a forgotten iterator cannot keep a program alive.
            while not stop.is_set() and threading.main_thread().is_alive():
                try:
                    ready.put(item, timeout=0.1)
                    break
                except queue.Full:
                    continue
            if isinstance(item, BaseException) or not threading.main_thread().is_alive():
                return


def batches(
    data: "PreparedData",
    batch_size: int = 64,
    *,
    split: str = "train",
    epochs: int | None = 1,
    seed: int = 0,
    order: Order = "shuffled",
    augment: Augment | None = None,
    device: str | torch.device = "cpu",
) -> Iterator[Batch]:
    """Yield shuffled batches of a split, for a training loop of your own.

    Args:
        data: prepared data.
        batch_size: images; the last batch may be smaller.
        split: "train", "valid", "test" or "all".
        epochs: how often every image comes; None = without end.
        seed: of order and augmentation, >= 0.
        order: see `Loader`.
        augment: see `Augment`.
        device: where batches go.

    Raises:
        AttrimorphError: a split without images, or a number out of range.
    """
    if epochs is not None and epochs < 1:
        raise AttrimorphError(f"epochs must be at least 1, or None for no end; got {epochs}")
    rows = data.indices(split)
    loader = Loader(data, rows, batch_size, seed=seed, order=order, augment=augment, device=device, channels_last=False)
    return _until(loader, None if epochs is None else epochs * len(rows))


def _until(loader: Loader, end: int | None) -> Iterator[Batch]:
    """Yield batches until `end` images were seen, the last one cut."""
    with closing(loader.iterate()) as endless:
        for batch in endless:
            left = len(batch.images) if end is None else end - batch.images_seen
            yield batch if left >= len(batch.images) else batch.first(left)
            if left <= len(batch.images) and end is not None:
                return
