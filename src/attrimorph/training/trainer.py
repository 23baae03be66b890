"""The trainer: loop, clock, averages, log, checkpoints, sample sheets, guard. One for every method.

Everything a step uses is a function of (seed, rank, images seen) and of the last checkpoint, so a run that is killed at
any moment and started again ends, on a CPU, with the same bits.
"""

import copy
import math
import os
import shutil
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, nullcontext
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from attrimorph import training
from attrimorph.console import DeferredSignal, Interrupted, defer_signals
from attrimorph.data import Schema, few
from attrimorph.data.loader import Augment, Batch, Loader, generator_for
from attrimorph.data.prepared import PreparedData
from attrimorph.data.readers.raw import preview
from attrimorph.errors import AttrimorphError
from attrimorph.files import lock_folder
from attrimorph.loading import default_device, load
from attrimorph.methods import METHODS
from attrimorph.methods.base import Algorithm
from attrimorph.methods.cvae_gan.recipe import METHODS as FAMILY
from attrimorph.models import model_bytes
from attrimorph.recipe import AnyRecipe
from attrimorph.training import FastPath, choose_fast_path, keep_memory
from attrimorph.training.folder import (
    Ema,
    Guard,
    Log,
    SampleSheet,
    checkpoint_folders,
    claim,
    known_path,
    load_state,
    own_reconstruction,
    save_checkpoint,
    snapshot,
    tensors,
)

FITTED = 2_048  # training images that a model's extras, such as the prior of its codes, are found from
EXAMPLES = 512  # attribute vectors of training images that a model carries, to draw plausible ones from
SHOWN_EVERY = 1.0  # seconds between two reports of progress within a line of the log
NOISE = 1  # a word that keeps the step's stream apart from the loader's


@dataclass(frozen=True)
class Progress:
    """What a progress bar shows.

    Attributes:
        images_seen, images: the clock and its end.
        images_per_second: since the last line of the log, all processes together; 0 at the start.
        seconds_left: at that speed.
        values: the last line's averages.
        message: what the guard says, or "".
    """

    images_seen: int
    images: int
    images_per_second: float
    seconds_left: float
    values: dict[str, float]
    message: str = ""


def train(
    recipe: AnyRecipe,
    data: PreparedData,
    out: str | Path,
    *,
    progress: Callable[[Progress], None] | None = None,
    device: str | None = None,
) -> Path:
    """Train `recipe` on `data` into the folder `out`; go on from its newest checkpoint where there is one.

    Args:
        recipe: the whole run.
        data: prepared at the recipe's image size.
        out: the run's folder.
        progress: called at the start, after every line of the log, and every second between them.
        device: "cpu", "cuda", ...; the accelerator where there is one by default.

    Returns:
        The run's folder.

    Raises:
        AttrimorphError: the folder holds another run or is in use, the data do not fit, nothing can be written, or the
            guard gave up.
        Interrupted: Ctrl+C, SIGTERM or a closed terminal (in any process) ended it after a step, with a checkpoint;
            it is a KeyboardInterrupt.
    """
    check_size(recipe, data)
    keep_memory()
    with (
        training.processes(),
        torch.random.fork_rng(devices=[]),
        lock_folder(Path(out)) if training.rank() == 0 else nullcontext(),
    ):
        run = Run(recipe, data, Path(out), device or default_device())
        # A signal that comes while the last checkpoint is written waits too: the lock must outlive the writing.
        with defer_signals() as signals, training.tensor_cores(run.path.tf32), closing(run):
            run.loop(progress, signals)
    return Path(out)


