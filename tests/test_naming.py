"""Names of results, and Name=number words."""

from pathlib import Path

import pytest

from attrimorph.errors import AttrimorphError
from attrimorph.naming import parse_names, parse_settings, result_path


def test_a_named_picture_is_taken_as_it_is(tmp_path: Path) -> None:
    assert result_path(tmp_path / "x.png", "edit") == tmp_path / "x.png"


def test_a_folder_gets_the_next_free_name(tmp_path: Path) -> None:
    photo = [Path("photos/ada.jpg")]
    assert result_path(tmp_path, "edit", photo) == tmp_path / "edit-ada.png"
    (tmp_path / "edit-ada.png").touch()
    (tmp_path / "edit-ada-2.json").touch()
    assert result_path(tmp_path, "edit", photo) == tmp_path / "edit-ada-3.png"
    assert result_path(None, "sample") == Path("runs/results/sample.png")


def test_settings() -> None:
    assert parse_settings(["Smiling=1", "person=Ada=0.5", "Male=-1"]) == {"Smiling": 1, "person=Ada": 0.5, "Male": -1}
    assert parse_names(" a, b,,c ") == ["a", "b", "c"]


@pytest.mark.parametrize("word", ["Smiling", "=1", "Smiling=", "Smiling=much", ""])
def test_other_words_are_refused(word: str) -> None:
    with pytest.raises(AttrimorphError, match="--known"):
        parse_settings([word], "--known")
