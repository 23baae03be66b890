"""What clients say and are answered: every word of the API, checked before anything is done."""

from typing import Annotated, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, model_validator

from attrimorph.studio.model_store import Origin

MIB = 2**20


def _number(value: object) -> object:
    if isinstance(value, bool | str):
        raise ValueError("must be a number")
    return value


AS_JSON = BeforeValidator(_number)
"""A whole number as JSON Schema has it: 3 and 3.0, neither true nor "3". It stands last, or the schema loses limits."""
Name = Annotated[str, StringConstraints(min_length=1, max_length=120)]
Kept = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{40}$")]
"""The name under which the studio keeps a photograph or an axis."""
Base64 = Annotated[str, StringConstraints(min_length=4, max_length=32 * MIB)]
Strength = Annotated[float, Field(ge=-100, le=100, allow_inf_nan=False, strict=True)]
Changes = Annotated[dict[Name, Strength], Field(max_length=200)]
Known = Annotated[dict[Name, Annotated[float, Field(allow_inf_nan=False, strict=True)]], Field(max_length=200)]
Names = Annotated[list[Name], Field(max_length=200)]
Seed = Annotated[int, Field(ge=0, lt=2**53), AS_JSON]
Switch = Annotated[bool, Field(strict=True)]


class Message(BaseModel):
    """Every message: an unknown word is an error."""

    model_config = ConfigDict(extra="forbid", use_attribute_docstrings=True, frozen=True)


class PictureSource(Message):
    """A picture: a photograph that was opened, a file's bytes, or a sample of the model."""

    model_config = ConfigDict(
        json_schema_extra={
            "oneOf": [
                {"required": [name], "properties": {name: {"type": kind}}}
                for name, kind in (("photo", "string"), ("image", "string"), ("seed", "integer"))
            ]
        }
    )

    photo: Kept | None = None
    """The name that `/api/open` gave."""
    image: Base64 | None = None
    """A picture file, in base64; for programs that send it once."""
    seed: Seed | None = None
    """A sample of the model."""
    held: Changes = {}
    """What is set on the sample."""
    known: Known = {}
    """Attribute -> 0 or 1: what is known of the photograph; the rest is guessed."""

    @model_validator(mode="after")
    def _one(self) -> Self:
        if sum(each is not None for each in (self.photo, self.image, self.seed)) != 1:
            raise ValueError("a source must be one of photo, image and seed")
        return self

    def origin(self, photo: str | None = None) -> Origin:
        """Return where the subject comes from; `photo` is the name of what `image` held."""
        return Origin(
            photo or self.photo, self.seed or 0, tuple(sorted(self.held.items())), tuple(sorted(self.known.items()))
        )


class EditRequest(Message):
    """What every edit says: the whole state, so that the studio need not remember any."""

    model: Name
    """One of `/api/models`."""
    source: PictureSource
    changes: Changes = {}
    """Attribute -> strength: 0 unchanged, 1 set, -1 taken away, 0.5 half-way."""
    locks: Names = []
    """Attributes that stay as the attribute classifier (judge) sees them."""
    axes: Annotated[list[Kept], Field(max_length=20)] = []
    """Taught latent directions (axes) that `changes` names."""


class LiveEdit(EditRequest):
    """One message of the websocket."""

    stream: Annotated[int, Field(ge=0, le=63), AS_JSON]
    """Which picture of the page."""
    number: Annotated[int, Field(ge=0, lt=2**53), AS_JSON]
    """Counts up; comes back with the picture."""
    format: Literal["rgba", "jpeg", "webp", "png"] = "jpeg"
    """"rgba": bare bytes, row by row; "png": exactly the picture that is saved."""
    watch: Switch = True
    """Whether side effects are looked for; otherwise `besides` comes back as null."""


class SampleRequest(Message):
    """New pictures."""

    model: Name
    count: Annotated[int, Field(ge=1, le=64), AS_JSON] = 16
    seed: Seed = 0
    """Picture i is the sample of seed + i."""
    changes: Changes = {}
    """What is set on all of them."""


class MorphRequest(Message):
    """The way from one picture to another."""

    model: Name
    first: PictureSource
    second: PictureSource
    steps: Annotated[int, Field(ge=2, le=96), AS_JSON] = 24
    path: Literal["linear", "slerp", "uniform", "pixel"] = "linear"
    gif: Switch = False
    """Whether an animation there and back is made."""
    mp4: Switch = False
    """Whether a film there and back is made; needs `films` of `/api/studio`."""