class Run:
    """One run in its folder, which the caller has locked. The arguments are those of `train`."""

    def __init__(self, recipe: AnyRecipe, data: PreparedData, out: Path, device: str) -> None:
        self.recipe, self.data, self.out, self.device = recipe, data, out, device
        self.rank, self.world = training.rank(), training.world()
        options = recipe.training
        path = known_path(out, recipe, data.fingerprint)
        if path is None:
            path = fast_path_of(recipe, data, device)
        self.path = path
        reduce = training.average_gradients if self.world > 1 else None
        self.algorithm = build(recipe, data.schema, path, device, reduce, varies=data.varies)
        self.fresh = not checkpoint_folders(out)
        if self.fresh and options.start:
            begin_with(options.start, self.algorithm, recipe, data.schema)
        # The same seed gives the same weights on the same machine; on machines that differ a last bit may.
        training.share(tensor for network in self.algorithm.networks.values() for tensor in tensors(network))
        self.ema = Ema({name: self.algorithm.networks[name] for name in self.algorithm.kept}, options.ema_images)
        self.guard = Guard()
        self.base_rates = {name: o.param_groups[0]["lr"] for name, o in self.algorithm.optimisers.items()}
        last = path.memory_format == "channels_last"
        self.loader = loader_of(recipe, data, rank=self.rank, world=self.world, device=device, channels_last=last)
        # What the next line of the log is to average, so far; a checkpoint may lie between two lines.
        self.sums: dict[str, Tensor] = {}
        self.counts: dict[str, int] = {}
        self.shown_values: dict[str, float] = {}
        self.worlds = self.world
        self.saved_at = time.perf_counter()
        self.writer = ThreadPoolExecutor(1, "attrimorph-checkpoint")
        self.written: Future[Path] | None = None
        if not self.fresh:
            data.check()
        self.images_seen = 0 if self.fresh else self._load(checkpoint_folders(out)[-1], guard=True)
        # Every process has looked into the folder before the first one writes there.
        training.wait_for_all()
        # Only now, when all of it fits together, does the folder become this run's.
        if self.rank == 0 and (self.fresh or self.images_seen < options.images):
            claim(out, recipe, data, path)
        self.log = Log(out, self.images_seen) if self.rank == 0 else None
        self.sheet = SampleSheet(out, data, options.seed) if self.rank == 0 else None

    def _load(self, checkpoint: Path, *, guard: bool) -> int:
        """Take back a checkpoint; return its clock. Going back, the guard keeps its own count of the returns."""
        state = load_state(checkpoint)
        try:
            if guard:
                self.guard = Guard(**state["guard"])
            self.worlds = len(state.get("ranks", [0]))
            if 0 < self.rank < len(ranks := state.get("ranks", [])):
                own = ranks[self.rank]
                state = state | own | {"algorithm": state["algorithm"] | own["algorithm"]}
            self.algorithm.load_state(state["algorithm"])
            for name, network in self.ema.networks.items():
                network.load_state_dict(state["ema"][name])
            # Absent in checkpoints of early versions.
            self.sums = {name: value.to(self.device) for name, value in state.get("sums", {}).items()}
            self.counts = dict(state.get("counts", {}))
            return int(state["images_seen"])
        except (AttributeError, IndexError, KeyError, RuntimeError, TypeError, ValueError) as error:
            reason = " ".join(f"{type(error).__name__}: {error}".split())[:120]
            raise AttrimorphError(
                f"the checkpoint in {self.out} does not fit this recipe ({reason}); choose another folder with --out"
            ) from error

    def loop(self, progress: Callable[[Progress], None] | None, signals: DeferredSignal) -> None:
        """Step until the clock reaches the end or a signal comes; go back and start again as the guard says."""
        if self.fresh:
            self.save()
        end = self.recipe.training.images
        columns = zip(self.data.schema.column_names, self.data.varies.tolist(), strict=True)
        constant = [name for name, varies in columns if not varies] if self.recipe.learns_from_labels else []
        if self.fresh and constant and progress and self.rank == 0:
            told = f"nothing can be learned of what never varies in the train split: {preview(constant, 8)}"
            progress(Progress(self.images_seen, end, 0.0, 0.0, {}, told))
        shuffled = self.recipe.data.order == "shuffled"
        if self.fresh and shuffled and larger_than_memory(self.data) and progress and self.rank == 0:
            told = "the prepared images are larger than this machine's memory; begun in another folder (--out), "
            told += "--data.order blocks reads them faster"
            progress(Progress(self.images_seen, end, 0.0, 0.0, {}, told))
        if self.images_seen >= end and progress and self.rank == 0:
            done = f"{self.out} has seen {self.images_seen:,} images of {end:,} already; --training.images goes further"
            progress(Progress(self.images_seen, end, 0.0, 0.0, {}, done))
        if self.worlds != self.world and self.images_seen < end:
            before = "1 process" if self.worlds == 1 else f"{self.worlds} processes"
            batch = self.recipe.training.batch_size
            told = f"the run was on {before} before and goes on with {self.world}, which share the batch of {batch}"
            if self.log:
                self.log.write({"images_seen": self.images_seen, "processes": told})
            if progress and self.rank == 0:
                progress(Progress(self.images_seen, end, 0.0, 0.0, {}, told))
        self._show(progress, 0.0)
        while self.images_seen < self.recipe.training.images:
            trouble = self._until_trouble(progress, signals)
            if trouble:
                self._go_back(trouble, progress)
        self.wait_for_writing()

    def _until_trouble(self, progress: Callable[[Progress], None] | None, signals: DeferredSignal) -> str | None:
        options, per_step = self.recipe.training, self.recipe.training.batch_size
        since = shown = time.perf_counter()
        seen_then = self.images_seen
        for batch in self.loader.iterate(self.images_seen):
            self._set_rates()
            own = 0 if self.algorithm.joint else self.rank
            generator = generator_for(options.seed, NOISE, self.images_seen, own)
            for name, value in self.algorithm.step(batch, generator).items():
                self.sums[name] = self.sums[name] + value if name in self.sums else value
                self.counts[name] = self.counts.get(name, 0) + 1
            self.ema.update(self.images_seen, per_step)
            before, self.images_seen = self.images_seen, self.images_seen + per_step
            ended = self.images_seen >= options.images
            if ended or passed(before, self.images_seen, options.log_images):
                values = averages(self.sums, self.counts)
                seconds = time.perf_counter() - since
                trouble = self._write_line(values, (self.images_seen - seen_then) / seconds, progress)
                if trouble:
                    return trouble
                self.sums, self.counts = {}, {}
                since, seen_then = time.perf_counter(), self.images_seen
            elif (now := time.perf_counter()) - shown >= SHOWN_EVERY:
                self._show(progress, (self.images_seen - seen_then) / (now - since))
                shown = now
            if self.sheet and (ended or passed(before, self.images_seen, options.sample_images)):
                self.sheet.write(self.ema.networks, self.header(), self.images_seen)
            late = 0 < 60 * options.checkpoint_minutes <= time.perf_counter() - self.saved_at
            # One exchange for both: where two processes differ the signal, which saves too, is the larger.
            signal, due = divmod(training.largest(2 * signals.number + late), 2)
            passes = ended or signal or passed(before, self.images_seen, options.checkpoint_images)
            if passes or due:
                # Looked at here too: a checkpoint of blown-up weights would leave nothing to go back to.
                if trouble := self.guard.inspects(self.algorithm.state(), self.images_seen):
                    return trouble
                if passes:
                    # What the guard goes back to must not depend on how fast a machine is.
                    self.guard.saves(self.images_seen)
                self.save()
            if signal:
                self.wait_for_writing()
                where = checkpoint_folders(self.out)[-1]
                raise Interrupted(
                    signal, f"the checkpoint at {self.images_seen:,} of {options.images:,} images is {where}"
                )
            if ended:
                return None
        return None

    def _set_rates(self) -> None:
        factor = self.recipe.optimiser.rate_factor(self.images_seen, self.recipe.training.images)
        for name, optimiser in self.algorithm.optimisers.items():
            for group in optimiser.param_groups:
                group["lr"] = self.base_rates[name] * factor * self.guard.rate_scale

    def _write_line(
        self, values: dict[str, float], speed: float, progress: Callable[[Progress], None] | None
    ) -> str | None:
        if self.written and self.written.done():
            self.written.result()  # raises what stopped it
        values = training.mean_values(values)
        speed = training.mean_values({"speed": speed})["speed"]
        if self.log:
            waited = self.loader.waited_seconds
            speeds = {"images_per_second": round(speed, 2), "waited_seconds": round(waited, 3)}
            # JSON has no NaN.
            finite = {name: round(value, 6) if math.isfinite(value) else None for name, value in values.items()}
            self.log.write({"images_seen": self.images_seen, **speeds, **finite})
        trouble = self.guard.sees(values, self.images_seen)
        self.shown_values = values
        self._show(progress, speed)
        return trouble

    def _show(self, progress: Callable[[Progress], None] | None, speed: float) -> None:
        if progress and self.rank == 0:
            end = self.recipe.training.images
            left = (end - self.images_seen) / speed if speed else math.inf
            progress(Progress(self.images_seen, end, speed, left, self.shown_values))

    def _go_back(self, trouble: str, progress: Callable[[Progress], None] | None) -> None:
        self.wait_for_writing()
        again = self.guard.go_back()
        folders = checkpoint_folders(self.out)
        folder = next((folder for folder in folders if int(folder.name) == self.guard.good), folders[-1])
        if not again:
            raise AttrimorphError(
                f"training stopped: {trouble}; going back to a checkpoint {self.guard.returns - 1} times with "
                f"ever lower learning rates did not help; the last good one is {folder}; try a lower "
                "--optimiser.learning-rate in another folder"
            )
        self.images_seen = self._load(folder, guard=False)
        # Started again now, the run must not go on from what it has just turned its back on.
        training.wait_for_all()
        if self.rank == 0:
            for newer in folders[folders.index(folder) + 1 :]:
                shutil.rmtree(newer, ignore_errors=True)
        message = (
            f"{trouble}; went back to the checkpoint at {self.images_seen:,} images and goes on with "
            f"{self.guard.rate_scale:g} of the learning rates"
        )
        if self.log:
            self.log.close()
            self.log = Log(self.out, self.images_seen)
            self.log.write({"images_seen": self.images_seen, "guard": message})
        if progress and self.rank == 0:
            progress(Progress(self.images_seen, self.recipe.training.images, 0.0, 0.0, {}, message))

    def batches(self) -> Iterator[Batch]:
        """Yield the first training images, for what a model carries beside its networks."""
        rows = self.data.indices("train")[:FITTED]
        for start in range(0, len(rows), 64):
            images, labels = self.data.batch(rows[start : start + 64])
            yield Batch(images.to(self.device), labels.to(self.device))

    def header(self) -> dict[str, Any]:
        """What the model file says of itself."""
        rows = self.data.attributes[torch.from_numpy(self.data.indices("train")[:EXAMPLES])]
        blank = self.data.schema.fill_value
        return {
            "recipe": self.recipe.model_dump(),
            "schema": self.data.schema.to_json(),
            "preprocessing": self.data.preprocessing,
            "images_seen": self.images_seen,
            "examples": torch.where(torch.isnan(rows), blank, rows).round(decimals=4).flatten().tolist(),
            "card": {},
        }

    def save(self) -> None:
        """Begin to write a checkpoint (the first process does), with what each of several processes has of its own.

        What later steps change is copied; a thread writes the copy.

        Raises:
            AttrimorphError: the processes' weights are no longer the same, or the checkpoint before was not written.
        """
        self.wait_for_writing()
        parameters = (each for network in self.algorithm.networks.values() for each in network.parameters())
        if not training.agree(parameters):
            raise AttrimorphError(
                f"the weights of {self.world} processes must be the same; at {self.images_seen:,} images they are not: "
                "the machines compute differently, or one is faulty; the same command goes on from the last checkpoint"
            )
        whole = self.algorithm.state()
        own = {"algorithm": {key: whole[key] for key in self.algorithm.own}, "sums": self.sums, "counts": self.counts}
        ranks = training.gathered(own)
        if self.rank == 0:
            own_networks = copy.deepcopy(self.ema.networks)
            networks = {**own_networks, **self.algorithm.extras(own_networks, self.batches())}
            header = self.header()
            if told := own_reconstruction(networks, header, self.data):
                header["reconstruction"] = told
            networks = {name: network.cpu() for name, network in networks.items()}
            state = {
                "algorithm": whole,
                "images_seen": self.images_seen,
                "guard": asdict(self.guard),
                "sums": self.sums,
                "counts": self.counts,
            } | ({"ranks": ranks} if self.world > 1 else {})
            state = snapshot(state) | {"ema": {name: networks[name].state_dict() for name in own_networks}}
            at, keep, good = self.images_seen, self.recipe.training.keep, self.guard.good
            self.written = self.writer.submit(
                lambda: save_checkpoint(self.out, at, model_bytes(networks, header), state, keep, spare=good)
            )
        self.saved_at = time.perf_counter()

    def wait_for_writing(self) -> None:
        """Wait until the last checkpoint is written, in every process.

        Raises:
            AttrimorphError: it could not be.
        """
        if self.written:
            self.written.result()
        training.wait_for_all()

    def close(self) -> None:
        """Let go of the log, when what is being written is written."""
        self.writer.shutdown()
        if self.log:
            self.log.close()


