"""From the words of a command to a generator, who judges its pictures, its axis pack, and example pictures."""

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from attrimorph.applications import Range
from attrimorph.applications.axes import AxisPack, load_pack
from attrimorph.applications.axes.trajectory import JudgeGuide, logits_of
from attrimorph.data import Attribute, Schema
from attrimorph.data.readers.raw import IMAGE_SUFFIXES
from attrimorph.errors import AttrimorphError
from attrimorph.evaluators.evaluator import SHIPPED
from attrimorph.evaluators.judge import Judge, OwnClassifier, judge_for, load_judge
from attrimorph.files import file_sha256
from attrimorph.loading import load
from attrimorph.models import Strengths
from attrimorph.models.model import Code, Model
from attrimorph.pictures import Pictures
from attrimorph.recipe import AnyRecipe, DataOptions

# --- generators from outside: a torch.export or ONNX file, z in, images out

# A .pt2 file is a program: it is opened only where the user says so beside its name.

SUFFIXES = (".pt2", ".onnx")
RANGES: dict[str, tuple[float, float]] = {"-1..1": (1.0, 0.0), "0..1": (2.0, -1.0), "0..255": (2 / 255, -1.0)}
BATCH = 64
Runs = Callable[[Tensor], Tensor]


class OutsideGenerator(Model):
    """A generator that was made elsewhere: it decodes z ~ N(0, I), and nothing else.

    Its codes are z as one row [B, Z], whatever the shape that the file takes.

    Args:
        path: a .pt2 file of torch.export, or an .onnx file (needs onnxruntime); one input z [B, ...], the first output
            images [B, 3, S, S] or [B, S, S, 3].
        values: the range of its images.

    Raises:
        AttrimorphError: the file cannot be read, or is no such generator.
    """

    conditional = False
    samples = True

    def __init__(self, path: Path, *, values: Range = "-1..1") -> None:
        self.path, self.values = Path(path), values
        if self.path.suffix.lower() not in SUFFIXES:
            raise AttrimorphError(
                f"a generator from outside must be a {' or '.join(SUFFIXES)} file; got {self.path.name}; export it so"
            )
        self.hash = file_sha256(self.path)
        opened = _open_export if self.path.suffix.lower() == ".pt2" else _open_onnx
        self._run, shape = opened(self.path)
        # A batch that the file fixes is filled up, and what is too much is thrown away.
        self._batch = shape[0] if isinstance(shape[0], int) and shape[0] > 0 else None
        self.shape = tuple(int(side) for side in shape[1:])
        self.device, self.networks, self.images_seen, self.card = "cpu", {}, 0, {}
        self.strengths = Strengths()
        # It has no attributes of its own; a schema has at least one.
        self.schema = Schema((Attribute("outside", "real"),))
        size = self._images(torch.zeros(1, *self.shape)).shape[-1]
        self.image_size = size
        name = "".join(letter if letter.isalnum() or letter in " .+-_" else "-" for letter in self.path.stem)
        self.recipe = AnyRecipe.model_construct(
            name=name or "outside", about="", method="outside", data=DataOptions.model_construct(image_size=size)
        )
        self.header = {"examples": [0.0], "preprocessing": {}, "schema": self.schema.to_json()}

    @torch.no_grad()
    def decode(self, code: Code) -> Pictures:
        """Return the generator's images, float32 [B, 3, S, S] in [-1, 1]."""
        step = self._batch or BATCH
        parts = [self._images(part) for part in torch.split(self._shaped(code.z), step)]
        return torch.cat(parts).as_subclass(Pictures)

    def sample_codes(self, count: int, generator: torch.Generator, attributes: Tensor | None = None) -> Code:
        """Draw z from N(0, I)."""
        return Code(torch.randn(count, math.prod(self.shape), generator=generator), torch.zeros(count, 1))

    def _shaped(self, z: Tensor) -> Tensor:
        return z.float().cpu().view(len(z), *self.shape)

    def _images(self, z: Tensor) -> Tensor:
        few = len(z)
        if self._batch is not None and few < self._batch:
            z = torch.cat([z, z.new_zeros(self._batch - few, *self.shape)])
        try:
            images = self._run(z)[:few].float()
        except Exception as error:  # a foreign program fails in any way
            reason = " ".join(str(error).split())[:120]
            raise AttrimorphError(f"{self.path} must take z {tuple(z.shape)} and give images; {reason}") from error
        if images.dim() == 4 and images.shape[1] != 3 and images.shape[-1] == 3:
            images = images.permute(0, 3, 1, 2)
        if images.dim() != 4 or images.shape[1] != 3 or images.shape[2] != images.shape[3]:
            raise AttrimorphError(
                f"{self.path} must give square colour images [B, 3, S, S]; it gives {tuple(images.shape)}; export it so"
            )
        scale, shift = RANGES[self.values]
        return images.mul(scale).add(shift).clamp(-1, 1).contiguous()


