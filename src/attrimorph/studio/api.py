"""The studio over HTTP: what a page or a program asks for once, done by the functions that the command line calls."""

import asyncio
import base64
import functools
import hashlib
import os
import re
import sys
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Annotated, Any, Concatenate, ParamSpec, TypeVar

import numpy as np
import torch
from fastapi import APIRouter, Body
from numpy.typing import NDArray
from PIL import Image
from pydantic import BaseModel
from torch import Tensor

from attrimorph.applications.axes.examples import Pool, axis_from_examples, draw_pool, sentence
from attrimorph.applications.edit import EditTarget, side_effects
from attrimorph.applications.filling import hole_of
from attrimorph.applications.gallery import Codes, Gallery
from attrimorph.applications.generating import transfer
from attrimorph.applications.morph import morph
from attrimorph.applications.neighbours import retrieve
from attrimorph.applications.provenance import Kind, Signature, xmp_of
from attrimorph.data.images import Frame, aligned_frame, looks_drawn
from attrimorph.errors import AttrimorphError
from attrimorph.evaluators.judge import Judge, OwnClassifier
from attrimorph.models import DRAWN, EDITORS, PHOTOGRAPHS
from attrimorph.pictures import can_film, check_video, frames, gif_bytes, mp4_bytes, png_bytes, to_pil
from attrimorph.requests.receipt import tag_of
from attrimorph.requests.saved import inpainted_png, layered_png, saved_photograph, saved_png
from attrimorph.studio import messages as say
from attrimorph.studio.model_store import LRUCache, ModelStore, Origin, Seen, Served, decode_base64, weight
from attrimorph.studio.render_queue import LEAST, RenderQueue, encoded
from attrimorph.version import __version__

P = ParamSpec("P")
Result = TypeVar("Result")
LARGEST_MASK = 4_000_000  # pixels
KINDS: dict[str, Kind] = {"JPEG": "image/jpeg", "PNG": "image/png", "WEBP": "image/webp", "TIFF": "image/tiff"}
"""Formats of photographs that can be signed."""
FAULTS: dict[int | str, dict[str, Any]] = {
    status: {"model": say.Fault, "description": words}
    for status, words in {
        400: "What was asked for cannot be done; the sentence says why.",
        401: "The token is missing.",
        403: "Another site's page asked.",
        408: "The request did not arrive in time.",
        410: "A photograph or a taught slider is no longer kept: send it again.",
        413: "The request is too large.",
        421: "The studio was called by a foreign name.",
        422: "The request is not of the form that is described here.",
        503: "Too many requests at the same time.",
    }.items()
}


def on_device(
    work: Callable[Concatenate["Api", P], Result],
) -> Callable[Concatenate["Api", P], Coroutine[Any, Any, Result]]:
    """Make a route of work that computes: it has the device, in a thread, while pages are served."""

    @functools.wraps(work)
    async def route(api: "Api", /, *words: P.args, **keywords: P.kwargs) -> Result:
        def task() -> Result:
            for request in (*words, *keywords.values()):
                api.open_all(request)
            with api.queue.device, torch.no_grad():
                return work(api, *words, **keywords)

        return await asyncio.get_running_loop().run_in_executor(api.threads, task)

    return route


