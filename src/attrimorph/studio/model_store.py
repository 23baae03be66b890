"""The models that a studio serves, each loaded once, what they can do, and what is edited with them.

Opened photographs and taught axes are kept in memory only, under names that nobody can guess.
"""

import base64
import binascii
import hashlib
import hmac
import itertools
import secrets
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass, replace
from pathlib import Path
from typing import Generic, TypeVar

import numpy as np
import torch
from torch import Tensor

from attrimorph.applications.axes import Axis
from attrimorph.applications.axes.choosing import judge_named, pack_of
from attrimorph.applications.axes.editor import AxisEditor
from attrimorph.applications.edit import (
    EditSource,
    EditTarget,
    found_source,
    generator_of,
    has_codes,
    lockable,
    logits_of,
    misfit,
    moved_code,
    moves_codes,
    put_together,
    rendered,
    sampled_sources,
    shown_in,
    told_edit,
    trained_on,
    unlike,
    whole_frame,
)
from attrimorph.data import Kind
from attrimorph.data.faces import Face, find_faces
from attrimorph.data.images import Frame
from attrimorph.errors import AttrimorphError, suggestion
from attrimorph.evaluators import Judges
from attrimorph.evaluators.judge import Judge, OwnClassifier
from attrimorph.loading import load
from attrimorph.models import named_parts
from attrimorph.models.model import Edits, Encodes, Generates, Groups, Model, Moves, PaintsLayers
from attrimorph.photographs.faces import frames_of
from attrimorph.photographs.fields import Fields
from attrimorph.photographs.file import Photograph
from attrimorph.pictures import Pictures
from attrimorph.requests.receipt import InputFile
from attrimorph.studio.decoder import PhotographReader
from attrimorph.studio.opened import Shown, View

Value = TypeVar("Value")
MIB = 2**20
FACES_BYTES = 8 * MIB  # of found faces
FACE_ALREADY = 512
"""Pixels of the longer side up to which a picture that is a face already is edited at the model's own size."""