def begin_with(source: str, algorithm: Algorithm, recipe: AnyRecipe, schema: Schema) -> None:
    """Give the networks that make up a model the weights of one that is trained.

    Args:
        source: of `load`.
        algorithm: with fresh weights, which are overwritten.
        recipe, schema: of the run.

    Raises:
        AttrimorphError: there is none, or it is not of the run's method, attributes and networks.
    """
    model = load(source)
    if (model.recipe.method, model.schema) != (recipe.method, schema):
        raise AttrimorphError(
            f"training.start must be a model of the method {recipe.method} with the attributes of the data, "
            f"{few(schema.attributes)}; {source} is of {model.recipe.method}, with {few(model.schema.attributes)}; "
            "prepare the data with its attributes, or name another"
        )
    try:
        for name in algorithm.kept:
            algorithm.networks[name].load_state_dict(model.networks[name].state_dict())
    except (KeyError, RuntimeError) as error:
        reason = str(error).splitlines()[-1].strip()[:120]
        raise AttrimorphError(
            f"training.start must be one model with networks as the recipe's; {source} is another ({reason}); name one "
            "that was trained with this recipe"
        ) from error


def check_size(recipe: AnyRecipe, data: PreparedData) -> None:
    """Refuse data of another size.

    Raises:
        AttrimorphError: they are.
    """
    if data.image_size != recipe.data.image_size:
        raise AttrimorphError(
            f"the recipe wants images of {recipe.data.image_size} pixels, the data have {data.image_size}; "
            f"prepare them with --image-size {recipe.data.image_size} or set --data.image-size {data.image_size}"
        )


