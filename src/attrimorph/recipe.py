"""The whole of a run as one frozen value: what every recipe has. No torch here, nor in any method's own recipe."""

import math
import re
from collections.abc import Callable, Mapping
from functools import partial
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator

from attrimorph.errors import shown, suggestion
from attrimorph.overrides import override

Images = Annotated[int, Field(gt=0, le=10**12)]
Width = Annotated[int, Field(gt=0, le=4096)]
Share = Annotated[float, Field(ge=0, le=1)]
Weight = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Rate = Annotated[float, Field(gt=0, le=1)]
Decay = Annotated[float, Field(ge=0, lt=1)]
Latent = Annotated[int, Field(gt=0, le=65_536)]


class Options(BaseModel):
    """Frozen, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class DataOptions(Options):
    """How images come in.

    Attributes:
        image_size: Side of the square images, a power of two.
        shift: Augmentation: random shift, up to this share of the width.
        flip: Augmentation: probability of a mirrored image; refused where labels say left or right.
        colour: Augmentation: strength of brightness, contrast and saturation jitter.
    """

    image_size: Annotated[int, Field(ge=16, le=1024)] = 64

    @field_validator("image_size")
    @classmethod
    def _power_of_two(cls, value: int) -> int:
        if value & (value - 1):
            raise ValueError(f"image_size must be a power of two; got {value}; try 32, 64 or 128")
        return value

    shift: Annotated[float, Field(ge=0, le=0.25)] = 0.0
    flip: Share = 0.0
    colour: Share = 0.0


class OptimiserOptions(Options):
    """One optimiser for each network, all alike.

    Attributes:
        learning_rate: Of E and G, and of D and C unless they have their own.
        discriminator_rate: Learning rate of D; none for the same as the others'.
        beta1: Adam's first decay.
        beta2: Adam's second decay.
        warmup_images: The rates rise from 0 over the first so many images.
        schedule: How the rates fall to 0 at the last image.
        constant_share: Share of the run before a linear or cosine fall begins.
    """

    learning_rate: Rate = 3e-4
    discriminator_rate: Rate | None = None
    beta1: Decay = 0.5
    beta2: Decay = 0.99
    warmup_images: Annotated[int, Field(ge=0)] = 0
    schedule: Literal["constant", "linear", "cosine"] = "constant"
    constant_share: Share = 0.0

    def rate_factor(self, images_seen: int, images: int) -> float:
        """Return what the learning rates are multiplied by, in [0, 1].

        Args:
            images_seen: the clock.
            images: length of the run.
        """
        factor = 1.0
        if images_seen < self.warmup_images:
            factor = (images_seen + 1) / self.warmup_images
        start = self.constant_share * images
        if self.schedule == "constant" or images_seen <= start:
            return factor
        done = min(1.0, (images_seen - start) / max(images - start, 1.0))
        return factor * (1 - done if self.schedule == "linear" else 0.5 * (1 + math.cos(math.pi * done)))


class TrainingOptions(Options):
    """The loop. The clock is images seen.

    Attributes:
        images: Length of the run.
        batch_size: Images of one step in each process.
        seed: Of initial weights, order, augmentation and noise.
        ema_images: Half-life of the averaged weights that are saved as the model; 0 for none.
        precision: auto: bfloat16 where a measurement shows this machine faster with it.
        memory_format: auto: channels_last where a measurement shows this machine faster with it.
        compile: Compile the networks: a minute or two at the start; worth it on some machines, measure
            (benchmarks/step.py).
        log_images: A line of the log every so many images.
        sample_images: A sample sheet every so many images.
        checkpoint_images: A checkpoint every so many images.
        keep: Checkpoints kept: the newest ones.
    """

    images: Images = 200_000
    batch_size: Annotated[int, Field(ge=2, le=65_536)] = 32
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    ema_images: Annotated[int, Field(ge=0)] = 5_000
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    memory_format: Literal["auto", "channels_last", "contiguous"] = "auto"
    compile: bool = False
    log_images: Images = 1_024
    sample_images: Images = 20_000
    checkpoint_images: Images = 20_000
    keep: Annotated[int, Field(gt=0)] = 2


class AnyRecipe(Options):
    """What every recipe has, whatever its method.

    Attributes:
        name: The recipe's name, which its run's folder bears too.
        about: One sentence: what it is for.
        method: Which method: it decides what other fields there are.
    """

    methods: ClassVar[tuple[str, ...]] = ()

    name: str
    about: str = ""
    method: str = "cvae-gan"
    data: DataOptions = DataOptions()
    optimiser: OptimiserOptions = OptimiserOptions()
    training: TrainingOptions = TrainingOptions()

    @field_validator("name")
    @classmethod
    def _folder_name(cls, value: str) -> str:
        if not re.fullmatch(r"\w[\w .+-]{,99}", value):
            raise ValueError(f"name must be letters, digits, spaces and .+- alone; got {shown(value)}")
        return value

    @field_validator("method")
    @classmethod
    def _own_method(cls, value: str) -> str:
        if cls.methods and value not in cls.methods:
            raise ValueError(f"there is no method {value!r} of this kind; {suggestion(value, cls.methods)}")
        return value

    @classmethod
    def table(cls, rows: Mapping[str, Mapping[str, Any]]) -> dict[str, Callable[[], Self]]:
        """Return recipes by name, each built when it is called; a row is what differs from the fields' defaults."""
        return {name: partial(cls.model_validate, {"name": name, **row}) for name, row in rows.items()}

    @property
    def learns_from_labels(self) -> bool:
        """Whether images without labels are of no use to it."""
        return True

    def with_changes(self, changes: dict[str, Any]) -> Self:
        """Return a recipe with dotted fields replaced: {"training.batch_size": 32}; see `overrides.override`."""
        return override(self, changes)


def field_names(value: dict[str, Any], prefix: str = "") -> list[str]:
    """Return the dotted names of all fields of a dumped recipe."""
    names: list[str] = []
    for key, part in value.items():
        names += field_names(part, f"{prefix}{key}.") if isinstance(part, dict) else [prefix + key]
    return names