class Refused(AttrimorphError):
    """A request that is answered by a status of its own, and a sentence."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status


@dataclass(frozen=True)
class Limits:
    """Numbers beyond which a request is refused, each with an answer of its own.

    Attributes:
        body: bytes of one request (413).
        pixels: of one photograph, looked at before it is decoded (400).
        picture_bytes: of one photograph's pixels (400).
        decode_seconds, decode_bytes: that decoding one may take, in a process of its own (400).
        photographs, photograph_bytes: kept in memory; the longest unused go first (410 when they are asked for).
        decoded_bytes: of photographs that are kept decoded as well; the longest unused are decoded anew when wanted.
        shown_bytes: of parts of photographs as they are shown; the longest unused are made anew when wanted.
        subject_bytes: of photographs as a model holds them, kept in memory.
        pool_bytes: of drawn faces that sliders are taught with.
        in_flight: requests at the same time (503).
        sessions: open websockets (closed with 1013).
        streams: pictures that one session moves at the same time.
        message: bytes of one websocket message (closed with 1009).
        seconds: in which a request must have arrived (408).
        bodies: bytes of the requests that arrive at the same time (503).
        trainings: that the page started and that run at the same time (400).
        connections: at the same time; the longest silent one goes when another comes.
        silent_seconds: in which a connection must send a request, and take something of what it is sent.
        unread: bytes of answers that lie unread, of all connections together; who has most of them goes.
    """

    body: int = 24 * MIB
    pixels: int = 40_000_000
    photographs: int = 4_000
    picture_bytes: int = 160 * MIB
    decode_seconds: float = 10.0
    decode_bytes: int = 1024 * MIB
    photograph_bytes: int = 192 * MIB
    decoded_bytes: int = 192 * MIB
    shown_bytes: int = 64 * MIB
    subject_bytes: int = 128 * MIB
    pool_bytes: int = 64 * MIB
    in_flight: int = 16
    sessions: int = 64
    streams: int = 8
    message: int = 64 * 2**10
    seconds: float = 30.0
    bodies: int = 96 * MIB
    trainings: int = 2
    connections: int = 512
    silent_seconds: float = 10.0
    unread: int = 96 * MIB


@dataclass(frozen=True)
class Slider:
    """One attribute, or one value of a categorical one, that a model can change.

    Attributes:
        name: as `changes` names it.
        kind: binary, categorical or real.
        group: what it belongs to by the model's own groups; None where it has none.
        least, most, step: of its strengths.
    """

    name: str
    kind: Kind
    group: str | None = None
    least: float = -1.0
    most: float = 1.0
    step: float = 0.01


def sliders(model: Model) -> list[Slider]:
    """Return what can be changed with the model, in the order of its schema, or of its axes."""
    if isinstance(model, Moves):
        return [Slider(name, "binary") for name in model.axis_names]
    if not (isinstance(model, Edits) or moves_codes(model)):
        return []
    found = []
    for name in model.schema.column_names:
        kind = model.schema.find(name)[0].kind
        far = 3.0 if kind == "real" else 1.0
        found.append(Slider(name, kind, least=-far, most=far))
    if not model.knows_strengths:
        return [replace(each, step=1.0) for each in found if each.name in model.editable]
    if isinstance(model, Groups):
        groups = {name: group for group, names in model.groups.items() for name in names}
        pairs = [(each, groups.get(model.schema.find(each.name)[0].name)) for each in found]
        return [replace(each, group=group) for each, group in pairs if group is not None]
    return found


def can(model: Model) -> dict[str, bool]:
    """Tell what a model can do, for pages that show only what works."""
    return {
        "edit": isinstance(model, Edits) or moves_codes(model),
        "photograph": isinstance(model, Edits) or has_codes(model),
        "encode": isinstance(generator_of(model), Encodes),
        "search": has_codes(model) and not isinstance(generator_of(model), Encodes),
        "sample": samples(model),
        "lock": moves_codes(model),
        "teach": isinstance(generator_of(model), Generates),
        "layers": isinstance(model, PaintsLayers),
    }


def samples(model: Model) -> bool:
    """Tell whether the model draws pictures of its own."""
    try:
        model.sample_codes(1, torch.Generator().manual_seed(0))
    except AttrimorphError:
        return False
    return True


@dataclass(frozen=True, eq=False)
class Served:
    """A model with what the studio needs besides.

    Attributes:
        name: by which clients call it; model_name: as the user named it.
        judge: who sees what an edit does; None where nobody can.
        sliders, locks: what can be changed, and what can be locked.
        can: what it can do, by word.
    """

    name: str
    model_name: str
    model: Model
    judge: Judges | None
    sliders: tuple[Slider, ...]
    locks: tuple[str, ...]
    can: Mapping[str, bool]


@dataclass(frozen=True, eq=False)
class Seen:
    """A subject, and how it looks before any edit.

    Attributes:
        subject: of one model.
        picture: what the model makes of it, [1, 3, S, S]; the reconstruction of a photograph.
        probabilities, logits: what the judge says of it without any change, [W], and of `picture`, [1, W]; None without
            a judge.
        frame: where in its photograph the subject lies; None of a sample, and of a picture that is a face already.
        said: sentences on whether its edits can be trusted.
    """

    subject: EditSource
    picture: Tensor
    probabilities: Tensor | None
    logits: Tensor | None
    frame: Frame | None = None
    said: tuple[str, ...] = ()

    @property
    def photograph(self) -> bool:
        """Whether it is one, or a sample."""
        return self.subject.image is not None

    @property
    def shown(self) -> Tensor:
        """What a model is shown of it, [1, 3, S, S]: the photograph, or the sample."""
        return self.picture if self.subject.image is None else self.subject.image


@dataclass(frozen=True)
class Origin:
    """Where a subject comes from.

    Attributes:
        photo: the name of an opened photograph, or None.
        face: which of the photograph's, 1 the largest; 0: it is a face already; None: the largest that there is.
        seed: of a sample, where there is no photograph.
        held: what is set on the sample, as (attribute, strength) pairs.
        known: what is known of the photograph, as (attribute, 0 or 1) pairs.
    """

    photo: str | None = None
    face: int | None = None
    seed: int = 0
    held: tuple[tuple[str, float], ...] = ()
    known: tuple[tuple[str, float], ...] = ()


class ModelStore:
    """All that the studio holds in memory.

    Args:
        sources: models as the user names them.
        device: where they run.
        limits: of what is kept.

    Raises:
        AttrimorphError: a model cannot be loaded, or does nothing that the studio shows.
    """

    def __init__(self, sources: Sequence[str], device: str, limits: Limits) -> None:
        self.limits, self.device = limits, device
        self.photographs: ContentStore[bytes] = ContentStore(limits.photographs, limits.photograph_bytes)
        self.decoder = PhotographReader(limits.decode_seconds, limits.decode_bytes, limits.picture_bytes)
        self._opened: LRUCache[Photograph] = LRUCache(limits.decoded_bytes, weight)
        self._shown: LRUCache[Shown] = LRUCache(limits.shown_bytes, weight)
        self._faces: LRUCache[list[Face]] = LRUCache(FACES_BYTES, weight)
        self.axes: ContentStore[Axis] = ContentStore(1_000, 64 * 2**20)
        self._seen: LRUCache[Seen] = LRUCache(limits.subject_bytes, weight)
        self._taught: dict[tuple[str, str], str] = {}
        self._teaching, self._searching = threading.Lock(), threading.Lock()
        self.models: dict[str, Served] = {}
        for source in sources:
            served = _serve(source, device, taken=self.models)
            self.models[served.name] = served

    def served(self, name: str) -> Served:
        """Return a model by its name.

        Raises:
            AttrimorphError: there is none.
        """
        if name not in self.models:
            raise AttrimorphError(f"this studio has no model {name!r}; {suggestion(name, self.models)}")
        return self.models[name]

    def open(self, content: bytes) -> tuple[str, Photograph]:
        """Keep a photograph; return its name and what it holds. Decoding takes time: call it from a thread.

        Raises:
            AttrimorphError: it is no picture, or too large.
        """
        name = self.photographs.name(content)
        opened = self._opened.get(name, lambda: self.decoder.read(content, self.limits.pixels))
        return self.photographs.keep(content, content), opened

    def open_base64(self, text: str) -> str:
        """Keep a photograph that came in base64; return its name. Decoding takes time: call it from a thread.

        Raises:
            AttrimorphError: it is no picture, or too large.
        """
        return self.open(decode_base64(text, "image"))[0]

    def opened(self, name: str) -> Photograph:
        """Return an opened photograph.

        Raises:
            Gone: it is no longer kept.
        """
        content = self.photographs.get(name)
        return self._opened.get(name, lambda: self.decoder.read(content, self.limits.pixels))

    def is_ready(self, name: str, face: int | None) -> bool:
        """Tell whether nothing that takes long is left to do before a photograph's `Origin.face` is edited."""
        return name in self._opened and (face == 0 or name in self._faces)

    def make_ready(self, name: str, face: int | None) -> None:
        """Decode an opened photograph, and look for faces where one is wanted. Call it from a thread.

        Raises:
            Gone: it is no longer kept.
        """
        self.opened(name)
        if face != 0:
            self.faces(name)

    def file(self, name: str, called: str) -> InputFile:
        """Return what a receipt says of an opened photograph's file, `called` so by its owner.

        Raises:
            Gone: it is no longer kept.
        """
        return InputFile(path=called or "photograph", sha256=hashlib.sha256(self.photographs.get(name)).hexdigest())

    def shown(self, name: str, view: View) -> Shown:
        """Return a part of an opened photograph as large as it is shown.

        Raises:
            Gone: it is no longer kept.
            AttrimorphError: the part lies outside.
        """
        self.photographs.get(name)
        return self._shown.get((name, view), lambda: Shown.of(self.opened(name), view))

    def faces(self, name: str) -> list[Face]:
        """Return the faces of an opened photograph, the largest first. It takes time: call it from a thread.

        Raises:
            Gone: it is no longer kept.
        """
        self.photographs.get(name)

        def searched() -> list[Face]:
            # One at a time: each holds a photograph several times over.
            with self._searching:
                return find_faces(self.opened(name).rgb())

        return self._faces.get(name, searched)

    def keep_axis(self, served: Served, axis: Axis) -> str:
        """Keep a taught axis as a slider of a model, in place of any of that name; return the axis's name."""
        content = axis.direction.numpy().tobytes() + axis.name.encode() + served.name.encode()
        name = self.axes.keep(content, axis)
        with self._teaching:
            kept = {slider: other for slider, other in self._taught.items() if other in self.axes}
            self._taught = kept | {(served.name, axis.name): name}
        return name

    def taught_sliders(self) -> list[tuple[str, str, str]]:
        """Return the taught sliders that are kept: model, name and axis of each, in the order of teaching."""
        return [(model, name, axis) for (model, name), axis in self._taught.items() if axis in self.axes]

    def taught(self, names: Sequence[str]) -> tuple[Axis, ...]:
        """Return taught axes.

        Raises:
            Gone: one is no longer kept.
        """
        return tuple(self.axes.get(name) for name in names)

    def seen(self, served: Served, origin: Origin) -> Seen:
        """Return a subject as a model holds it; the caller has the device.

        Raises:
            Gone: the photograph is no longer kept.
            AttrimorphError: the model cannot take it.
        """
        if origin.photo is not None:
            self.photographs.get(origin.photo)
        return self._seen.get((served.name, origin), lambda: self._look(served, origin))

    @torch.no_grad()
    def _look(self, served: Served, origin: Origin) -> Seen:
        model, frame = served.model, None
        said: list[str] = []
        if origin.photo is not None:
            image, frame, said = self._framed(model, origin.photo, origin.face)
            subject = found_source(model, image, dict(origin.known))
        else:
            subject = sampled_sources(model, 1, origin.seed, dict(origin.held))[0]
        picture = rendered(model, [subject], [moved_code(model, subject, EditTarget())], [EditTarget()])
        said += [] if subject.image is None else unlike(model, subject.image, picture)
        if served.judge is None:
            return Seen(subject, picture, None, None, frame, tuple(said))
        probabilities = served.judge(picture if subject.image is None else subject.image)[0].cpu()
        return Seen(subject, picture, probabilities, logits_of(served.judge, picture), frame, tuple(said))

    def _framed(self, model: Model, photo: str, face: int | None) -> tuple[Pictures, Frame | None, list[str]]:
        """Return what a model is shown of a photograph, and where it lies there, see `Seen.frame`; and what is to be
        said of the face."""
        image = self.opened(photo).rgb()
        whole = whole_frame(model, image)
        which = str(face) if face else "largest"
        (frame,), said = frames_of(
            image, whole, which, aligned=face == 0, find=lambda _: self.faces(photo), **trained_on(model)
        )  # fmt: skip
        shown = shown_in(model, image, frame)
        # The others name options of the command.
        said = misfit(model, image) + [sentence for sentence in said if "--" not in sentence]
        return shown, None if frame == whole and max(image.size) <= FACE_ALREADY else frame, said

    @torch.inference_mode()
    def pictures(
        self, served: Served, seen: Sequence[Seen], targets: Sequence[EditTarget]
    ) -> tuple[Tensor, list[Fields | None]]:
        """Return the pictures of several targets, decoded together, [B, 3, S, S], and of photographs the fields that
        make them; the caller has the device."""
        model, subjects = served.model, [each.subject for each in seen]
        found: list[tuple[Pictures, Fields | None]] = [
            told
            for subject, target in zip(subjects, targets, strict=True)
            if (told := told_edit(model, subject.image, target.changes, subject.attributes, locks=target.locks))
        ]
        if len(found) < len(seen):  # the model tells none
            codes = [
                moved_code(model, each.subject, target, served.judge, each.logits)
                for each, target in zip(seen, targets, strict=True)
            ]
            pictures = rendered(model, subjects, codes, targets)
            found = [
                (picture.as_subclass(Pictures), None)
                if each.subject.image is None
                else put_together(each.subject.image, each.picture, picture)
                for each, picture in zip(seen, pictures[:, None], strict=True)
            ]
        return torch.cat([shown.as_subclass(Tensor) for shown, _ in found]), [fields for _, fields in found]


