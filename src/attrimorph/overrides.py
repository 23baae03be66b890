"""Recipes from names, files and dotted words: `--training.batch-size 32`, YAML, JSON.

Works on any pydantic model, so that a field added to a recipe can be set from the command line at once.
"""

import inspect
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from attrimorph.errors import AttrimorphError, shown, suggestion
from attrimorph.files import reading

ModelT = TypeVar("ModelT", bound=BaseModel)
KeyPath = tuple[str, ...]
RECIPE_FILES = (".yaml", ".yml", ".json")
WHERE = "see the fields with `attrimorph recipes NAME`"


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
        if not head and name.startswith(prefix):
            return name.removeprefix(prefix), "false"
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
