"""morph: the way from one image to another, or along axes: a strip, and an animation there and back."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from attrimorph.errors import AttrimorphError
from attrimorph.requests import Progress, Result, Work, inversion_arguments
from attrimorph.requests.edit import Moving

if TYPE_CHECKING:
    from torch import Tensor

    from attrimorph.models.model import Model
    from attrimorph.requests.receipt import Written

SMOOTH = 24  # frames of an animation, at least
MOST_STEPS, MOST_ROWS = 1000, 40
PICTURES = {
    "linear": (2, 2), "slerp": (2, 2), "uniform": (2, 2), "pixel": (2, 2), "homomorphic": (2, 2), "bilinear": (4, 4),
    "cyclegan-chain": (1, 2),
}  # fmt: skip
"""Path -> how many pictures it takes, at least and at most."""
COUNTS = ("no", "one", "two", "three", "four")


class Morph(Moving):
    """Go from one image to another; writes a strip and an animation.

    With --axes, --lock or --seed: from one image to what --set makes of it, along axes.

    Attributes:
        images: The picture at the start, none with --seed, and that at the end; bilinear: two more, the square between
            the four is filled.
        path: linear, slerp (on the arc) and uniform (all steps look equally large) go through codes, pixel fades,
            homomorphic goes by groups of attributes, cyclegan-chain through in-between images.
        steps: Images on the way, both ends counted; bilinear: along each side.
        groups: Of the path homomorphic: all at once, or one after another.
        mp4: Write an MP4 as well; so does --out NAME.mp4.
    """

    verb = "morph"
    endings = (".png", ".gif", ".mp4")
    pictures = ("images",)
    images: list[Path] = []
    path: Literal["linear", "slerp", "uniform", "pixel", "bilinear", "homomorphic", "cyclegan-chain"] = "linear"
    steps: int = 8
    groups: Literal["all", "one-by-one"] = "all"
    mp4: bool = False

    def model_post_init(self, context: Any, /) -> None:
        """Refuse what does not go together."""
        if self.along is not None:
            if self.path != "linear" or self.groups != "all":
                raise AttrimorphError(
                    "--path and --groups lead from one image to another, not along axes; leave them out"
                )
            return
        if self.known:
            raise AttrimorphError("--known belongs to a morph along axes; got it without; leave it out")
        (least, most), count = PICTURES[self.path], len(self.images)
        if not least <= count <= most:
            wanted = COUNTS[least] if least == most else f"{COUNTS[least]} or {COUNTS[most]}"
            remedy = "add the others" if count < least else "leave some out"
            pictures = "picture" if count == 1 else "pictures"
            raise AttrimorphError(f"the path {self.path} takes {wanted} pictures; got {count} {pictures}; {remedy}")
        if self.groups != "all" and self.path != "homomorphic":
            raise AttrimorphError(
                f"groups one by one belong to the path homomorphic; got them with {self.path}; add --path homomorphic"
            )
        if self.changes and self.path != "cyclegan-chain":
            raise AttrimorphError(
                f"--set belongs to the path cyclegan-chain; got it with {self.path}; leave it out, or edit the "
                "pictures first"
            )

    @classmethod
    def earlier(cls, words: dict[str, Any]) -> dict[str, Any]:
        """Read the path that a receipt names where the way goes along axes."""
        words = super().earlier(words)
        return {**words, "path": "linear"} if words.get("path") == "axes" else words

    def arguments(self) -> dict[str, Any]:
        """Return what a receipt says; along axes that is the path."""
        return super().arguments() | ({} if self.along is None else {"path": "axes"})

    def write(self, out: str | Path, model: "Model | None" = None, **options: Any) -> "Written":
        """Write the strip, an animation and the receipt; `out` may be NAME.gif and NAME.mp4 in place of NAME.png."""
        request = self.model_copy(update={"mp4": True}) if Path(out).suffix.lower() == ".mp4" else self
        return super(Morph, request).write(out, model, **options)

    def result(self, model: "Model", work: Work) -> Result:
        """Return the strip (a square of four) and the animation."""
        from attrimorph.applications.morph import check_codes, check_steps
        from attrimorph.pictures import check_video

        if self.along is None:
            check_codes(self.path, self.invert)
        check_steps(self.steps, MOST_ROWS if self.path == "bilinear" else MOST_STEPS)
        if self.mp4:
            check_video()
        if self.along is not None:
            return self._along(model, work)
        images = model.prepared(self.images)
        if self.path == "bilinear":
            return self._square(model, images, work.progress)
        if self.path == "cyclegan-chain":
            return self._chain(model, images)
        return self._way(model, images, work.progress)

    @property
    def _percent(self) -> list[str]:
        return [f"{100 * step / (self.steps - 1):.0f} %" for step in range(self.steps)]

    def _way(self, model: "Model", images: "Tensor", progress: Progress | None) -> Result:
        import torch

        from attrimorph.applications.morph import THROUGH_CODES, between, ends, morph
        from attrimorph.pictures import frames, sheet

        first, second = torch.split(images, 1)
        lengths, found = (self.steps, max(self.steps, SMOOTH)), None
        if self.path in THROUGH_CODES:
            # Looked for once: strip and animation show the same ends.
            (a, b), found = ends(model, (first, second), invert=self.invert, progress=progress)
            way, smooth = (between(model, a, b, length, path=self.path).images.cpu() for length in lengths)
        else:
            one_by_one = self.groups == "one-by-one"
            way, smooth = (
                morph(model, first, second, length, path=self.path, one_by_one=one_by_one).images.cpu()
                for length in lengths
            )
        words = self._percent
        if self.path != "pixel":
            way, words = torch.cat([first, way, second]), ["from", *words, "to"]
        page = sheet([way], columns=words, cell=max(96, model.image_size))
        arguments = inversion_arguments(self.invert, found)
        return Result({"": page}, arguments=arguments, animation=frames(smooth), mp4=self.mp4)

    def _square(self, model: "Model", images: "Tensor", progress: Progress | None) -> Result:
        import torch

        from attrimorph.applications.morph import among, ends
        from attrimorph.pictures import frames_around, sheet

        corners, found = ends(model, torch.split(images, 1), invert=self.invert, progress=progress)
        filled, smooth = (among(model, corners, rows).images.cpu() for rows in (self.steps, max(self.steps, SMOOTH)))
        page = sheet(list(filled), cell=max(64, model.image_size))
        arguments = inversion_arguments(self.invert, found)
        return Result({"": page}, arguments=arguments, animation=frames_around(smooth), mp4=self.mp4)

    def _chain(self, model: "Model", images: "Tensor") -> Result:
        import torch

        from attrimorph.applications.morph import differences, stages
        from attrimorph.applications.paths import crossfade
        from attrimorph.pictures import frames, sheet

        other = images[1:] if len(images) == 2 else None
        changes = model.changes(self.changes)
        if not changes and other is not None:
            changes = differences(model, images[:1], other)
        found, cell = stages(model, images[:1], changes, other), max(96, model.image_size)
        stops = list(found.values())
        pictures = {
            "": sheet([crossfade(stops, self.steps)], columns=self._percent, cell=cell),
            "stages": sheet([torch.stack(stops)], columns=list(found), cell=cell),
        }
        smooth = crossfade(stops, max(self.steps, SMOOTH // 2 * (len(stops) - 1) + 1))
        return Result(pictures, {"changes on the way": changes}, animation=frames(smooth), mp4=self.mp4)

    def _along(self, model: "Model", work: Work) -> Result:
        """Go along axes step by step, one row for each picture; the animation shows the first."""
        import torch

        from attrimorph.applications.axes.edit import Start
        from attrimorph.applications.edit import blended, put_together
        from attrimorph.models.model import Code
        from attrimorph.pictures import frames, sheet, sheet_of

        axis_edit = self.axis_edit(model, work.say)
        start = axis_edit.start(self.images, self.changes, self.known, self.invert, work.progress)

        def shown(count: int, rows: Start) -> "Tensor":
            passed = axis_edit.pictures(rows, self.changes, count)
            if self.composition == "earlier":
                return torch.stack([blended(rows.images, rows.found, each) for each in passed], 1)
            return torch.stack([put_together(rows.images, rows.found, each, self.composition)[0] for each in passed], 1)

        strips, words = shown(self.steps, start), self._percent
        first = Start(start.images[:1], start.found[:1], Code(start.code.z[:1], start.code.attributes[:1]))
        page = sheet_of(len(strips), list(strips), columns=words, cell=max(96, model.image_size))
        facts, arguments = self.along_facts(axis_edit, start)
        return Result(
            page or {f"way-{number}": sheet([strip], columns=words) for number, strip in enumerate(strips, 1)},
            facts,
            arguments,
            frames(shown(max(self.steps, SMOOTH), first)[0]),
            self.mp4,
        )