def _serve(source: str, device: str, taken: Mapping[str, Served]) -> Served:
    model = load(source, device)
    if not can(model)["edit"] and has_codes(model) and (pack := pack_of(source)) is not None:
        model = AxisEditor(model, pack)
    able = can(model)
    if not able["edit"] and not able["sample"]:
        raise AttrimorphError(
            f"the studio shows models that edit or sample; {source} ({model.recipe.method}) does neither; name another"
        )
    try:
        judge: Judges | None = judge_named(None, model)
    except AttrimorphError:
        judge = None
    name = ",".join(map(_short, named_parts(source))) or model.recipe.name
    if name in taken:
        name = next(f"{name}-{number}" for number in range(2, len(taken) + 3) if f"{name}-{number}" not in taken)
    locks: tuple[str, ...] = ()
    if isinstance(model, Moves):
        locks = model.axis_names
    elif judge is not None and able["lock"]:
        locks = tuple(lockable(model.schema, judge.schema))
    able |= {"lock": bool(locks), "teach": able["teach"] and isinstance(judge, Judge | OwnClassifier)}
    return Served(name, source, model, judge, tuple(sliders(model)), locks, able)


def _short(source: str) -> str:
    path = Path(source)
    return path.parent.name if path.name == "model.safetensors" else path.stem if path.is_file() else path.name