class OutsideProgram(OutsideGenerator):
    """A generator of torch.export: gradients pass, so that photographs can be inverted and a judge be followed."""

    def generate(self, z: Tensor, attributes: Tensor) -> Tensor:
        """Return images [B, 3, S, S] as `decode` does, with gradients towards z where it wants any."""
        step = self._batch or BATCH
        return torch.cat([self._images(part) for part in torch.split(self._shaped(z), step)])


def outside_generator(path: Path, *, values: Range = "-1..1", program: bool = False) -> OutsideGenerator:
    """Open a file as what it can be; arguments and errors as of `OutsideGenerator`.

    Args:
        path, values: as of `OutsideGenerator`.
        program: whether the user said that a program may be run; no file that was read can say so.
    """
    if Path(path).suffix.lower() != ".pt2":
        return OutsideGenerator(path, values=values)
    if not program:
        raise AttrimorphError(
            f"a .pt2 file is a program, which may do whatever you may; got {path}; export it as .onnx, or add "
            "--run-program if you would run any program of its maker's"
        )
    return OutsideProgram(path, values=values)


def _open_export(path: Path) -> tuple[Runs, tuple[Any, ...]]:
    try:
        program = torch.export.load(path)
        inputs = program.graph_signature.user_inputs
        if len(inputs) != 1:
            raise ValueError(f"it takes {len(inputs)} inputs")
        node = next(node for node in program.graph.nodes if node.name == inputs[0])
        shape = tuple(side if isinstance(side, int) else None for side in node.meta["val"].shape)
        module = program.module().requires_grad_(False)
    except Exception as error:  # a damaged or foreign archive fails in nearly every way
        raise AttrimorphError(
            f"{path} must be a generator of one input saved by torch.export.save; it is none "
            f"({' '.join(str(error).split())[:120]})"
        ) from error

    def run(z: Tensor) -> Tensor:
        found = module(z)
        images: Tensor = found[0] if isinstance(found, tuple | list) else found
        return images

    return run, _checked(path, shape)


def _open_onnx(path: Path) -> tuple[Runs, tuple[Any, ...]]:
    try:
        import onnxruntime  # type: ignore[import-not-found,import-untyped,unused-ignore]
    except ImportError as error:
        raise AttrimorphError(
            "ONNX files need the package onnxruntime; install it with `pip install onnxruntime`"
        ) from error
    try:
        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        inputs = session.get_inputs()
    except Exception as error:
        raise AttrimorphError(f"{path} is no readable ONNX file ({' '.join(str(error).split())[:120]})") from error
    if len(inputs) != 1:
        raise AttrimorphError(f"{path} must have one input, z; it has {len(inputs)}; export it so")
    shape = tuple(side if isinstance(side, int) else None for side in inputs[0].shape)

    def run(z: Tensor) -> Tensor:
        return torch.from_numpy(session.run(None, {inputs[0].name: z.numpy()})[0])

    return run, _checked(path, shape)


def _checked(path: Path, shape: tuple[Any, ...]) -> tuple[Any, ...]:
    if len(shape) < 2 or not all(isinstance(side, int) and 0 < side <= 65_536 for side in shape[1:]):
        raise AttrimorphError(f"{path} must take z of a fixed size [B, Z]; it takes {shape}; export it so")
    return shape


