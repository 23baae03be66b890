"""What the API's requests do: the applications that the command line calls, on pictures in memory."""

import base64
import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from attrimorph.applications.axes.choosing import OwnClassifier
from attrimorph.applications.axes.examples import Pool, axis_from_examples, draw_pool, sentence
from attrimorph.applications.carried import inpainted_png, layered_png, saved_png
from attrimorph.applications.gallery import Codes, Gallery
from attrimorph.applications.locks import side_effects
from attrimorph.applications.morph import morph
from attrimorph.applications.provenance import Kind, Signature, xmp_of
from attrimorph.applications.receipt import tag_of
from attrimorph.applications.retrieve import Retrieval, retrieve
from attrimorph.applications.subject import Wish
from attrimorph.applications.transfer import transfer
from attrimorph.applications.write_morph import frames
from attrimorph.data.images import decoded_image
from attrimorph.errors import AttrimorphError
from attrimorph.evaluators.judge import Judge
from attrimorph.pictures import check_video, gif_bytes, mp4_bytes, png_bytes, to_pil
from attrimorph.studio.caches import LRUCache
from attrimorph.studio.model_store import ModelStore, Origin, Seen, Served
from attrimorph.studio.render_queue import LEAST, RenderQueue

LARGEST_MASK = 4_000_000  # pixels