def decode_base64(text: str, what: str) -> bytes:
    """Read base64, with or without the head of a data URL.

    Raises:
        AttrimorphError: it is none.
    """
    try:
        return base64.b64decode(text.partition(",")[2] if text.startswith("data:") else text, validate=True)
    except (ValueError, binascii.Error) as error:
        raise AttrimorphError(f"{what} must be base64; it is not; encode the file's bytes") from error


class Gone(Refused):
    """What was asked for is not kept, or no longer: the client sends it again."""

    def __init__(self) -> None:
        super().__init__(410, "this photograph or taught slider is no longer kept; open or teach it again")


class ContentStore(Generic[Value]):
    """The newest things, by a name that follows from their content and a secret of this process.

    So that the same photograph is kept once, and knowing a name means having had the photograph.

    Args:
        most: how many are kept.
        most_bytes: how large they are together.
    """

    def __init__(self, most: int, most_bytes: int) -> None:
        self.most, self.most_bytes, self.bytes = most, most_bytes, 0
        self._secret, self._lock = secrets.token_bytes(32), threading.Lock()
        self._kept: OrderedDict[str, tuple[Value, int]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._kept)

    def __contains__(self, name: str) -> bool:
        return name in self._kept

    def name(self, content: bytes) -> str:
        """Return the name of a content, kept or not."""
        return hmac.new(self._secret, content, hashlib.sha256).hexdigest()[:40]

    def keep(self, content: bytes, value: Value) -> str:
        """Keep a value under the name of its content; forget the longest unused where there are too many."""
        name = self.name(content)
        with self._lock:
            if name not in self._kept:
                self._kept[name] = (value, len(content))
                self.bytes += len(content)
            self._kept.move_to_end(name)
            while len(self._kept) > self.most or (self.bytes > self.most_bytes and len(self._kept) > 1):
                _, (_, size) = self._kept.popitem(last=False)
                self.bytes -= size
        return name

    def get(self, name: str) -> Value:
        """Return what is kept under a name.

        Raises:
            Gone: nothing is.
        """
        with self._lock:
            if name not in self._kept:
                raise Gone
            self._kept.move_to_end(name)
            return self._kept[name][0]