class Api:
    """The routes.

    Args:
        store: where models and photographs are.
        queue: whose live edits go first while long work is done.
        label: whether pictures say that they were made here.
        signature: who signs what is saved, where it is labelled; None = nobody.
        trains: whether there are routes for trainings beside these.
    """

    def __init__(
        self, store: ModelStore, queue: RenderQueue, *, label: bool, signature: Signature | None, trains: bool
    ) -> None:
        self.store, self.queue, self.label, self.trains = store, queue, label, trains
        self.signature = signature if label else None
        self.pools: LRUCache[Pool] = LRUCache(store.limits.pool_bytes, weight)
        self.masks: LRUCache[Image.Image] = LRUCache(4)
        self.threads = ThreadPoolExecutor(2, thread_name_prefix="studio work")
        # Faces are looked for beside the sliders that others move.
        self.opening = ThreadPoolExecutor(2, thread_name_prefix="studio open", initializer=_give_way)
        self.router = APIRouter(prefix="/api", responses=FAULTS)
        posted: Sequence[Callable[..., Any]] = (
            self.open, self.reconstruct, self.edit, self.sample, self.morph, self.inpaint, self.transfer, self.retrieve,
            self.teach, self.layers,
        )  # fmt: skip
        asked: Sequence[Callable[..., Any]] = (self.models, self.taught, self.studio)
        for method, routes in (("POST", posted), ("GET", asked)):
            for route in routes:
                self.router.add_api_route(f"/{route.__name__}", route, methods=[method])

    def close(self) -> None:
        """End the threads and the processes."""
        for threads in (self.threads, self.opening):
            threads.shutdown(wait=False, cancel_futures=True)
        self.store.decoder.close()

    async def studio(self) -> say.StudioResponse:
        """Tell of the studio itself."""
        return say.StudioResponse(
            version=__version__, trains=self.trains, labels=self.label, signs=self.signature is not None,
            films=can_film(), example=PHOTOGRAPHS in self.store.models,
        )  # fmt: skip

    async def models(self) -> list[say.ModelResponse]:
        """Tell which models there are and what they can do."""
        return [model_response(served) for served in self.store.models.values()]

    async def taught(self) -> list[say.TaughtSlider]:
        """Tell which taught sliders there are; they stay as long as the studio runs."""
        found = self.store.taught_sliders()
        return [say.TaughtSlider(model=model, name=name, axis=axis) for model, name, axis in found]

    async def open(
        self, content: Annotated[bytes, Body(media_type="application/octet-stream", min_length=1)]
    ) -> say.OpenResponse:
        """Open a photograph: its bytes are the body. It stays in memory, for a while, and is never written."""

        def work() -> say.OpenResponse:
            name, opened = self.store.open(content)
            (width, height), notes = opened.size, list(opened.notes)
            fits = None
            if EDITORS.keys() <= self.store.models.keys():
                fits = DRAWN if looks_drawn(opened.rgb()) else PHOTOGRAPHS
            del opened  # which is large: others may be looked through first
            faces = [corners(aligned_frame(face.eyes, 1)) for face in self.store.faces(name)]
            return say.OpenResponse(photo=name, width=width, height=height, faces=faces, notes=notes, fits=fits)

        return await asyncio.get_running_loop().run_in_executor(self.opening, work)

    @on_device
    def reconstruct(self, request: say.EditRequest) -> say.SeenResponse:
        """Show a picture as the model sees it, and what it is taken to have; changes play no part."""
        served, seen = self._seen(request.model, request.source)
        image = seen.subject.image
        pairs = zip(served.model.schema.column_names, seen.subject.attributes[0].tolist(), strict=True)
        return say.SeenResponse(
            input=None if image is None else base64.b64encode(png_bytes(to_pil(image)[0])).decode(),
            picture=self._pngs(seen.picture, "reconstruct", served, seen.photograph)[0],
            attributes={name: round(value, 3) for name, value in pairs if value == value},
            frame=None if seen.frame is None else corners(seen.frame),
            screen=None if seen.frame is None else self._screen(request),
            said=list(seen.said),
        )

    @on_device
    def edit(self, request: say.EditRequest) -> say.EditResponse:
        """Change attributes. A photograph comes back whole, in its own size and format, changed within the face's
        frame; what is a face already, and a sample, as a PNG. It carries its metadata (receipt), of which `attrimorph
        replay` makes it again, of a photograph with the original beside it."""
        served, seen = self._seen(request.model, request.source)
        target = EditTarget(request.changes, tuple(request.locks), self.store.taught(request.axes))
        pictures, _ = self.store.pictures(served, [seen], [target])
        words: dict[str, Any] = {"model_name": served.model_name, "label": self.label}
        suffix = ".png"
        kind: Kind | None = "image/png"
        if seen.frame is not None:
            photo = str(self._photo(request.source))
            photograph, file = self.store.opened(photo), self.store.file(photo, request.file)
            content = saved_photograph(
                served.model, seen.subject, target, served.judge, photograph, seen.frame, file, **words
            )
            suffix, kind = photograph.suffix, KINDS.get(photograph.format)
        else:
            content = saved_png(served.model, seen.subject, target, served.judge, **words)
        besides: dict[str, float] = {}
        if served.judge is not None and seen.probabilities is not None:
            after = served.judge(pictures)[0].cpu()
            besides = side_effects(served.judge.schema, seen.probabilities, after, target.changes, LEAST)
        return say.EditResponse(picture=self._signed(content, kind, seen.photograph), suffix=suffix, besides=besides)

    @on_device
    def sample(self, request: say.SampleRequest) -> say.PicturesResponse:
        """Draw new pictures; the source {"seed": seed + i, "held": changes} is picture i in every other request."""
        served, held = self.store.served(request.model), tuple(sorted(request.changes.items()))
        seen = [
            self.store.seen(served, Origin(seed=request.seed + number, held=held)) for number in range(request.count)
        ]
        return say.PicturesResponse(
            pictures=self._pngs(torch.cat([each.picture for each in seen]), "sample", served, False)
        )

    @on_device
    def morph(self, request: say.MorphRequest) -> say.PicturesResponse:
        """Go from one picture to another; an animation and a film go there and back."""
        if request.mp4:
            check_video()
        (served, first), (_, second) = (self._seen(request.model, source) for source in (request.first, request.second))
        found = morph(
            served.model, first.shown, second.shown, request.steps, path=request.path,
            attributes=(first.subject.attributes, second.subject.attributes),
        )  # fmt: skip
        tag, moving = self._tag("morph", served) or "", {}
        if request.gif:
            moving["gif"] = self._signed(
                gif_bytes(frames(found.images, width=256), tag=tag), "image/gif", first.photograph
            )
        if request.mp4:
            moving["mp4"] = self._signed(
                mp4_bytes(frames(found.images, width=256), tag=tag), "video/mp4", first.photograph
            )
        return say.PicturesResponse(pictures=self._pngs(found.images, "morph", served, first.photograph), **moving)

    @on_device
    def inpaint(self, request: say.InpaintRequest) -> say.PictureResponse:
        """Fill a hole; what lies outside stays. The PNG carries its receipt, as that of an edit does."""
        served, seen = self._seen(request.model, request.source)
        side = served.model.image_size
        drawn = self._mask(request)
        grey = np.array(drawn.resize((side, side), Image.Resampling.BOX))
        hole = torch.from_numpy(grey)[None, None].float().div(255).gt(0.1).float()
        content = inpainted_png(
            served.model, seen.shown, hole, times=request.times, feather=min(request.feather, side),
            known=request.known, photograph=seen.photograph, model_name=served.model_name, label=self.label,
        )  # fmt: skip
        return say.PictureResponse(picture=self._signed(content, "image/png", seen.photograph))

    @on_device
    def transfer(self, request: say.TransferRequest) -> say.PictureResponse:
        """Give a picture the attributes of another."""
        (served, own), (_, other) = (
            self._seen(request.model, source) for source in (request.source, request.attributes_of)
        )
        found = transfer(
            served.model, own.shown, other.shown, only=request.only, attributes=own.subject.attributes,
            source_attributes=other.subject.attributes,
        )  # fmt: skip
        photograph = own.photograph or other.photograph
        content = self._png(to_pil(found.transferred)[0], "transfer", served, photograph)
        return say.PictureResponse(picture=self._signed(content, "image/png", photograph))

    @on_device
    def layers(self, request: say.LayersRequest) -> say.PictureResponse:
        """Put a picture in front of another's background; for models that paint in layers. It carries its receipt."""
        (served, own), (_, other) = (
            self._seen(request.model, source) for source in (request.source, request.background)
        )
        content = layered_png(
            served.model, own.shown, own.subject.attributes, other.shown, request.changes, photograph=own.photograph,
            model_name=served.model_name, label=self.label,
        )  # fmt: skip
        return say.PictureResponse(picture=self._signed(content, "image/png", own.photograph))

    @on_device
    def retrieve(self, request: say.RetrieveRequest) -> say.FoundResponse:
        """Find the opened photographs most like a picture, with the attributes that are wanted."""
        served, own = self._seen(request.model, request.source)
        if own.subject.code is None:
            raise AttrimorphError(
                f"finding needs a model that describes faces by codes; {served.name!r} does not; use drawn-faces-64"
            )
        codes = []
        for name in request.among:
            code = self.store.seen(served, Origin(name)).subject.code
            assert code is not None
            codes.append(code)
            self.queue.give_way()

        def images(rows: NDArray[np.int64]) -> Tensor:
            return torch.cat([self.store.seen(served, Origin(request.among[row])).shown for row in rows])

        gallery = Gallery(list(request.among), images, None, None, torch.full((len(codes),), -1), "")
        kept = Codes(
            torch.cat([code.z.flatten(1).float().cpu() for code in codes]),
            torch.cat([code.attributes.float().cpu() for code in codes]),
        )
        found = retrieve(
            served.model, own.shown, gallery, count=request.count, wanted=request.wanted,
            attributes=own.subject.attributes, codes=kept,
        )  # fmt: skip
        pairs = zip(found.rows.tolist(), found.distances.tolist(), strict=True)
        near = [say.Neighbour(photo=request.among[row], distance=round(distance, 6)) for row, distance in pairs]
        return say.FoundResponse(found=near, searched=found.searched)

    @on_device
    def teach(self, request: say.TeachRequest) -> say.TaughtResponse:
        """Learn a new attribute from pictures that have it and pictures that have it not."""
        served, name = self.store.served(request.model), request.name
        if not served.can["teach"] or not isinstance(served.judge, Judge | OwnClassifier):
            raise AttrimorphError(
                f"the model {served.name!r} cannot be taught: it makes no faces of its own, or no attribute classifier "
                "(judge) knows them; use another"
            )
        if not re.fullmatch(r"[^=\x00-\x1f]{1,40}", name):
            raise AttrimorphError(f"a slider's name must have 1 to 40 letters and no '='; got {name!r}; rename it")
        if name in served.model.schema.names:
            raise AttrimorphError(f"the model has a slider {name!r} already; choose another name")
        look, by = served.judge.features, f"features of {served.judge.name}"

        def features(images: Tensor) -> Tensor:
            self.queue.give_way()
            return look(images)

        positive, negative = (
            torch.cat([self._seen(request.model, source)[1].shown for source in sources])
            for sources in (request.with_, request.without)
        )
        pool = self.pools.get(served.name, lambda: draw_pool(served.model, features, by=by))
        axis = axis_from_examples(served.model, name, features, positive, negative, by=by, pool=pool)
        return say.TaughtResponse(
            model=served.name, name=name, axis=self.store.keep_axis(served, axis), sentence=sentence(axis)
        )

    def open_all(self, request: object) -> None:
        """Decode what a request holds or names, and find its faces, before it has the device: nobody else waits for
        that."""
        if isinstance(request, say.PictureSource):
            if (name := self._photo(request)) is not None and not self.store.is_ready(name, request.face):
                self.store.make_ready(name, request.face)
        elif isinstance(request, BaseModel):
            if isinstance(request, say.InpaintRequest):
                self._mask(request)
            for name in type(request).model_fields:
                self.open_all(getattr(request, name))
        elif isinstance(request, list):
            for each in request:
                self.open_all(each)

    def _mask(self, request: say.InpaintRequest) -> Image.Image:
        """Return the hole that a request's mask draws, grey; the newest are kept."""
        content = decode_base64(request.mask, "mask")

        def read() -> Image.Image:
            drawn = hole_of(self.store.decoder.read(content, LARGEST_MASK, "the mask").picture(), "the mask")
            if drawn.width != drawn.height:
                raise AttrimorphError(
                    f"a mask must be as square as the face; it has {drawn.width}x{drawn.height}; cut it"
                )
            return drawn

        return self.masks.get(hashlib.sha256(content).digest(), read)

    def _seen(self, model: str, source: say.PictureSource) -> tuple[Served, Seen]:
        """Return a model, and a source as it holds it."""
        served = self.store.served(model)
        return served, self.store.seen(served, source.origin(self._photo(source)))

    def _photo(self, source: say.PictureSource) -> str | None:
        """Return the name of a source's photograph; None of a sample."""
        return source.photo if source.image is None else self.store.open_base64(source.image)

    def _screen(self, request: say.EditRequest) -> str:
        """Return what is shown of a source's photograph, a PNG in base64."""
        shown = self.store.shown(str(self._photo(request.source)), request.view.view())
        return base64.b64encode(encoded(Image.fromarray(shown.pixels), "png")).decode()

    def _tag(self, verb: str, served: Served) -> str | None:
        return tag_of(verb, served.model, served.model_name) if self.label else None

    def _png(self, picture: Image.Image, verb: str, served: Served, photograph: bool) -> bytes:
        """Encode a picture that a verb made, of a photograph or a sample; labelled unless that is switched off."""
        return png_bytes(picture, self._tag(verb, served), xmp_of(photograph) if self.label else None)

    def _pngs(self, images: Tensor, verb: str, served: Served, photograph: bool) -> list[str]:
        """Encode pictures [B, 3, S, S] in base64; see `_png`."""
        pictures = (self._png(picture, verb, served, photograph) for picture in to_pil(images))
        return [base64.b64encode(picture).decode() for picture in pictures]

    def _signed(self, content: bytes, kind: Kind | None, photograph: bool) -> str:
        """Return a file that a person will keep in base64, signed where somebody signs, and its format holds that."""
        if self.signature is not None and kind is not None:
            content = self.signature.sign(content, kind, photograph=photograph)
        return base64.b64encode(content).decode()


def _give_way() -> None:
    """Let this thread compute what others leave, where the system tells threads apart."""
    if sys.platform == "linux":
        os.nice(5)


def corners(frame: Frame) -> say.Corners:
    """Return the corners of a frame, (x, y), in the photograph's pixels."""
    return [(round(float(x), 1), round(float(y), 1)) for x, y in frame.corners]


def model_response(served: Served) -> say.ModelResponse:
    """Tell of one model."""
    model = served.model
    return say.ModelResponse(
        name=served.name,
        about=model.recipe.about,
        method=model.recipe.method,
        image_size=model.image_size,
        hash=model.hash,
        drawn="drawn" in (model.header.get("preprocessing") or {}),
        calibrated=bool(model.strengths.positions),
        judge=None if served.judge is None else served.judge.name,
        own_judge=isinstance(served.judge, OwnClassifier),
        sliders=list(served.sliders),
        exclusive=[list(group) for group in model.schema.exclusive],
        locks=list(served.locks),
        can=dict(served.can),
    )
