"""What clients ask and are answered: every word of the API, checked before anything is done.

A verb's own request (`attrimorph.requests`) names files of the person who asks; these name photographs that were sent.
"""

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, model_validator

from attrimorph.recipe import meanings_of
from attrimorph.requests import Changes, Facts, Name
from attrimorph.studio.model_store import Origin, Slider
from attrimorph.studio.opened import View

MIB = 2**20


def _number(value: object) -> object:
    if isinstance(value, bool | str):
        raise ValueError("must be a number")
    return value


AS_JSON = BeforeValidator(_number)
"""A whole number as JSON Schema has it: 3 and 3.0, neither true nor "3". It stands last, or the schema loses limits."""
Kept = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{40}$")]
"""The name under which the studio keeps a photograph or an axis."""
Base64 = Annotated[str, StringConstraints(min_length=4, max_length=32 * MIB)]
Names = Annotated[list[Name], Field(max_length=200)]
Seed = Annotated[int, Field(ge=0, lt=2**53), AS_JSON]
Pixel = Annotated[int, Field(ge=0, le=100_000), AS_JSON]
Switch = Annotated[bool, Field(strict=True)]


Steps = Annotated[int, Field(ge=2, le=96), AS_JSON]


def _describe(schema: dict[str, Any], kind: type[BaseModel]) -> None:
    """Put what a class says of its fields into its JSON schema."""
    schema["description"] = schema["description"].partition("\n\nAttributes:")[0]
    meanings = meanings_of(kind)
    for name, field in kind.model_fields.items():
        if name in meanings:
            schema["properties"][field.alias or name].setdefault("description", meanings[name])


class Answer(BaseModel):
    """What is answered."""

    model_config = ConfigDict(json_schema_extra=_describe)


class Message(Answer):
    """What is asked: an unknown word is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def _one_of(schema: dict[str, Any], kind: type[BaseModel]) -> None:
    _describe(schema, kind)
    kinds = {"photo": "string", "image": "string", "seed": "integer"}
    schema["oneOf"] = [{"required": [name], "properties": {name: {"type": type_}}} for name, type_ in kinds.items()]


class PictureSource(Message):
    """A picture: a photograph that was opened, a file's bytes, or a sample of the model.

    Attributes:
        photo: The name that `/api/open` gave.
        image: A picture file, in base64; for programs that send it once.
        face: Which of a photograph's faces, as `/api/open` numbers them, 1 the largest, which is taken by default; 0 =
            the picture is a face already.
        seed: A sample of the model.
        held: What is set on the sample.
        known: Attribute -> 0 or 1: what is known of the photograph; the rest is guessed.
    """

    model_config = ConfigDict(json_schema_extra=_one_of)

    photo: Kept | None = None
    image: Base64 | None = None
    face: Annotated[int, Field(ge=0, le=1000), AS_JSON] | None = None
    seed: Seed | None = None
    held: Changes = {}
    known: Facts = {}

    @model_validator(mode="after")
    def _one(self) -> Self:
        if sum(each is not None for each in (self.photo, self.image, self.seed)) != 1:
            raise ValueError("a source must be one of photo, image and seed")
        return self

    def origin(self, photo: str | None = None) -> Origin:
        """Return where the subject comes from; `photo` is the name of what `image` held."""
        return Origin(
            photo or self.photo,
            self.face,
            self.seed or 0,
            tuple(sorted(self.held.items())),
            tuple(sorted(self.known.items())),
        )


class ModelRequest(Message):
    """What is asked of a model.

    Attributes:
        model: One of `/api/models`.
    """

    model: Name


class PictureRequest(ModelRequest):
    """What is asked of a model and a picture."""

    source: PictureSource


class PhotographView(Message):
    """What is shown of a whole photograph.

    Attributes:
        box: Which part: left, upper, right, lower, in its pixels; null: all of it.
        width: Pixels across the picture; at most as many as the part has, and 2,048 a side. 1,280 for the longer side
            where it is not said.
    """

    box: tuple[Pixel, Pixel, Pixel, Pixel] | None = None
    width: Annotated[int, Field(ge=1, le=100_000), AS_JSON] | None = None

    def view(self) -> View:
        """Return it as the studio takes it."""
        return View(self.box, self.width)


class EditRequest(PictureRequest):
    """What every edit says: the whole state, so that the studio need not remember any.

    Attributes:
        changes: Attribute -> strength: 0 unchanged, 1 set, -1 taken away, 0.5 half-way.
        locks: Attributes that stay as the attribute classifier (judge) sees them.
        axes: Taught latent directions (axes) that `changes` names.
        view: What is shown of a whole photograph; plays no part in what is saved.
        file: What the photograph's file is called; a replay looks for it beside the saved one.
    """

    changes: Changes = {}
    locks: Names = []
    axes: Annotated[list[Kept], Field(max_length=20)] = []
    view: PhotographView = PhotographView()
    file: Annotated[str, StringConstraints(max_length=255)] = ""


class LiveEdit(EditRequest):
    """One message of the websocket.

    Attributes:
        stream: Which picture of the page.
        number: Counts up; comes back with the picture.
        format: "rgba": bare bytes, row by row; "png": exactly the picture that is saved.
        watch: Whether side effects are looked for; otherwise `besides` comes back as null.
    """

    stream: Annotated[int, Field(ge=0, le=63), AS_JSON]
    number: Annotated[int, Field(ge=0, lt=2**53), AS_JSON]
    format: Literal["rgba", "jpeg", "webp", "png"] = "jpeg"
    watch: Switch = True


class SampleRequest(ModelRequest):
    """New pictures.

    Attributes:
        seed: Picture i is the sample of seed + i.
        changes: What is set on all of them.
    """

    count: Annotated[int, Field(ge=1, le=64), AS_JSON] = 16
    seed: Seed = 0
    changes: Changes = {}


class MorphRequest(ModelRequest):
    """The way from one picture to another.

    Attributes:
        gif: Whether an animation there and back is made.
        mp4: Whether a film there and back is made; needs `films` of `/api/studio`.
    """

    first: PictureSource
    second: PictureSource
    steps: Steps = 24
    path: Literal["linear", "slerp", "uniform", "pixel"] = "linear"
    gif: Switch = False
    mp4: Switch = False


class InpaintRequest(PictureRequest):
    """A hole to be filled.

    Attributes:
        mask: A square picture as the model sees the photograph; white, or transparent, where the hole is.
    """

    mask: Base64
    times: Annotated[int, Field(ge=1, le=50), AS_JSON] = 10
    feather: Annotated[int, Field(ge=0, le=16), AS_JSON] = 4
    known: Facts = {}


class TransferRequest(PictureRequest):
    """One picture with the attributes of another.

    Attributes:
        only: Which attributes; all by default.
    """

    attributes_of: PictureSource
    only: Names | None = None


class RetrieveRequest(PictureRequest):
    """The pictures most like one.

    Attributes:
        among: Opened photographs.
        wanted: Attribute -> 1 must hold, -1 must not.
    """

    among: Annotated[list[Kept], Field(min_length=1, max_length=4000)]
    wanted: Changes = {}
    count: Annotated[int, Field(ge=1, le=100), AS_JSON] = 8


class TeachRequest(ModelRequest):
    """A new attribute by examples.

    Attributes:
        with_: Pictures that have it.
        without: Pictures that have it not.
    """

    name: Annotated[str, StringConstraints(strip_whitespace=True, max_length=120)]
    with_: Annotated[list[PictureSource], Field(alias="with", min_length=1, max_length=500)]
    without: Annotated[list[PictureSource], Field(min_length=1, max_length=500)]


class LayersRequest(PictureRequest):
    """A picture in front of another background."""

    background: PictureSource
    changes: Changes = {}


class StudioResponse(Answer):
    """The studio itself.

    Attributes:
        trains: Whether trainings can be seen, started and stopped here.
        labels: Whether pictures say that they were made here.
        signs: Whether what is saved is signed (C2PA).
        films: Whether films can be written.
        example: Whether there is a photograph to begin with, at /example.jpg: a model of photographs is served.
    """

    version: str
    trains: bool
    labels: bool
    signs: bool
    films: bool
    example: bool


class ModelResponse(Answer):
    """One model.

    Attributes:
        drawn: Whether it was trained on synthetic (drawn) faces: photographs come out as drawings.
        judge: The attribute classifier that looks for side effects; null where there is none.
        own_judge: Whether that is the classifier that the model was trained with, which is easily pleased.
    """

    name: str
    about: str
    method: str
    image_size: int
    hash: str
    drawn: bool
    calibrated: bool
    judge: str | None
    own_judge: bool
    sliders: list[Slider]
    exclusive: list[list[str]]
    locks: list[str]
    can: dict[str, bool]


Corners = list[tuple[float, float]]
"""The four corners of a face's frame, in pixels of the upright photograph."""