def weight(value: object) -> int:
    """Return about how many bytes a value holds: tensors, arrays, bytes, and what is made of them."""
    if isinstance(value, Tensor):
        return 64 + value.untyped_storage().nbytes()
    if isinstance(value, np.ndarray):
        return 64 + value.nbytes
    if isinstance(value, bytes | bytearray | str):
        return 64 + len(value)
    parts: Iterable[object] = ()
    if isinstance(value, Mapping):
        parts = itertools.chain(value, value.values())
    elif isinstance(value, list | tuple | set):
        parts = value
    elif is_dataclass(value):
        parts = (getattr(value, each.name) for each in fields(value))
    return 64 + sum(map(weight, parts))


class LRUCache(Generic[Value]):
    """Results that are looked for again and again; the longest unused are forgotten.

    Args:
        most: how many are kept, or how much they weigh together; one is always kept.
        weigh: what one weighs.
    """

    def __init__(self, most: int, weigh: Callable[[Value], int] = lambda _: 1) -> None:
        self.most, self._weigh, self._lock = most, weigh, threading.Lock()
        self._weight = 0
        self._found: OrderedDict[Hashable, Value] = OrderedDict()

    def __contains__(self, key: Hashable) -> bool:
        return key in self._found

    def get(self, key: Hashable, find: Callable[[], Value]) -> Value:
        """Return the value of a key, found by `find` the first time."""
        with self._lock:
            if key in self._found:
                self._found.move_to_end(key)
                return self._found[key]
        value = find()
        with self._lock:
            if key not in self._found:
                self._found[key] = value
                self._weight += self._weigh(value)
            while self._weight > self.most and len(self._found) > 1:
                self._weight -= self._weigh(self._found.popitem(last=False)[1])
        return value
