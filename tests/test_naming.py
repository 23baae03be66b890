"""Names of results, and Name=number words."""

from pathlib import Path

import pytest
import torch

from attrimorph.data import Attribute, Schema
from attrimorph.errors import AttrimorphError
from attrimorph.requests import parse_names, parse_settings, result_path


def test_a_named_picture_is_taken_as_it_is(tmp_path: Path) -> None:
    assert result_path(tmp_path / "x.png", "edit") == tmp_path / "x.png"


def test_a_folder_gets_the_next_free_name(tmp_path: Path) -> None:
    photo = [Path("photos/ada.jpg")]
    assert result_path(tmp_path, "edit", photo) == tmp_path / "edit-ada.png"
    (tmp_path / "edit-ada.png").touch()
    (tmp_path / "edit-ada-2.json").touch()
    assert result_path(tmp_path, "edit", photo) == tmp_path / "edit-ada-3.png"
    assert result_path(None, "sample") == Path("runs/results/sample.png")


SCHEMA = Schema(
    (
        Attribute("Smiling"),
        Attribute("Blond_Hair"),
        Attribute("age", "real", mean=40, scale=10),
        Attribute("class", "categorical", ("smiling", "neutral")),
        Attribute("digit", "categorical", tuple("0123456789")),
        Attribute("a=b"),
        Attribute("x", "categorical", ("y", "y=0.5")),
    )
)


@pytest.mark.parametrize(
    ("word", "change"),
    [
        ("Smiling=1", {"Smiling": 1}),
        ("Smiling=-0.5", {"Smiling": -0.5}),
        ("age=2", {"age": 2}),
        ("class=smiling", {"class=smiling": 1}),
        ("class=smiling=1", {"class=smiling": 1}),
        ("class=smiling=0.5", {"class=smiling": 0.5}),
        ("class=smiling=-1", {"class=smiling": -1}),
        ("digit=3", {"digit=3": 1}),
        ("digit=3=0.5", {"digit=3": 0.5}),
        ("a=b=1", {"a=b": 1}),
        ("x=y", {"x=y": 1}),
        ("x=y=0.5", {"x=y=0.5": 1}),
        ("x=y=0.5=-1", {"x=y=0.5": -1}),
        ("hair colour=1.5", {"hair colour": 1.5}),
    ],
)
def test_settings(word: str, change: dict[str, float]) -> None:
    assert parse_settings([word], SCHEMA, groups=["hair colour"]) == change


@pytest.mark.parametrize(
    ("word", "sentence"),
    [
        ("Smiling", "write --known Smiling=1"),
        ("a=b", "write --known a=b=1"),
        ("hair colour", "write --known 'hair colour=1'"),
        ("class", "class takes one of its values, smiling, neutral; write class=smiling"),
        ("class=0.5", "no value '0.5'; it takes one of smiling, neutral"),
        ("class=smilng", "did you mean 'smiling'?"),
        ("class=Neutral=1", "did you mean 'neutral'?"),
        ("class==1", "no value ''"),
        ("class=smiling=much", "class=smiling must be a number"),
        ("digit=12", "it takes one of 0, 1, 2, 3, 4, 5, 6, 7 and 2 more"),
        ("Smiling=", "must be a number"),
        ("Smiling=much", "must be a number"),
        (
            "smiling=1",
            "did you mean 'Smiling'? there are: Smiling, Blond_Hair, age (real), class (one of smiling, neut",
        ),
        ("blond hair=1", "did you mean 'Blond_Hair'?"),
        ("BLOND-HAIR=1", "did you mean 'Blond_Hair'?"),
        ("zzz=1", "there is no attribute 'zzz'; there are: Smiling,"),
        ("zzz=yes", "a=b, x (one of y, y=0.5); groups are: hair colour"),
        ("=1", "--known =1: there is no attribute ''"),
        ("", "there is no attribute ''"),
    ],
)
def test_other_words_are_refused_with_what_there_is(word: str, sentence: str) -> None:
    with pytest.raises(AttrimorphError, match=r"^--known") as refused:
        parse_settings([word], SCHEMA, "--known", ["hair colour"])
    assert sentence in str(refused.value)


def test_a_word_stands_once() -> None:
    with pytest.raises(AttrimorphError, match="class=smiling stands twice"):
        parse_settings(["class=smiling", "class=smiling=0.5"], SCHEMA)


def test_words_without_a_schema_are_left_to_who_knows_the_names() -> None:
    assert parse_settings(["a=1", "class=smiling", "class=smiling=-1"][:2], None) == {"a": 1, "class=smiling": 1}
    for word in ("", "a", "=1"):
        with pytest.raises(AttrimorphError, match="must be a number"):
            parse_settings([word], None)


def test_changes_in_python() -> None:
    assert SCHEMA.changes({"class": "smiling", "Smiling": 0.5}) == {"class=smiling": 1, "Smiling": 0.5}
    assert SCHEMA.changes({"class=smiling": -1}) == {"class=smiling": -1}
    assert SCHEMA.facts({"class": "neutral", "age": 51, "Smiling": 0}) == {"class=neutral": 1, "age": 51, "Smiling": 0}
    y = torch.zeros(1, SCHEMA.width)
    assert torch.equal(SCHEMA.edit(y, {"class": "neutral"}), SCHEMA.edit(y, {"class=neutral": 1}))
    assert SCHEMA.edit(y, {"a=b": 1})[0, SCHEMA.columns("a=b").start] == 1


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"class": "smilng"}, "did you mean 'smiling'?"),
        ({"class": 1}, "write class=smiling"),
        ({"Smiling": "yes"}, "Smiling takes a number; got 'yes'; 1 sets it, -1 takes it away"),
        ({"age": "old"}, r"age \(real\) takes a number"),
        ({"clas": "smiling"}, "did you mean 'class'?"),
        ({"Smiling": float("nan")}, "must lie in -100..100; Smiling got nan"),
        ({"class=smiling": 101}, "class=smiling got 101"),
    ],
)
def test_changes_that_cannot_be(changes: dict[str, float | str], sentence: str) -> None:
    with pytest.raises(AttrimorphError, match=sentence.replace("?", r"\?")):
        SCHEMA.changes(changes)


def test_many_attributes_are_not_listed() -> None:
    many = Schema(tuple(Attribute(f"a{number}") for number in range(60)))
    with pytest.raises(AttrimorphError, match=r"did you mean 'a5'\? there are 60; `attrimorph attributes MODEL` lists"):
        many.find("A_5")


def test_names() -> None:
    assert parse_names(" a, b,,c ") == ["a", "b", "c"]


def test_a_place_that_cannot_be_written_is_told_at_once(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for out in (tmp_path / "file/x.png", tmp_path / "file/deep/x.png"):
        with pytest.raises(AttrimorphError, match="it is a file, no folder"):
            result_path(out, "edit")
    with pytest.raises(AttrimorphError, match=r"must be a \.png file; got 'x.jpg'; try x.png"):
        result_path(tmp_path / "x.jpg", "edit")
    assert result_path(tmp_path / "x.gif", "morph") == tmp_path / "x.gif"
