"""edit: attributes of images changed, towards references, along axes, or in a chain."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from attrimorph.applications import AxisOptions, Meant
from attrimorph.errors import AttrimorphError
from attrimorph.requests import (
    Changes,
    Composing,
    Fitting,
    Inverting,
    Option,
    Result,
    Work,
    inversion_arguments,
    numbered,
)

if TYPE_CHECKING:
    from PIL import Image
    from torch import Tensor

    from attrimorph.applications.axes.edit import AxisEdit, Start
    from attrimorph.applications.edit import Looked
    from attrimorph.data.images import Frame
    from attrimorph.models.model import Model
    from attrimorph.photographs.fields import Fields
    from attrimorph.photographs.file import Photograph


class Moving(Inverting, Composing):
    """A request that can go along axes.

    Attributes:
        changes: An attribute and how far: Smiling=1 sets it, -1 takes it away, 0.5 is half-way; class=smiling, a value.
        along: Go along latent directions (axes): a pack of them; own: those beside the model. --lock, --seed: own.
        face: The face that is edited: largest, all, a number (1 is the largest; --faces shows them), or a point x,y
            within it.
        box: Where the face is, x,y,w,h in pixels of the upright photograph, forehead to chin; none is looked for.
        aligned: The picture is a face already, as the model's pictures are: take its largest centred square.
        no_location: Leave out of the result where the photograph was taken.
        program: Run the .pt2 file that --model names: a program that may do whatever you may. Prefer .onnx.
    """

    face: str = "largest"
    box: str | None = None
    aligned: bool = False
    no_location: bool = False
    changes: Changes = {}
    along: AxisOptions | None = None
    program: Annotated[bool, Option("--run-program")] = Field(default=False, exclude=True)

    def load(self, device: str = "cpu") -> "Model":
        """Load the model; one from outside where axes are of such."""
        if self.along is None:
            return super().load(device)
        from attrimorph.applications.axes.choosing import generator_named

        return generator_named(self.model, device, values=self.along.values, program=self.program)

    def meant(self) -> Meant:
        """Return which faces are meant.

        Raises:
            AttrimorphError: two options say it.
        """
        said = [self.face != "largest", self.box is not None, self.aligned]
        if sum(said) > 1:
            raise AttrimorphError("--face, --box and --aligned each say where the face is; got two; leave one out")
        return Meant(self.face, self.box, self.aligned)

    def axis_edit(self, model: "Model", say: Callable[[str], None] | None) -> "AxisEdit":
        """Return the edit along axes; somebody who listens is told first what it does to pictures that are drawn.

        Raises:
            AttrimorphError: see `AxisEdit`.
        """
        from attrimorph.applications.axes.edit import AxisEdit
        from attrimorph.console import table

        assert self.along is not None
        found = AxisEdit(model, self.along)
        if say is not None:
            judge = "no judge at hand" if found.judge is None else found.judge.name
            rows: list[tuple[str, ...]] = [each.cells() for each in found.effects(self.changes)]
            say(f"on drawn pictures:\n{table(rows, ('', 'linear model', judge, 'attribute'))}")
        return found

    def along_facts(self, axis_edit: "AxisEdit", start: "Start") -> tuple[dict[str, Any], dict[str, Any]]:
        """Return the facts of an edit along axes, and what the receipt is told of its inversion."""
        facts = {
            "judge": None if axis_edit.judge is None else axis_edit.judge.name,
            "expected on drawn pictures": {
                each.name: {"role": each.role, "linear model": each.predicted, "judge": each.measured}
                for each in axis_edit.expected
            },
        }
        return facts, inversion_arguments(self.invert, start.inversion)


class Edit(Fitting, Moving):
    """Change attributes of images, or of all in a folder: --set Smiling=1 --set Blond_Hair=0.5.

    Of a folder --out is another folder: names and sub-folders are kept, edits.csv there tells what was done, and the
    same command goes on after an interruption.

    Several CycleGANs, named with commas after --model, change one attribute each, in the order of --set. With --axes,
    --lock or --seed codes move along axes (see axes fit), and what that does to other attributes is told first.

    Attributes:
        images: Pictures, the largest centred square of each is taken; or a folder of pictures. None with --seed.
        like: A picture to be like in the groups that --set names, 0 to 2: --set "hair colour=1.5". Give it again for a
            second answer.
        calibrated: Uncalibrated: take strengths as they stand, although the model is calibrated.
        numbers: Edit nothing: write the photograph with a numbered frame around every face.
        frames: Of each picture, where the faces were found.
        save_fields: Write how the picture changes, as fields; of several pictures NAME-1, NAME-2, ...
    """

    verb = "edit"
    pictures = ("images", "like")
    images: list[Path] = []
    like: Annotated[list[Path], Option("--like", list[Path] | None, lambda paths: paths or [])] = []
    calibrated: Annotated[bool, Option("--raw", bool, lambda raw: not raw)] = True
    numbers: Annotated[bool, Option("--faces", bool)] = False
    frames: Annotated[list[list[tuple[float, float, float, float, float, float]]] | None, Option("-")] = None
    save_fields: Path | None = Field(default=None, exclude=True)

    def model_post_init(self, context: Any, /) -> None:
        """Refuse what does not go together."""
        if self.along is not None and (self.like or not self.calibrated):
            raise AttrimorphError("--like and --raw do nothing in an edit along axes; leave them out")
        if self.like and (self.known or self.invert is not None):
            raise AttrimorphError("--known and --invert do nothing in an edit with references; leave them out")
        if self.save_fields is not None and (self.composition != "fields" or self.like or not self.images):
            raise AttrimorphError(
                "--save-fields keeps how a picture changes; got it with --whole-face, --like or --seed; leave one out"
            )
        if not self.images and (self.along is None or self.along.seed is None):
            raise AttrimorphError("edit needs an IMAGE; got none; name a picture, or draw some with --seed 0")

    def result(self, model: "Model", work: Work) -> Result:
        """Return a sheet (input, reconstruction, edited), and each edited image alone.

        A chain shows every in-between image, and the first photograph's way through them as an animation.
        """
        import torch

        from attrimorph.applications.edit import edit, look, put_together, unchanged
        from attrimorph.models.model import Chains
        from attrimorph.pictures import frames, sheet_of

        if self.numbers:
            return self._numbers(model)
        looked = None
        if self.composition != "earlier" and self.images:
            looked = look(model, self.images, self.meant(), self.frames)
            if work.say is not None and looked.said:
                work.say("\n".join(looked.said))
        if self.along is not None:
            return self._along(model, work, looked)
        if self.like:
            return self._like(model, work, looked)
        found = edit(
            model,
            self.images if looked is None else looked.images,
            self.changes,
            calibrated=self.calibrated,
            known=self.known,
            invert=self.invert,
            progress=work.progress,
            composition=self.composition,
        )
        _say_unlike(work, model, found.images, found.reconstructions)
        if work.say is not None and (
            same := unchanged(model.schema, found.images, found.edited, self.changes, self.known)
        ):
            work.say(same[0])
        changes = model.changes(self.changes)
        shown = {"input": found.images, "reconstruction": found.reconstructions, _words(changes): found.edited}
        columns = {word: batch.cpu() for word, batch in shown.items() if batch is not None}
        animation = []
        if isinstance(model, Chains):
            from attrimorph.applications.paths import crossfade

            passed = [
                put_together(found.images, found.images, stage, self.composition)[0]
                for stage in model.stages(found.images, changes, found.before)
            ]
            columns = dict(zip(["input", *(f"{name} {s:+g}" for name, s in changes.items())], passed, strict=True))
            animation = frames(crossfade([stage[0] for stage in passed], 12 * len(changes) + 1))
        rows = [torch.stack(row) for row in zip(*columns.values(), strict=True)]
        return Result(
            sheet_of(len(rows), rows, columns=list(columns), cell=max(128, model.image_size))
            | numbered("edited", _alone(found.edited, found.fields, looked)),
            {
                "position of each strength": model.strengths.calibrated(changes) if self.calibrated else changes,
                "attributes before": [model.schema.describe(row) for row in found.before.cpu()],
                "attributes after": [model.schema.describe(row) for row in found.after.cpu()],
            },
            inversion_arguments(self.invert, found.inversion) | _frames(looked),
            animation,
            fields=self._kept(found.fields, looked),
            no_location=self.no_location,
        )

    def _numbers(self, model: "Model") -> Result:
        """Return the photographs with numbered frames."""
        from attrimorph.applications.edit import trained_on
        from attrimorph.data.faces import find_faces
        from attrimorph.data.images import open_image
        from attrimorph.photographs.faces import chosen_faces, numbered_faces

        shown, places = [], trained_on(model)["places"]
        for path in self.images:
            image = open_image(path)
            shown.append(numbered_faces(image, chosen_faces(find_faces(image), "all"), places))
        return Result({"": shown[0]} if len(shown) == 1 else numbered("faces", shown))

    def _kept(self, fields: "Fields | None", looked: "Looked | None") -> "dict[Path, tuple[Fields, Frame]]":
        """Return the files for fields and what belongs in them; none where nobody asked."""
        if self.save_fields is None or fields is None or looked is None:
            return {}
        frames = [frame for each in looked.frames for frame in each]
        path = self.save_fields if self.save_fields.suffix else self.save_fields.with_suffix(".safetensors")
        return {
            path if len(frames) == 1 else path.with_stem(f"{path.stem}-{row + 1}"): (fields[row], frame)
            for row, frame in enumerate(frames)
        }

    def _like(self, model: "Model", work: Work, looked: "Looked | None") -> Result:
        """Give photographs what references have: the sheet, and each answer alone."""
        from attrimorph.applications.generating import edit_like, reference_sheet
        from attrimorph.pictures import MOST_SHOWN

        images = self.images if looked is None else looked.images
        found = edit_like(model, images, self.like, self.changes, self.composition, calibrated=self.calibrated)
        _say_unlike(work, model, found.images, found.reconstructions)
        few = max(len(self.images), len(self.like)) <= MOST_SHOWN
        pictures: dict[str, Any] = {"": reference_sheet(found, max(128, model.image_size))} if few else {}
        for number, (answers, fields) in enumerate(zip(found.edited, found.fields, strict=True), 1):
            which = f"-like-{number}" if len(self.like) > 1 else ""
            alone = numbered("edited", _alone(answers, fields, looked))
            pictures |= {f"{word}{which}": each for word, each in alone.items()}
        return Result(pictures, arguments=_frames(looked), no_location=self.no_location)

    def _along(self, model: "Model", work: Work, looked: "Looked | None") -> Result:
        """Go along axes; a photograph is itself, as large as it is, with the change put back into it."""
        import torch

        from attrimorph.applications.axes.edit import edit_photographs
        from attrimorph.pictures import sheet_of, to_pil

        assert self.along is not None
        axis_edit, words = self.axis_edit(model, work.say), _words(self.changes)
        given = (axis_edit, self.images, self.changes, self.known, self.invert, work.progress)
        kept = {}
        if self.along.seed is None:
            moved = edit_photographs(*given, composition=self.composition, looked=looked)
            start, alone, kept = moved.start, moved.pictures, self._kept(moved.fields, looked)
            _say_unlike(work, model, start.images, start.found)
            columns = {
                "input": start.images,
                "found": start.found,
                f"{words}, found": moved.edited,
                words: moved.shown,
            }
        else:
            start = axis_edit.start(*given[1:])
            edited = axis_edit.pictures(start, self.changes, 2)[-1]
            columns, alone = {"drawn": start.found, words: edited}, to_pil(edited)
        rows = [torch.stack(row) for row in zip(*columns.values(), strict=True)]
        page = sheet_of(len(rows), rows, columns=list(columns), cell=max(128, model.image_size))
        facts, arguments = self.along_facts(axis_edit, start)
        arguments |= _frames(looked)
        return Result(page | numbered("edited", alone), facts, arguments, fields=kept, no_location=self.no_location)


def _say_unlike(work: Work, model: "Model", images: "Tensor", made: "Tensor | None") -> None:
    """Tell somebody who listens which pictures are unlike the model's own; arguments as of `unlike`."""
    from attrimorph.applications.edit import unlike

    if work.say is not None and (said := unlike(model, images, made)):
        work.say("\n".join(said))


def _alone(edited: "Tensor", fields: "Fields | None", looked: "Looked | None") -> "Sequence[Image.Image | Photograph]":
    """Return each edited picture: the photograph at its own size, or as the model shows it."""
    from attrimorph.pictures import to_pil

    return to_pil(edited) if fields is None or looked is None else looked.changed(fields)


def _frames(looked: "Looked | None") -> dict[str, Any]:
    """Return what a receipt says of frames, so that faces need not be found again."""
    return {} if looked is None else {"frames": [[frame.matrix for frame in each] for each in looked.frames]}


def _words(changes: Any) -> str:
    return " ".join(f"{name} {strength:+g}" for name, strength in changes.items())