def larger_than_memory(data: PreparedData) -> bool:
    """Tell whether images lie on a disk and memory cannot hold them, where the system says how much there is."""
    known = {"SC_PHYS_PAGES", "SC_PAGE_SIZE"} <= set(os.sysconf_names)
    return bool(data.maps) and known and data.images.nbytes > os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def loader_of(
    recipe: AnyRecipe,
    data: PreparedData,
    *,
    rank: int = 0,
    world: int = 1,
    device: str = "cpu",
    channels_last: bool = False,
) -> Loader:
    """Return a run's batches; arguments and errors as of `Loader` and `training_rows`."""
    augment = Augment(recipe.data.shift, recipe.data.flip, recipe.data.colour)
    return Loader(
        data,
        training_rows(recipe, data),
        recipe.training.batch_size,
        seed=recipe.training.seed,
        order=recipe.data.order,
        augment=augment if augment != Augment() else None,
        rank=rank,
        world=world,
        device=device,
        channels_last=channels_last,
    )


def passed(before: int, after: int, every: int) -> bool:
    """Whether the clock passed a multiple of `every`."""
    return before // every != after // every


def averages(sums: dict[str, Tensor], counts: dict[str, int]) -> dict[str, float]:
    """Read the sums off the device in one go; each is averaged over the steps that computed it."""
    names = list(sums)
    values = torch.stack([sums[name] for name in names]).tolist() if names else []
    return {name: value / counts[name] for name, value in zip(names, values, strict=True)}