class OpenResponse(Answer):
    """An opened photograph.

    Attributes:
        faces: The frames of its faces, the largest first: corners (x, y) in its pixels.
        notes: Sentences on what its format cannot hold as it was.
        fits: Of the shipped models of drawn faces and of photographs the one that fits it; null unless both are served.
    """

    photo: str
    width: int
    height: int
    faces: list[Corners]
    notes: list[str]
    fits: str | None


class PictureResponse(Answer):
    """One picture.

    Attributes:
        picture: PNG in base64.
    """

    picture: str


class SeenResponse(PictureResponse):
    """A picture as a model sees it, its reconstruction.

    Attributes:
        input: PNG in base64: cut out and scaled as the model wants it; null of a sample.
        attributes: What it was taken to have, 0 or 1 where it is decided.
        frame: Where in a photograph the picture lies, corners (x, y) in its pixels; null of a sample, and of a picture
            that is a face already.
        screen: What `view` asks for of the whole photograph, PNG in base64; null where there is no frame.
        said: Sentences on why edits of it may not come out well.
    """

    input: str | None
    attributes: dict[str, float]
    frame: Corners | None = None
    screen: str | None = None
    said: list[str] = []


class EditResponse(PictureResponse):
    """An edited picture with its metadata (receipt) inside: a PNG, or a whole photograph, changed in its frame, in its
    own size and format.

    Attributes:
        picture: In base64.
        suffix: The ending of a file of its format, such as ".jpg".
        besides: Attribute -> how much its probability changes although nobody asked for it, as the attribute
            classifier sees.
    """

    suffix: str
    besides: dict[str, float]


class PicturesResponse(Answer):
    """Several pictures.

    Attributes:
        pictures: PNGs in base64.
        gif: An animation in base64, where it was wished for.
        mp4: A film in base64, where it was wished for.
    """

    pictures: list[str]
    gif: str | None = None
    mp4: str | None = None


class Neighbour(Answer):
    """A found picture."""

    photo: str
    distance: float


class FoundResponse(Answer):
    """Found pictures, the nearest first."""

    found: list[Neighbour]
    searched: int


class TaughtSlider(Answer):
    """A taught slider that the studio still has.

    Attributes:
        axis: Its name for `axes`.
    """

    model: str
    name: str
    axis: str


class TaughtResponse(TaughtSlider):
    """A taught attribute.

    Attributes:
        sentence: How sure it is.
    """

    sentence: str


class Fault(Answer):
    """What every answer other than 200 holds."""

    error: str
