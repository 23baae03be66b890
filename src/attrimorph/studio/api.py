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
from attrimorph.studio.shelf import Origin, Served, decode_base64
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
        self.work, self.shelf, self.trains = work, work.shelf, trains
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
            with self.work.desk.device, torch.no_grad():
                return task()

        return await asyncio.get_running_loop().run_in_executor(self._threads, locked)

    async def _in_thread(self, task: Callable[[], Result]) -> Result:
        return await asyncio.get_running_loop().run_in_executor(self._threads, task)

    def _origin(self, source: say.Source) -> Origin:
        if source.image is None:
            return source.origin()
        return source.origin(self.shelf.open_base64(source.image))

    async def studio(self) -> say.StudioTold:
        """Tell of the studio itself."""
        labels = self.work.label
        return say.StudioTold(
            version=__version__, trains=self.trains, labels=labels,
            signs=labels and self.work.signature is not None, films=can_film(),
        )  # fmt: skip

    async def models(self) -> list[say.ModelTold]:
        """Tell which models there are and what they can do."""
        return [model_told(served) for served in self.shelf.models.values()]

    async def open(
        self, content: Annotated[bytes, Body(media_type="application/octet-stream", min_length=1)]
    ) -> say.OpenTold:
        """Open a photograph: its bytes are the body. It stays in memory, for a while, and is never written."""
        name, image = await self._in_thread(lambda: self.shelf.open(content))
        return say.OpenTold(photo=name, width=image.width, height=image.height)

    async def reconstruct(self, wish: say.Wished) -> say.SeenTold:
        """Show a picture as the model sees it, and what it is taken to have; changes play no part."""

        def task() -> say.SeenTold:
            served = self.shelf.served(wish.model)
            seen = self.shelf.seen(served, self._origin(wish.source))
            image = seen.subject.image
            return say.SeenTold(
                input=None if image is None else plain_png(image),
                picture=self.work.pngs(seen.picture, "reconstruct", served, photograph=image is not None)[0],
                attributes=described(served, seen.subject.attributes),
            )

        return await self._with_device(task)

    async def edit(self, wish: say.Wished) -> say.EditTold:
        """Change attributes; the PNG carries its metadata (receipt), of which `attrimorph replay` makes it again."""

        def task() -> say.EditTold:
            served = self.shelf.served(wish.model)
            wanted = Wish(wish.changes, tuple(wish.locks), self.shelf.taught(wish.axes))
            content, besides = self.work.edited(served, self._origin(wish.source), wanted)
            return say.EditTold(picture=base64.b64encode(content).decode(), besides=besides)

        return await self._with_device(task)

    async def sample(self, wish: say.SampleWish) -> say.PicturesTold:
        """Draw new pictures; the source {"seed": seed + i, "held": changes} is picture i in every other request."""

        def task() -> say.PicturesTold:
            served, held = self.shelf.served(wish.model), tuple(sorted(wish.changes.items()))
            origins = [Origin(None, wish.seed + number, held) for number in range(wish.count)]
            return say.PicturesTold(pictures=self.work.sampled(served, origins))

        return await self._with_device(task)

    async def morph(self, wish: say.MorphWish) -> say.PicturesTold:
        """Go from one picture to another."""

        def task() -> say.PicturesTold:
            ends = self._origin(wish.first), self._origin(wish.second)
            served = self.shelf.served(wish.model)
            pictures, gif, mp4 = self.work.morphed(served, ends, wish.steps, path=wish.path, gif=wish.gif, mp4=wish.mp4)
            return say.PicturesTold(pictures=pictures, gif=gif, mp4=mp4)

        return await self._with_device(task)

    async def inpaint(self, wish: say.InpaintWish) -> say.PictureTold:
        """Fill a hole; what lies outside stays. The PNG carries its receipt, as that of an edit does."""

        def task() -> say.PictureTold:
            mask = decode_base64(wish.mask, "mask")
            served, origin = self.shelf.served(wish.model), self._origin(wish.source)
            picture = self.work.inpainted(served, origin, mask, wish.times, wish.feather, wish.known)
            return say.PictureTold(picture=picture)

        return await self._with_device(task)

    async def transfer(self, wish: say.TransferWish) -> say.PictureTold:
        """Give a picture the attributes of another."""

        def task() -> say.PictureTold:
            served, origin = self.shelf.served(wish.model), self._origin(wish.source)
            other = self._origin(wish.attributes_of)
            return say.PictureTold(picture=self.work.transferred(served, origin, other, wish.only))

        return await self._with_device(task)

    async def retrieve(self, wish: say.RetrieveWish) -> say.FoundTold:
        """Find the opened photographs most like a picture, with the attributes that are wanted."""

        def task() -> say.FoundTold:
            served, origin = self.shelf.served(wish.model), self._origin(wish.source)
            found = self.work.retrieved(served, origin, wish.among, wish.wanted, wish.count)
            pairs = zip(found.rows.tolist(), found.distances.tolist(), strict=True)
            return say.FoundTold(
                found=[say.NearTold(photo=wish.among[row], distance=round(distance, 6)) for row, distance in pairs],
                searched=found.searched,
            )

        return await self._with_device(task)

    async def teach(self, wish: say.TeachWish) -> say.TaughtTold:
        """Learn a new attribute from pictures that have it and pictures that have it not."""

        def task() -> say.TaughtTold:
            served = self.shelf.served(wish.model)
            having, lacking = ([self._origin(each) for each in group] for group in (wish.with_, wish.without))
            axis, sentence = self.work.taught(served, wish.name, having, lacking)
            return say.TaughtTold(axis=axis, name=wish.name, sentence=sentence)

        return await self._with_device(task)

    async def taught(self) -> list[say.TaughtSliderTold]:
        """Tell which taught sliders there are; they stay as long as the studio runs."""
        found = self.shelf.taught_sliders()
        return [say.TaughtSliderTold(model=model, name=name, axis=axis) for model, name, axis in found]

    async def layers(self, wish: say.LayersWish) -> say.PictureTold:
        """Put a picture in front of another's background; for models that paint in layers. It carries its receipt."""

        def task() -> say.PictureTold:
            served, origin = self.shelf.served(wish.model), self._origin(wish.source)
            other = self._origin(wish.background)
            return say.PictureTold(picture=self.work.layered(served, origin, other, wish.changes))

        return await self._with_device(task)


def plain_png(image: torch.Tensor) -> str:
    """Encode a photograph as it is: nobody has made it."""
    return base64.b64encode(png_bytes(to_pil(image)[0])).decode()


def model_told(served: Served) -> say.ModelTold:
    """Tell of one model."""
    model: Model = served.model
    preprocessing = model.header.get("preprocessing") or {}
    return say.ModelTold(
        name=served.name,
        about=model.recipe.about,
        method=model.recipe.method,
        image_size=model.image_size,
        hash=model.hash,
        drawn="drawn" in preprocessing,
        calibrated=bool(model.strengths.positions),
        judge=None if served.judge is None else served.judge.name,
        own_judge=isinstance(served.judge, OwnClassifier),
        sliders=[say.SliderTold(**vars(slider)) for slider in served.sliders],
        exclusive=[list(group) for group in model.schema.exclusive],
        locks=list(served.locks),
        can=dict(served.can),
    )