class InpaintRequest(Message):
    """A hole to be filled."""

    model: Name
    source: PictureSource
    mask: Base64
    """A square picture as the model sees the photograph, white where the hole is."""
    times: Annotated[int, Field(ge=1, le=50), AS_JSON] = 10
    feather: Annotated[int, Field(ge=0, le=16), AS_JSON] = 4
    known: Known = {}


class TransferRequest(Message):
    """One picture with the attributes of another."""

    model: Name
    source: PictureSource
    attributes_of: PictureSource
    only: Names | None = None
    """Which attributes; all by default."""


class RetrieveRequest(Message):
    """The pictures most like one."""

    model: Name
    source: PictureSource
    among: Annotated[list[Kept], Field(min_length=1, max_length=4000)]
    """Opened photographs."""
    wanted: Changes = {}
    """Attribute -> 1 must hold, -1 must not."""
    count: Annotated[int, Field(ge=1, le=100), AS_JSON] = 8


class TeachRequest(Message):
    """A new attribute by examples."""

    model: Name
    name: Annotated[str, StringConstraints(strip_whitespace=True, max_length=120)]
    with_: Annotated[list[PictureSource], Field(alias="with", min_length=1, max_length=500)]
    """Pictures that have it."""
    without: Annotated[list[PictureSource], Field(min_length=1, max_length=500)]
    """Pictures that have it not."""


class LayersRequest(Message):
    """A picture in front of another background."""

    model: Name
    source: PictureSource
    background: PictureSource
    changes: Changes = {}


class StudioResponse(BaseModel):
    """The studio itself."""

    version: str
    trains: bool
    """Whether trainings can be seen, started and stopped here."""
    labels: bool
    """Whether pictures say that they were made here."""
    signs: bool
    """Whether what is saved is signed (C2PA)."""
    films: bool
    """Whether films can be written."""


class SliderResponse(BaseModel):
    """One slider."""

    name: str
    kind: Literal["binary", "categorical", "real"]
    group: str | None
    """What it belongs to by the model's own groups."""
    least: float
    most: float
    step: float


class ModelResponse(BaseModel):
    """One model."""

    name: str
    about: str
    method: str
    image_size: int
    hash: str
    drawn: bool
    """Whether it was trained on synthetic (drawn) faces: photographs come out as drawings."""
    calibrated: bool
    judge: str | None
    """The attribute classifier that looks for side effects; null where there is none."""
    own_judge: bool
    """Whether that is the classifier that the model was trained with, which is easily pleased."""
    sliders: list[SliderResponse]
    exclusive: list[list[str]]
    locks: list[str]
    can: dict[str, bool]


class OpenResponse(BaseModel):
    """An opened photograph."""

    photo: str
    width: int
    height: int


class SeenResponse(BaseModel):
    """A picture as a model sees it."""

    input: str | None
    """PNG in base64: cut out and scaled as the model wants it; null of a sample."""
    picture: str
    """PNG in base64: the reconstruction."""
    attributes: dict[str, float]
    """What it was taken to have, 0 or 1 where it is decided."""


class EditResponse(BaseModel):
    """An edited picture."""

    picture: str
    """PNG in base64, with its metadata (receipt) inside."""
    besides: dict[str, float]
    """Attribute -> how much its probability changes although nobody asked for it, as the attribute classifier sees."""


class PicturesResponse(BaseModel):
    """Several pictures."""

    pictures: list[str]
    """PNGs in base64."""
    gif: str | None = None
    mp4: str | None = None
    """Base64, where they were wished for."""


class PictureResponse(BaseModel):
    """One picture."""

    picture: str
    """PNG in base64."""


class Neighbour(BaseModel):
    """A found picture."""

    photo: str
    distance: float


class FoundResponse(BaseModel):
    """Found pictures, the nearest first."""

    found: list[Neighbour]
    searched: int


class TaughtResponse(BaseModel):
    """A taught attribute."""

    axis: str
    """Its name for `axes`."""
    name: str
    sentence: str
    """How sure it is."""


class TaughtSlider(BaseModel):
    """A taught slider that the studio still has."""

    model: str
    name: str
    axis: str
    """Its name for `axes`."""


class Fault(BaseModel):
    """What every answer other than 200 holds."""

    error: str