WITH, WITHOUT = ("with", "positive", "1"), ("without", "negative", "0")
"""What the two folders of examples may be called."""


def generator_named(source: str, device: str = "cpu", *, values: Range = "-1..1", program: bool = False) -> Model:
    """Return a model of the project, or a generator from outside where the name is that of such a file."""
    if Path(source).suffix.lower() in SUFFIXES:
        return outside_generator(Path(source), values=values, program=program)
    return load(source, device)


def judge_named(source: str | None, model: Model) -> Judge | OwnClassifier:
    """Return who judges a generator's pictures.

    Args:
        source: a judge (shipped, or a file), or a model with a classifier; None: the shipped judge that knows the
            generator's attributes at its size, or else its own classifier.
        model: the generator.

    Raises:
        AttrimorphError: there is none.
    """
    if source is None:
        if (judge := judge_for(model.schema, model.image_size, model.device)) is not None:
            return judge
        if "classifier" in model.networks:
            return OwnClassifier(model)
        raise AttrimorphError(
            f"somebody must judge the pictures of {model.recipe.name!r}; it has no classifier; add --judge with a "
            "judge (`attrimorph judge` trains one) or a model that has a classifier"
        )
    try:
        return load_judge(source, model.device)
    except AttrimorphError as error:
        refused = error
    try:
        other = load(source, model.device)
    except AttrimorphError:
        raise refused from None
    if "classifier" not in other.networks:
        raise AttrimorphError(f"{source} must be a judge or a model with a classifier; it has none; name another")
    return OwnClassifier(other)


def guide_of(judge: Judge | OwnClassifier, model: Model) -> JudgeGuide:
    """Return a judge as one who is followed through a generator."""
    reads = judge.logits if isinstance(judge, OwnClassifier) else logits_of(judge)
    return JudgeGuide(model, reads, judge.schema)


def pack_path(source: str) -> Path:
    """Return where a generator's axes are kept unless somebody says otherwise: beside it, or in runs/axes.

    A run folder or a folder in the hub's layout holds axes.safetensors; MODEL.safetensors has MODEL.axes.safetensors
    beside it; those of a shipped model are in runs/axes/NAME.safetensors.
    """
    path = Path(source)
    if path.is_dir():
        return path / "axes.safetensors"
    if path.is_file():
        return path.with_name(f"{path.stem}.axes.safetensors")
    return Path("runs/axes") / f"{path.name}.safetensors"


def find_pack(source: str) -> Path:
    """Return the axes of a generator: those that somebody fitted, or those that came with it.

    Raises:
        AttrimorphError: there are none.
    """
    path, shipped = pack_path(source), SHIPPED / f"axes-{source}.safetensors"
    for candidate in (path, shipped):
        if candidate.is_file():
            return candidate
    raise AttrimorphError(f"there are no axes of {source!r} yet; make some with `attrimorph axes fit {source}`")


def pack_of(source: str) -> AxisPack | None:
    """Return the axes beside a generator, or None where there are none."""
    try:
        path = find_pack(source)
    except AttrimorphError:
        return None
    return load_pack(path)


def examples_in(folder: Path) -> tuple[list[Path], list[Path]]:
    """Return the pictures in a folder's two folders, with the attribute and without it.

    Raises:
        AttrimorphError: it has no such folders.
    """
    found = []
    for names in (WITH, WITHOUT):
        here = next((folder / name for name in names if (folder / name).is_dir()), None)
        if here is None:
            raise AttrimorphError(
                f"{folder} must hold the folders {WITH[0]} and {WITHOUT[0]}; {names[0]} is missing; "
                "put the pictures with the attribute into one and those without it into the other"
            )
        found.append(pictures_of([here]))
    return found[0], found[1]


def pictures_of(paths: Sequence[Path]) -> list[Path]:
    """Return pictures, and for folders the pictures in them, in order."""
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            found += sorted(each for each in path.iterdir() if each.suffix.lower() in IMAGE_SUFFIXES)
        else:
            found.append(path)
    return found
