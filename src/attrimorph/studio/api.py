"""The studio over HTTP: every verb that a page or a program asks for once."""

import asyncio
import base64
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Annotated, Any, TypeVar

import torch
from fastapi import APIRouter, Body

from attrimorph.applications.axes.choosing import OwnClassifier
from attrimorph.applications.subject import Wish
from attrimorph.models.model import Model
from attrimorph.pictures import can_film, png_bytes, to_pil
from attrimorph.studio import messages as say
from attrimorph.studio.model_store import Origin, Served, decode_base64
from attrimorph.studio.work import Work, described
from attrimorph.version import __version__

Result = TypeVar("Result")
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


class Api:
    """The routes, and the threads that their work is done in.

    Args:
        work: what they do.
        trains: whether there are routes for trainings beside these.
    """

    def __init__(self, work: Work, trains: bool = False) -> None:
        self.work, self.store, self.trains = work, work.store, trains
        self._threads = ThreadPoolExecutor(2, thread_name_prefix="studio work")
        self.router = APIRouter(prefix="/api", responses=FAULTS)
        routes: dict[str, Callable[..., Any]] = {
            "/open": self.open,
            "/reconstruct": self.reconstruct,
            "/edit": self.edit,
            "/sample": self.sample,
            "/morph": self.morph,
            "/inpaint": self.inpaint,
            "/transfer": self.transfer,
            "/retrieve": self.retrieve,
            "/teach": self.teach,
            "/layers": self.layers,
        }
        for path, function in routes.items():
            self.router.add_api_route(path, function, methods=["POST"])
        self.router.add_api_route("/models", self.models, methods=["GET"])
        self.router.add_api_route("/taught", self.taught, methods=["GET"])
        self.router.add_api_route("/studio", self.studio, methods=["GET"])

    def close(self) -> None:
        """End the threads."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _with_device(self, task: Callable[[], Result]) -> Result:
        def locked() -> Result:
            with self.work.queue.device, torch.no_grad():
                return task()

        return await asyncio.get_running_loop().run_in_executor(self._threads, locked)

    async def _in_thread(self, task: Callable[[], Result]) -> Result:
        return await asyncio.get_running_loop().run_in_executor(self._threads, task)

    def _origin(self, source: say.Source) -> Origin:
        if source.image is None:
            return source.origin()
        return source.origin(self.store.open_base64(source.image))

    async def studio(self) -> say.StudioResponse:
        """Tell of the studio itself."""
        labels = self.work.label
        return say.StudioResponse(
            version=__version__, trains=self.trains, labels=labels,
            signs=labels and self.work.signature is not None, films=can_film(),
        )  # fmt: skip

    async def models(self) -> list[say.ModelResponse]:
        """Tell which models there are and what they can do."""
        return [model_told(served) for served in self.store.models.values()]

    async def open(
        self, content: Annotated[bytes, Body(media_type="application/octet-stream", min_length=1)]
    ) -> say.OpenResponse:
        """Open a photograph: its bytes are the body. It stays in memory, for a while, and is never written."""
        name, image = await self._in_thread(lambda: self.store.open(content))
        return say.OpenResponse(photo=name, width=image.width, height=image.height)

    async def reconstruct(self, request: say.EditRequest) -> say.SeenResponse:
        """Show a picture as the model sees it, and what it is taken to have; changes play no part."""

        def task() -> say.SeenResponse:
            served = self.store.served(request.model)
            seen = self.store.seen(served, self._origin(request.source))
            image = seen.subject.image
            return say.SeenResponse(
                input=None if image is None else plain_png(image),
                picture=self.work.pngs(seen.picture, "reconstruct", served, photograph=image is not None)[0],
                attributes=described(served, seen.subject.attributes),
            )

        return await self._with_device(task)

    async def edit(self, request: say.EditRequest) -> say.EditResponse:
        """Change attributes; the PNG carries its metadata (receipt), of which `attrimorph replay` makes it again."""

        def task() -> say.EditResponse:
            served = self.store.served(request.model)
            wanted = Wish(request.changes, tuple(request.locks), self.store.taught(request.axes))
            content, besides = self.work.edited(served, self._origin(request.source), wanted)
            return say.EditResponse(picture=base64.b64encode(content).decode(), besides=besides)

        return await self._with_device(task)

    async def sample(self, request: say.SampleRequest) -> say.PicturesResponse:
        """Draw new pictures; the source {"seed": seed + i, "held": changes} is picture i in every other request."""

        def task() -> say.PicturesResponse:
            served, held = self.store.served(request.model), tuple(sorted(request.changes.items()))
            origins = [Origin(None, request.seed + number, held) for number in range(request.count)]
            return say.PicturesResponse(pictures=self.work.sampled(served, origins))

        return await self._with_device(task)

    async def morph(self, request: say.MorphRequest) -> say.PicturesResponse:
        """Go from one picture to another."""

        def task() -> say.PicturesResponse:
            ends = self._origin(request.first), self._origin(request.second)
            served = self.store.served(request.model)
            found = self.work.morphed(served, ends, request.steps, path=request.path, gif=request.gif, mp4=request.mp4)
            return say.PicturesResponse(pictures=found[0], gif=found[1], mp4=found[2])

        return await self._with_device(task)

    async def inpaint(self, request: say.InpaintRequest) -> say.PictureResponse:
        """Fill a hole; what lies outside stays. The PNG carries its receipt, as that of an edit does."""

        def task() -> say.PictureResponse:
            mask = decode_base64(request.mask, "mask")
            served, origin = self.store.served(request.model), self._origin(request.source)
            picture = self.work.inpainted(served, origin, mask, request.times, request.feather, request.known)
            return say.PictureResponse(picture=picture)

        return await self._with_device(task)

    async def transfer(self, request: say.TransferRequest) -> say.PictureResponse:
        """Give a picture the attributes of another."""

        def task() -> say.PictureResponse:
            served, origin = self.store.served(request.model), self._origin(request.source)
            other = self._origin(request.attributes_of)
            return say.PictureResponse(picture=self.work.transferred(served, origin, other, request.only))

        return await self._with_device(task)

    async def retrieve(self, request: say.RetrieveRequest) -> say.FoundResponse:
        """Find the opened photographs most like a picture, with the attributes that are wanted."""

        def task() -> say.FoundResponse:
            served, origin = self.store.served(request.model), self._origin(request.source)
            found = self.work.retrieved(served, origin, request.among, request.wanted, request.count)
            pairs = zip(found.rows.tolist(), found.distances.tolist(), strict=True)
            return say.FoundResponse(
                found=[say.Neighbour(photo=request.among[row], distance=round(distance, 6)) for row, distance in pairs],
                searched=found.searched,
            )

        return await self._with_device(task)

    async def teach(self, request: say.TeachRequest) -> say.TaughtResponse:
        """Learn a new attribute from pictures that have it and pictures that have it not."""

        def task() -> say.TaughtResponse:
            served = self.store.served(request.model)
            having, lacking = ([self._origin(each) for each in group] for group in (request.with_, request.without))
            axis, sentence = self.work.taught(served, request.name, having, lacking)
            return say.TaughtResponse(axis=axis, name=request.name, sentence=sentence)

        return await self._with_device(task)

    async def taught(self) -> list[say.TaughtSlider]:
        """Tell which taught sliders there are; they stay as long as the studio runs."""
        found = self.store.taught_sliders()
        return [say.TaughtSlider(model=model, name=name, axis=axis) for model, name, axis in found]

    async def layers(self, request: say.LayersRequest) -> say.PictureResponse:
        """Put a picture in front of another's background; for models that paint in layers. It carries its receipt."""

        def task() -> say.PictureResponse:
            served, origin = self.store.served(request.model), self._origin(request.source)
            other = self._origin(request.background)
            return say.PictureResponse(picture=self.work.layered(served, origin, other, request.changes))

        return await self._with_device(task)


def plain_png(image: torch.Tensor) -> str:
    """Encode a photograph as it is: nobody has made it."""
    return base64.b64encode(png_bytes(to_pil(image)[0])).decode()


def model_told(served: Served) -> say.ModelResponse:
    """Tell of one model."""
    model: Model = served.model
    preprocessing = model.header.get("preprocessing") or {}
    return say.ModelResponse(
        name=served.name,
        about=model.recipe.about,
        method=model.recipe.method,
        image_size=model.image_size,
        hash=model.hash,
        drawn="drawn" in preprocessing,
        calibrated=bool(model.strengths.positions),
        judge=None if served.judge is None else served.judge.name,
        own_judge=isinstance(served.judge, OwnClassifier),
        sliders=[say.SliderResponse(**vars(slider)) for slider in served.sliders],
        exclusive=[list(group) for group in model.schema.exclusive],
        locks=list(served.locks),
        can=dict(served.can),
    )
