"""The whole of a run as one frozen value: what every recipe has; and recipes from names, files and dotted words.

Words (`--training.batch-size 32`, YAML, JSON) work on any pydantic model, so that a field added to a recipe can be set
from the command line at once. No torch here, nor in any method's own recipe.
"""

import inspect
import json
import math
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from functools import partial
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from attrimorph.errors import AttrimorphError, shown, suggestion
from attrimorph.files import reading

Images = Annotated[int, Field(gt=0, le=10**12)]
Width = Annotated[int, Field(gt=0, le=4096)]
Share = Annotated[float, Field(ge=0, le=1)]
Weight = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Rate = Annotated[float, Field(gt=0, le=1)]
Decay = Annotated[float, Field(ge=0, lt=1)]
Latent = Annotated[int, Field(gt=0, le=65_536)]
Files = Annotated[str, "files"]
"""Files, or for a model what `load` takes, several joined by commas; empty: none. `files_of` finds such fields."""
ModelT = TypeVar("ModelT", bound=BaseModel)
KeyPath = tuple[str, ...]
RECIPE_FILES = (".yaml", ".yml", ".json")
WHERE = "see the fields with `attrimorph recipes NAME`"


class Options(BaseModel):
    """Frozen, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)


class DataOptions(Options):
    """How images come in.

    Attributes:
        image_size: Side of the square images, a power of two.
        shift: Augmentation: random shift, up to this share of the width.
        flip: Augmentation: probability of a mirrored image; refused where labels say left or right.
        colour: Augmentation: strength of brightness, contrast and saturation jitter.
        order: Of the images of an epoch; blocks: neighbours are read together, and a few thousand at a time shuffled,
            for prepared data larger than the machine's memory.
    """

    image_size: Annotated[int, Field(ge=16, le=1024)] = 64

    @field_validator("image_size")
    @classmethod
    def _power_of_two(cls, value: int) -> int:
        if value & (value - 1):
            raise ValueError(f"image_size must be a power of two; got {value}; try 32, 64 or 128")
        return value

    shift: Annotated[float, Field(ge=0, le=0.25)] = 0.0
    flip: Share = 0.0
    colour: Share = 0.0
    order: Literal["shuffled", "blocks"] = "shuffled"


class OptimiserOptions(Options):
    """One optimiser for each network, all alike.

    Attributes:
        learning_rate: Of E and G, and of D and C unless they have their own.
        discriminator_rate: Learning rate of D (AAE: of S); none for the same as the others'.
        beta1: Adam's first decay.
        beta2: Adam's second decay.
        warmup_images: The rates rise from 0 over the first so many images.
        schedule: How the rates fall to 0 at the last image.
        constant_share: Share of the run before a linear or cosine fall begins.
    """

    learning_rate: Rate = 3e-4
    discriminator_rate: Rate | None = None
    beta1: Decay = 0.5
    beta2: Decay = 0.99
    warmup_images: Annotated[int, Field(ge=0)] = 0
    schedule: Literal["constant", "linear", "cosine"] = "constant"
    constant_share: Share = 0.0

    def rate_factor(self, images_seen: int, images: int) -> float:
        """Return what the learning rates are multiplied by, in [0, 1].

        Args:
            images_seen: the clock.
            images: length of the run.
        """
        factor = 1.0
        if images_seen < self.warmup_images:
            factor = (images_seen + 1) / self.warmup_images
        start = self.constant_share * images
        if self.schedule == "constant" or images_seen <= start:
            return factor
        done = min(1.0, (images_seen - start) / max(images - start, 1.0))
        return factor * (1 - done if self.schedule == "linear" else 0.5 * (1 + math.cos(math.pi * done)))


class TrainingOptions(Options):
    """The loop. The clock is images seen.

    Attributes:
        images: Length of the run.
        batch_size: Images of one step, of all processes together.
        seed: Of initial weights, order, augmentation and noise.
        ema_images: Half-life of the averaged weights that are saved as the model; 0 for none.
        precision: auto: bfloat16 where a measurement shows this machine faster with it.
        memory_format: auto: channels_last where a measurement shows this machine faster with it.
        compile: Compile the networks: a minute or two at the start; worth it on some machines, measure
            (benchmarks/step.py).
        log_images: A line of the log every so many images.
        sample_images: A sample sheet every so many images.
        checkpoint_images: A checkpoint every so many images.
        checkpoint_minutes: One more whenever the last is so many minutes old, so that no more is ever lost; 0: never.
        keep: Checkpoints kept: the newest ones.
        start: A trained model of the same method, attributes and networks (a name, a file, a run's folder), whose
            weights a new run begins with; empty: fresh ones.
    """

    images: Images = 200_000
    batch_size: Annotated[int, Field(ge=2, le=65_536)] = 32
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    ema_images: Annotated[int, Field(ge=0)] = 5_000
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    memory_format: Literal["auto", "channels_last", "contiguous"] = "auto"
    compile: bool = False
    log_images: Images = 1_024
    sample_images: Images = 20_000
    checkpoint_images: Images = 20_000
    checkpoint_minutes: Weight = 10.0
    keep: Annotated[int, Field(gt=0)] = 2
    start: Files = ""


class AnyRecipe(Options):
    """What every recipe has, whatever its method.

    Attributes:
        name: The recipe's name, which its run's folder bears too.
        about: One sentence: what it is for.
        method: Which method: it decides what other fields there are.
    """

    methods: ClassVar[tuple[str, ...]] = ()

    name: str
    about: str = ""
    method: str = "cvae-gan"
    data: DataOptions = DataOptions()
    optimiser: OptimiserOptions = OptimiserOptions()
    training: TrainingOptions = TrainingOptions()

    @field_validator("name")
    @classmethod
    def _folder_name(cls, value: str) -> str:
        if not re.fullmatch(r"\w[\w .+-]{,99}", value):
            raise ValueError(f"name must be letters, digits, spaces and .+- alone; got {shown(value)}")
        return value

    @field_validator("method")
    @classmethod
    def _own_method(cls, value: str) -> str:
        if cls.methods and value not in cls.methods:
            raise ValueError(f"there is no method {value!r} of this kind; {suggestion(value, cls.methods)}")
        return value

    @classmethod
    def table(cls, rows: Mapping[str, Mapping[str, Any]]) -> dict[str, Callable[[], Self]]:
        """Return recipes by name, each built when it is called.

        Args:
            rows: what differs from the fields' defaults, or from the row that `recipe` names. A row whose name begins
                with _ is no recipe: others begin with it.
        """

        def whole(name: str) -> dict[str, Any]:
            row = dict(rows[name])
            return merged(whole(row.pop("recipe")), row) if "recipe" in row else row

        names = (name for name in rows if not name.startswith("_"))
        return {name: partial(cls.model_validate, {"name": name, **whole(name)}) for name in names}

    @classmethod
    def read(cls, path: Path) -> dict[str, Callable[[], Self]]:
        """Return the recipes of a TOML file: its tables are the rows of `table`."""
        return cls.table(tomllib.loads(path.read_text(encoding="utf-8")))

    @property
    def learns_from_labels(self) -> bool:
        """Whether images without labels are of no use to it."""
        return True

    def with_changes(self, changes: dict[str, Any]) -> Self:
        """Return a recipe with dotted fields replaced: {"training.batch_size": 32}; see `override`."""
        return override(self, changes)


def merged(values: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return values with changes put over them, group by group."""
    groups = {name: merged(values.get(name, {}), each) for name, each in changes.items() if isinstance(each, Mapping)}
    return {**values, **changes, **groups}


def field_names(value: dict[str, Any], prefix: str = "") -> list[str]:
    """Return the dotted names of all fields of a dumped recipe."""
    names: list[str] = []
    for key, part in value.items():
        names += field_names(part, f"{prefix}{key}.") if isinstance(part, dict) else [prefix + key]
    return names


def files_of(options: BaseModel, prefix: str = "") -> dict[str, list[str]]:
    """Return dotted name -> the files named there, of all fields that name some."""
    found: dict[str, list[str]] = {}
    for key, about in type(options).model_fields.items():
        part = getattr(options, key)
        if isinstance(part, BaseModel):
            found |= files_of(part, f"{prefix}{key}.")
        elif "files" in about.metadata:
            found[prefix + key] = [*filter(None, map(str.strip, part.split(",")))]
    return found


def parse_words(words: Sequence[str], options: Sequence[str] = ()) -> dict[str, str]:
    """Read `--a.b 1`, `--a.b=1`, `--flag` and `--no-flag` into dotted name -> text.

    Args:
        words: what the command line did not know.
        options: what it does know, so that a slip of the pen in those is told.

    Raises:
        AttrimorphError: a word that is no option, or an option given twice.
    """
    result: dict[str, str] = {}
    rest = list(words)
    while rest:
        word = rest.pop(0)
        if not word.startswith("--") or len(word) < 3:
            raise AttrimorphError(
                f"overrides are written --field.name value; got {word!r}; see the fields with `attrimorph recipes NAME`"
            )
        name, equals, text = word[2:].partition("=")
        if "." not in name and (meant := get_close_matches(name, options, n=1, cutoff=0.8)):
            raise AttrimorphError(f"there is no option --{name}; did you mean --{meant[0]}?")
        if not equals:
            if rest and not rest[0].startswith("--"):
                text = rest.pop(0)
            else:
                name, text = _flag(name)
        if name in result:
            raise AttrimorphError(f"--{name} stands twice; keep one of them")
        result[name] = text
    return result


def _flag(name: str) -> tuple[str, str]:
    head, dot, last = name.rpartition(".")
    for prefix in ("no-", "no_"):
        if last.startswith(prefix):
            return head + dot + last.removeprefix(prefix), "false"
    if name.startswith("no-"):
        return name.removeprefix("no-"), "false"
    return name, "true"


def read_mapping(path: Path) -> dict[str, Any]:
    """Read a YAML or JSON file that holds a mapping.

    Raises:
        AttrimorphError: missing, unreadable, no YAML, or no mapping.
    """
    import yaml

    try:
        with reading(path):
            value = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        reason = " ".join(str(error).split()) or "nested too deeply"
        raise AttrimorphError(f"{path} must be a YAML or JSON file; reading it failed: {reason}") from error
    if not isinstance(value, dict) or not all(isinstance(key, str) for key in value):
        held = "nothing" if value is None else f"a {type(value).__name__}"
        raise AttrimorphError(f"{path} must hold `field: value` lines; it holds {held}; see `attrimorph recipes NAME`")
    return value


def build(model: type[ModelT], values: Mapping[str, Any]) -> ModelT:
    """Validate a whole recipe given as plain values.

    Raises:
        AttrimorphError: a field is unknown, missing or wrong; the sentence says which.
    """
    try:
        return model.model_validate(dict(values))
    except ValidationError as error:
        raise AttrimorphError(_sentence(error, model)) from error


def override(recipe: ModelT, changes: Mapping[str, Any]) -> ModelT:
    """Return the recipe with some fields changed, validated anew.

    Args:
        recipe: stays as it is.
        changes: dotted names in kebab or snake case, or nested mappings -> values, or text that stands for them
            ("32", "1e-4", "true", "none", "[1, 2]").

    Raises:
        AttrimorphError: a field is unknown (with the nearest known one) or its value is wrong.
    """
    given = dict(_leaves(recipe, changes))
    values = recipe.model_dump()
    for path, value in given.items():
        _place(values, path, None if _says_none(value) else value)
    try:
        result = type(recipe).model_validate(values)
    except ValidationError as error:
        _second_reading(error, values, given)
        result = build(type(recipe), values)
    for path, value in given.items():
        if isinstance(value, bool) and not isinstance(_at(result, path), bool):
            raise AttrimorphError(f"{_dotted(path)} must not be true or false; got {value}; {WHERE}")
    return result


def find_recipe(
    word: str, recipes: Mapping[str, Callable[[], ModelT]], read: Callable[[dict[str, Any]], ModelT]
) -> ModelT:
    """Return the recipe that `word` stands for.

    Args:
        word: a recipe's name, a YAML or JSON file (a whole recipe, or `recipe: NAME` and what to change), or a
            run folder.
        recipes: the known ones.
        read: makes a whole recipe of plain values.

    Raises:
        AttrimorphError: there is none such, or it is wrong.
    """
    if word in recipes:
        return recipes[word]()
    path = Path(word)
    if path.is_dir():
        path = path / "recipe.json"
    elif path.suffix.lower() not in RECIPE_FILES and not path.is_file():
        raise AttrimorphError(f"there is no recipe {word!r}, nor a file of that name; {suggestion(word, recipes)}")
    values = read_mapping(path)
    base = values.pop("recipe", None)
    if base is None or isinstance(base, dict):
        # A run's recipe.json holds the whole recipe beside other things.
        return read(values if base is None else base)
    if not isinstance(base, str) or base not in recipes:
        near = suggestion(base if isinstance(base, str) else "", recipes)
        raise AttrimorphError(f"there is no recipe {shown(base)} that {path} could change; {near}")
    return override(recipes[base](), values)


def to_yaml(recipe: BaseModel, depth: int = 0) -> str:
    """Write a recipe as YAML with each field's meaning beside it; `override` and `build` read it back."""
    lines = []
    plain = recipe.model_dump(mode="json")
    meanings = meanings_of(type(recipe))
    for name, field in type(recipe).model_fields.items():
        value, meaning = getattr(recipe, name), field.description or meanings.get(name)
        if isinstance(value, BaseModel):
            lines += [f"{'  ' * depth}{name}:", to_yaml(value, depth + 1)]
            continue
        first, *more = _entry(name, plain[name])
        first, more = "  " * depth + first, ["  " * (depth + 1) + line for line in more]
        lines += [f"{first:<43} # {meaning}" if meaning else first, *more]
    return "\n".join(lines)


def _entry(name: str, value: Any) -> list[str]:
    """Write one field: JSON is YAML too; what is long gets a line for each of its entries."""
    text = json.dumps(value, ensure_ascii=False)
    if len(text) < 80 or not value or not isinstance(value, list | dict):
        return [f"{name}: {text}"]
    if isinstance(value, list):
        return [f"{name}:", *(f"- {json.dumps(entry, ensure_ascii=False)}" for entry in value)]
    pairs = (f"{key}: {json.dumps(entry, ensure_ascii=False)}" for key, entry in value.items())
    return [f"{name}:", *pairs]


def meanings_of(kind: type[BaseModel]) -> dict[str, str]:
    """Return what classes say of their attributes, by field: comments in YAML, help of options, words of an API."""
    found: dict[str, str] = {}
    for each in reversed(kind.__mro__):
        text = inspect.cleandoc(each.__dict__.get("__doc__") or "").partition("\nAttributes:\n")[2]
        entries = re.findall(r"^    (\w+): (.*(?:\n {8}.*)*)", text, flags=re.MULTILINE)
        found |= {name: " ".join(words.split()) for name, words in entries}
    return found


def _leaves(model: BaseModel, changes: Mapping[str, Any], path: KeyPath = ()) -> Iterator[tuple[KeyPath, Any]]:
    """Resolve dotted and nested names against the recipe itself: every name is checked here."""
    for key, value in changes.items():
        if not isinstance(key, str):
            raise AttrimorphError(
                f"the names of a recipe's fields are text; got {shown(key)} in {_dotted(path) or 'it'}"
            )
        head, _, tail = key.partition(".")
        name = head.replace("-", "_")
        if name not in type(model).model_fields:
            raise AttrimorphError(_unknown((*path, name), model, path))
        inner = getattr(model, name)
        here = (*path, name)
        if isinstance(inner, BaseModel):
            if tail:
                yield from _leaves(inner, {tail: value}, here)
            elif isinstance(value, Mapping):
                yield from _leaves(inner, value, here)
            else:
                known = ", ".join(f"{_dotted(here)}.{field}" for field in list(type(inner).model_fields)[:4])
                raise AttrimorphError(f"{_dotted(here)} is a group of fields; got {shown(value)}; set one of {known}")
        elif tail and not isinstance(inner, dict):
            raise AttrimorphError(f"{_dotted(here)} has no fields of its own; got {key!r}; {WHERE}")
        else:
            yield (*here, *(tail.split(".") if tail else ())), value


def _unknown(path: KeyPath, model: BaseModel, above: KeyPath) -> str:
    word = path[-1]
    leaves = {name.rpartition(".")[2]: _dotted((*above, name)) for name in all_names(type(model))}
    # A bare `--batch-size` most often means the one field of that name somewhere below.
    near = get_close_matches(word, [*type(model).model_fields, *leaves], n=1, cutoff=0.6)
    if near:
        hint = f"did you mean {leaves.get(near[0], _dotted((*above, near[0])))!r}?"
    else:
        hint = suggestion(_dotted(path), [_dotted((*above, name)) for name in type(model).model_fields])
    return f"a recipe has no field {_dotted(path)!r}; {hint}"


def _second_reading(error: ValidationError, values: dict[str, Any], given: Mapping[KeyPath, Any]) -> None:
    """Where text as it stands was refused, read it as YAML: lists and mappings; "none" as the word itself."""
    import yaml

    for item in error.errors():
        words = [str(part) for part in item["loc"]]
        for path, value in given.items():
            if not isinstance(value, str) or not _is_subsequence(path, words):
                continue
            if _says_none(value):
                _place(values, path, value)
                continue
            try:
                parsed = yaml.safe_load(value)
            except (yaml.YAMLError, ValueError, RecursionError):
                continue
            if isinstance(parsed, list | dict):
                _place(values, path, parsed)


def all_names(model: type[BaseModel], prefix: str = "") -> Iterator[str]:
    """List the dotted names of every leaf field of a kind of recipe."""
    for name, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from all_names(field.annotation, f"{prefix}{name}.")
        else:
            yield prefix + name


def _sentence(error: ValidationError, model: type[BaseModel]) -> str:
    item = error.errors()[0]
    dotted = ".".join(str(part) for part in item["loc"])
    if item["type"] == "extra_forbidden":
        return f"a recipe has no field {dotted!r}; {suggestion(dotted, all_names(model))}"
    if item["type"] == "missing":
        return f"the recipe lacks the field {dotted!r}; {WHERE}"
    message = item["msg"].removeprefix("Value error, ").removeprefix("Assertion failed, ")
    rule = message.replace("Input should be", "must be").partition(", unable to parse")[0]
    # Rules about several fields at once say themselves which.
    if not dotted or not message.startswith("Input should"):
        return f"{dotted}: {rule}" if dotted else rule
    return f"{dotted} {rule}; got {shown(item['input'])}; {WHERE}"


def _says_none(value: Any) -> bool:
    return isinstance(value, str) and value.lower() in ("none", "null")


def _dotted(path: KeyPath) -> str:
    return ".".join(path)


def _place(values: dict[str, Any], path: KeyPath, value: Any) -> None:
    for name in path[:-1]:
        values = values.setdefault(name, {})
    values[path[-1]] = value


def _at(recipe: BaseModel, path: KeyPath) -> Any:
    value: Any = recipe
    for name in path:
        value = value.get(name) if isinstance(value, dict) else getattr(value, name)
    return value


def _is_subsequence(path: KeyPath, words: Sequence[str]) -> bool:
    rest = iter(words)
    return all(name in rest for name in path)