@dataclass(frozen=True, eq=False)
class Work:
    """Everything but live edits. Who calls a method has the device.

    Attributes:
        store: where models and photographs are.
        queue: whose live edits go first while long work is done.
        label: whether pictures say that they were made here.
        signature: who signs what is saved; None = nobody.
        pools: of drawn pictures, for teaching, by model.
    """

    store: ModelStore
    queue: RenderQueue
    label: bool
    signature: Signature | None
    pools: LRUCache[Pool]

    def edited(self, served: Served, origin: Origin, wish: Wish) -> tuple[bytes, dict[str, float]]:
        """Return an edited picture as a PNG with its receipt, and its side effects."""
        seen = self.store.seen(served, origin)
        content = saved_png(served.model, seen.subject, wish, served.judge, named=served.named, label=self.label)
        content = self._signed(content, "image/png", photograph=seen.subject.image is not None)
        if served.judge is None or seen.probabilities is None:
            return content, {}
        probabilities = served.judge(self.store.pictures(served, [seen], [wish]))[0].cpu()
        return content, side_effects(served.judge.schema, seen.probabilities, probabilities, wish.changes, LEAST)

    def morphed(
        self, served: Served, ends: tuple[Origin, Origin], steps: int, *, path: str, gif: bool, mp4: bool
    ) -> tuple[list[str], str | None, str | None]:
        """Return the pictures of a morph, and an animation and a film there and back where they are wanted."""
        if mp4:
            check_video()
        first, second = (self.store.seen(served, end) for end in ends)
        found = morph(
            served.model, shown(first), shown(second), steps, path=path,
            attributes=(first.subject.attributes, second.subject.attributes),
        )  # fmt: skip
        tag, photograph = self._tag("morph", served) or "", first.subject.image is not None
        moving, film = None, None
        if gif:
            content = gif_bytes(frames(found.images, width=256), tag=tag)
            moving = base64.b64encode(self._signed(content, "image/gif", photograph=photograph)).decode()
        if mp4:
            content = mp4_bytes(frames(found.images, width=256), tag=tag)
            film = base64.b64encode(self._signed(content, "video/mp4", photograph=photograph)).decode()
        return self.pngs(found.images, "morph", served, photograph=photograph), moving, film

    def inpainted(
        self, served: Served, origin: Origin, mask: bytes, times: int, feather: int, known: Mapping[str, float]
    ) -> str:
        """Return a picture whose hole is filled."""
        seen, side = self.store.seen(served, origin), served.model.image_size
        drawn = decoded_image(io.BytesIO(mask), "the mask", most_pixels=LARGEST_MASK).convert("L")
        grey = np.array(drawn.resize((side, side), Image.Resampling.BOX))
        hole = torch.from_numpy(grey)[None, None].float().div(255).gt(0.1).float()
        photograph = seen.subject.image is not None
        content = inpainted_png(
            served.model, shown(seen), hole, times, min(feather, side), known, photograph=photograph,
            named=served.named, label=self.label,
        )  # fmt: skip
        return base64.b64encode(self._signed(content, "image/png", photograph=photograph)).decode()

    def transferred(self, served: Served, origin: Origin, other: Origin, only: Sequence[str] | None) -> str:
        """Return a picture with the attributes of another."""
        own, source = self.store.seen(served, origin), self.store.seen(served, other)
        found = transfer(
            served.model, shown(own), shown(source), only=only, attributes=own.subject.attributes,
            source_attributes=source.subject.attributes,
        )  # fmt: skip
        return self._result(found.transferred, "transfer", served)

    def layered(self, served: Served, origin: Origin, other: Origin, changes: Mapping[str, float]) -> str:
        """Return a picture in front of another's background."""
        own, source = self.store.seen(served, origin), self.store.seen(served, other)
        photograph = own.subject.image is not None
        content = layered_png(
            served.model, shown(own), own.subject.attributes, shown(source), changes, photograph=photograph,
            named=served.named, label=self.label,
        )  # fmt: skip
        return base64.b64encode(self._signed(content, "image/png", photograph=photograph)).decode()

    def sampled(self, served: Served, origins: Sequence[Origin]) -> list[str]:
        """Return samples."""
        seen = [self.store.seen(served, origin) for origin in origins]
        return self.pngs(torch.cat([each.picture for each in seen]), "sample", served, photograph=False)

    def retrieved(
        self, served: Served, origin: Origin, among: Sequence[str], wanted: Mapping[str, float], count: int
    ) -> Retrieval:
        """Find the pictures most like one among opened photographs; rows are places in `among`."""
        own, codes = self.store.seen(served, origin), []
        if own.subject.code is None:
            raise AttrimorphError(
                f"finding needs a model that describes faces by codes; {served.name!r} does not; use drawn-faces-64"
            )
        for name in among:
            code = self.store.seen(served, Origin(name)).subject.code
            assert code is not None
            codes.append(code)
            self.queue.give_way()
        gallery = Gallery(
            list(among), lambda rows: torch.cat([shown(self.store.seen(served, Origin(among[row]))) for row in rows]),
            None, None, torch.full((len(among),), -1), "",
        )  # fmt: skip
        kept = Codes(
            torch.cat([code.z.flatten(1).float().cpu() for code in codes]),
            torch.cat([code.attributes.float().cpu() for code in codes]),
        )
        return retrieve(
            served.model, shown(own), gallery, count=count, wanted=wanted, attributes=own.subject.attributes, codes=kept
        )

    def taught(self, served: Served, name: str, having: Sequence[Origin], lacking: Sequence[Origin]) -> tuple[str, str]:
        """Learn a new attribute from examples; return the name of its axis, and how sure it is."""
        if not served.can["teach"] or not isinstance(served.judge, Judge | OwnClassifier):
            raise AttrimorphError(
                f"the model {served.name!r} cannot be taught: it makes no faces of its own, or no attribute classifier "
                "(judge) knows them; use another"
            )
        if not re.fullmatch(r"[^=\x00-\x1f]{1,40}", name):
            raise AttrimorphError(f"a slider's name must have 1 to 40 letters and no '='; got {name!r}; rename it")
        if name in served.model.schema.names:
            raise AttrimorphError(f"the model has a slider {name!r} already; choose another name")
        look = served.judge.features

        def features(images: Tensor) -> Tensor:
            self.queue.give_way()
            return look(images)

        named = f"features of {served.judge.name}"
        positive, negative = (
            torch.cat([shown(self.store.seen(served, origin)) for origin in origins]) for origins in (having, lacking)
        )
        pool = self.pools.get(served.name, lambda: draw_pool(served.model, features, by=named))
        axis = axis_from_examples(served.model, name, features, positive, negative, by=named, pool=pool)
        return self.store.keep_axis(served, axis), sentence(axis)

    def pngs(self, images: Tensor, verb: str, served: Served, *, photograph: bool) -> list[str]:
        """Encode pictures, labelled unless the owner of the machine has switched that off.

        Args:
            images: [B, 3, S, S].
            verb: that made them; served: the model that did.
            photograph: whether of photographs.
        """
        tag, xmp = self._tag(verb, served), xmp_of(photograph) if self.label else None
        return [base64.b64encode(png_bytes(picture, tag, xmp)).decode() for picture in to_pil(images)]

    def _result(self, images: Tensor, verb: str, served: Served) -> str:
        """Encode one picture that a person asked for and will keep."""
        content = base64.b64decode(self.pngs(images, verb, served, photograph=True)[0])
        return base64.b64encode(self._signed(content, "image/png", photograph=True)).decode()

    def _signed(self, content: bytes, kind: Kind, *, photograph: bool) -> bytes:
        if self.signature is None or not self.label:
            return content
        return self.signature.sign(content, kind, photograph=photograph)

    def _tag(self, verb: str, served: Served) -> str | None:
        return tag_of(verb, served.model, served.named) if self.label else None


def shown(seen: Seen) -> Tensor:
    """Return what a model is shown of a subject, [1, 3, S, S]: the photograph, or the sample."""
    return seen.picture if seen.subject.image is None else seen.subject.image


def described(served: Served, attributes: Tensor) -> dict[str, float]:
    """Return what a subject was taken to have, by slider; what nobody knows is left out."""
    y = attributes[0].cpu()
    pairs = zip(served.model.schema.column_names, y.tolist(), strict=True)
    return {name: round(value, 3) for name, value in pairs if value == value}