def build(
    recipe: AnyRecipe,
    schema: Schema,
    path: FastPath,
    device: str = "cpu",
    reduce_gradients: Callable[[list[nn.Parameter]], None] | None = None,
    *,
    varies: Tensor | None = None,
) -> Algorithm:
    """Return the recipe's method with fresh weights drawn from its seed.

    Args:
        recipe: the run.
        schema: of the data.
        path: precision and memory format.
        device: where the networks live.
        reduce_gradients: averages gradients over processes.
        varies: as of `Algorithm`.
    """
    check_labels(recipe, schema)
    options = {"varies": varies, "autocast": path.autocast, "reduce_gradients": reduce_gradients}
    return METHODS[recipe.method].step().build(recipe, schema, device=device, layout=path.layout, **options)


def fast_path_of(recipe: AnyRecipe, data: PreparedData, device: str) -> FastPath:
    """Return what a new run computes on: as the recipe says, or as its own last step is fastest on this machine."""
    options = recipe.training
    seen = (options.images - 1) // options.batch_size * options.batch_size

    def steps(path: FastPath, device: str) -> Callable[[], object]:
        plain = recipe.with_changes({"training.compile": False})
        algorithm = build(plain, data.schema, path, device, varies=data.varies)
        # Methods without phases of their own keep no clock.
        algorithm.load_state(algorithm.state() | {"images_seen": seen})
        last = path.memory_format == "channels_last"
        batch = loader_of(recipe, data, device=device, channels_last=last).batch(seen)
        return lambda: float(next(iter(algorithm.step(batch, generator_for(options.seed, NOISE, seen)).values())))

    same = {"name", "about", "optimiser", "training"}
    of = [recipe.model_dump(mode="json", exclude=same), options.batch_size, options.images, data.schema.width]
    return choose_fast_path(options.precision, options.memory_format, device, steps=steps, of=of)


def check_labels(recipe: AnyRecipe, schema: Schema) -> None:
    """Refuse images without labels for a recipe that learns from labels.

    Raises:
        AttrimorphError: the data have no attributes, and the recipe needs some.
    """
    if not schema.attributes and recipe.learns_from_labels:
        without = [name for name, method in FAMILY.items() if not method.conditional]
        raise AttrimorphError(
            f"{recipe.name} learns from labels, and these images have none; put them into one folder for each class, "
            f"name a CSV of labels with --table, or train what needs none: {', '.join([*without, 'pggan'])}"
        )


def training_rows(recipe: AnyRecipe, data: PreparedData) -> NDArray[np.int64]:
    """Return the rows to learn from, [N]; [N, 2] where pairs stay together.

    Raises:
        AttrimorphError: the data have not what the recipe learns from.
    """
    return METHODS[recipe.method].step().rows(recipe, data)
