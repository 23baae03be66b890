"""Model files of strangers: what their headers and tensors may be, and how long it takes to see that."""

import json
import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from attrimorph import cli
from attrimorph.cli.app import Terminal
from attrimorph.console import plain
from attrimorph.data import Attribute, Schema
from attrimorph.errors import AttrimorphError
from attrimorph.loading import load, parse_header
from attrimorph.models import read_json
from benchmarks.hostile.models import mutated
from tests.tiny_models import tiny_model


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model")
    tiny_model(folder)
    return folder / "model.safetensors"


def changed(model: Path, out: Path, change: Callable[[dict[str, Any], dict[str, torch.Tensor]], object]) -> Path:
    header, tensors = read_json(model), load_file(model)
    change(header, tensors)
    save_file(tensors, out, {"attrimorph": json.dumps(header)})
    return out


@pytest.mark.parametrize("kind", [torch.int64, torch.bool, torch.uint8, torch.int8])
def test_weights_are_floats(kind: torch.dtype, model: Path, tmp_path: Path) -> None:
    def change(header: Any, tensors: dict[str, torch.Tensor]) -> None:
        tensors["generator.last.weight"] = tensors["generator.last.weight"].to(kind)

    with pytest.raises(AttrimorphError, match=r"do not fit its recipe \(generator\.last\.weight is of torch\."):
        load(changed(model, tmp_path / "it.safetensors", change))


@pytest.mark.parametrize(
    ("place", "value"),
    [
        ("images_seen", -1), ("images_seen", True), ("images_seen", 2**64), ("images_seen", 0.5),
        ("examples", [float("nan")] * 25), ("examples", [10**400] * 25), ("examples", [1e30] * 25),
        ("card", {"figures": []}), ("card", {"figures": {"edit.x": "a"}}), ("card", {"protocols": {"edit.x": 1}}),
        ("reconstruction", {"psnr": float("nan"), "deviation": 1}),
        ("reconstruction", {"psnr": 10**400, "deviation": 1}),
        ("preprocessing", {"crop": True}), ("preprocessing", {"crop": -3}), ("preprocessing", {"crop": "left"}),
        ("preprocessing", {"crop": 3, "of": [0, 5]}), ("preprocessing", {"crop": 3, "of": [5]}),
        ("preprocessing", {"crop": {"left": 5, "top": 0, "right": 5, "bottom": 9}}),
        ("preprocessing", {"crop": {"left": 0, "top": 0, "right": 10**400, "bottom": 9}}),
    ],
)  # fmt: skip
def test_a_header_that_does_not_fit_is_refused(place: str, value: Any, model: Path) -> None:
    with pytest.raises(AttrimorphError, match=f"has {place!r} of a wrong form"):
        parse_header(read_json(model) | {place: value})


@pytest.mark.parametrize(
    "name", ["", "a" * 251, "\x1b]0;owned\x07", "a\x9b2J", "a\nb", "a\u202eb", "__proto__", "constructor", "toString"]
)
def test_names_that_no_page_nor_terminal_takes_are_refused(name: str) -> None:
    with pytest.raises(AttrimorphError, match="a name must be 1 to 250 plain letters"):
        Attribute(name)
    with pytest.raises(AttrimorphError, match="a name must be 1 to 250 plain letters"):
        Attribute("hair", "categorical", ("brown", name))


def test_a_name_tells_one_column() -> None:
    hair = Attribute("hair", "categorical", ("brown", "a=b"))
    for other in ("hair=brown", "hair=a=b"):
        with pytest.raises(AttrimorphError, match="stands twice"):
            Schema((Attribute(other), hair))
    schema = Schema((Attribute("hair=black"), hair, Attribute("a=b")), (("hair=black", "a=b"),))
    assert [schema.find(name) for name in schema.column_names] == [
        (schema.attributes[0], ""), (hair, "brown"), (hair, "a=b"), (schema.attributes[2], ""),
    ]  # fmt: skip
    assert schema.excluded_by("hair=brown") == ("hair=a=b",)
    assert schema.excluded_by("a=b") == ("hair=black",)
    columns = schema.mutually_exclusive.tolist()
    for name, row in zip(schema.column_names, columns, strict=True):
        assert schema.excluded_by(name) == tuple(
            other for other, out in zip(schema.column_names, row, strict=True) if out
        )


def test_a_header_is_checked_in_linear_time(model: Path) -> None:
    def seconds(count: int) -> float:
        rest = {"kind": "binary", "values": [], "mean": 0.0, "scale": 1.0}
        attributes = [{"name": f"attribute {number}=", **rest} for number in range(count)]
        names = [each["name"] for each in attributes]
        value = read_json(model) | {
            "schema": {"attributes": attributes, "exclusive": [names[:2]]},
            "examples": [1.0] * count,
            "strength": {"version": 1, "about": {}, "positions": {name: {"set": [0.5]} for name in names}},
        }
        begin = time.process_time()
        parse_header(value)
        return time.process_time() - begin

    few = min(seconds(2_500) for _ in range(3))
    assert min(seconds(20_000) for _ in range(3)) < 32 * few  # four times what is linear; squares would be 64 times


def test_changed_model_files_are_read_or_refused(
    model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The first of those of `benchmarks/hostile/models.py`."""
    draw, path = random.Random(5), tmp_path / "it.safetensors"
    codes = []
    for _ in range(40):
        path.write_bytes(mutated(model, draw))
        codes.append(cli.run(["attributes", str(path)]))
        said = capsys.readouterr()
        assert codes[-1] in (0, 2), said.err
        assert not any(ord(letter) < 32 and letter != "\n" for letter in said.err + said.out)
    assert {0, 2} == set(codes)


def test_what_is_printed_moves_no_cursor(tmp_path: Path) -> None:
    assert plain("a\x1b[2J\u202eb\x9b1m\tc\n") == "a?[2J?b?1m\tc\n"
    with (tmp_path / "out").open("wb") as file, Terminal(file, "utf-8", line_buffering=True) as stream:
        print("\x1b]0;owned\x07 é", file=stream)
    assert (tmp_path / "out").read_text(encoding="utf-8") == "?]0;owned? é\n"
