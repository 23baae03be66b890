"""Schema.edit, the heart of every edit: hand values, and what holds for every schema row and every strength."""

import json
import math

import pytest
import torch
from hypothesis import HealthCheck, Phase, assume, given, settings
from hypothesis import strategies as st
from torch import Tensor

from attrimorph.data import KINDS, Attribute, Schema
from attrimorph.errors import AttrimorphError

SCHEMA = Schema(
    (
        Attribute("Black"),
        Attribute("Blond"),
        Attribute("Bald"),
        Attribute("Hat"),
        Attribute("Smiling"),
        Attribute("person", "categorical", ("Ada", "Ben", "Cleo")),
        Attribute("age", "real", mean=40, scale=10),
    ),
    exclusive=(("Black", "Blond", "Bald"), ("Bald", "Hat"), ("Hat", "Bald")),
)
NAMES = SCHEMA.column_names
BINARY = NAMES[:5]
ROW = torch.tensor([[0.2, 0.6, 0.1, 0.4, 0.7, 0.5, 0.3, 0.2, -1.0]], dtype=torch.float64)
DRAWN = settings(deadline=None, derandomize=True, max_examples=60)
# Shrinking what failed may take longer than a test may.
MANY = settings(DRAWN, phases=[Phase.generate], suppress_health_check=list(HealthCheck))
unit = st.floats(0, 1, width=32)
strengths = st.floats(-3, 3, width=32)
rows = st.lists(st.tuples(*[unit] * len(NAMES)), min_size=1, max_size=4).map(
    lambda values: torch.tensor(values, dtype=torch.float64)
)


def values(y: Tensor) -> dict[str, float]:
    return {name: round(value, 6) for name, value in zip(NAMES, y[0].tolist(), strict=True)}


@pytest.mark.parametrize(
    ("changes", "moved"),
    [
        ({"Black": 0.25}, {"Black": 0.4, "Blond": 0.45, "Bald": 0.075}),
        ({"Black": 1}, {"Black": 1, "Blond": 0, "Bald": 0}),
        ({"Black": -0.5}, {"Black": 0.1}),
        ({"Black": -1}, {"Black": 0}),
        ({"Black": 2}, {"Black": 1.8, "Blond": 0, "Bald": 0}),
        ({"Black": -2}, {"Black": -0.2}),
        # In two groups, and twice beside Hat: Hat gives way once.
        ({"Bald": 0.5}, {"Bald": 0.55, "Black": 0.1, "Blond": 0.3, "Hat": 0.2}),
        # One after the other: what is set later wins.
        ({"Black": 1, "Blond": 1}, {"Black": 0, "Blond": 1, "Bald": 0}),
        ({"Blond": 1, "Black": 1}, {"Black": 1, "Blond": 0, "Bald": 0}),
        ({"Smiling": 0.5}, {"Smiling": 0.85}),
        ({"person=Ben": 0.5}, {"person=Ada": 0.25, "person=Ben": 0.65, "person=Cleo": 0.1}),
        ({"person": "Cleo"}, {"person=Ada": 0, "person=Ben": 0, "person=Cleo": 1}),
        ({"person=Ada": -1}, {"person=Ada": 0, "person=Ben": 1, "person=Cleo": 0}),
        ({"person=Ada": -0.5}, {"person=Ada": 0.25, "person=Ben": 0.65, "person=Cleo": 0.1}),
        ({"person=Cleo": -1}, {"person=Ada": 1, "person=Ben": 0, "person=Cleo": 0}),
        ({"age": -1.5}, {"age": -2.5}),
        ({}, {}),
    ],
)
def test_hand_values(changes: dict[str, float | str], moved: dict[str, float]) -> None:
    assert values(SCHEMA.edit(ROW, changes)) == values(ROW) | moved


@DRAWN
@given(rows, st.sampled_from(NAMES))
def test_strength_0_changes_nothing(y: Tensor, name: str) -> None:
    assert torch.equal(SCHEMA.edit(y, {name: 0.0}), y)


@DRAWN
@given(rows, st.sampled_from(NAMES), strengths)
def test_what_is_not_asked_for_stays_to_the_bit(y: Tensor, name: str, strength: float) -> None:
    before = y.clone()
    moved = SCHEMA.edit(y, {name: strength})
    assert torch.equal(y, before), "the rows that were given are left alone"
    giving_way = SCHEMA.excluded_by(name) if strength > 0 or "=" in name else ()
    still = [column for column, other in enumerate(NAMES) if other != name and other not in giving_way]
    assert torch.equal(moved[:, still], y[:, still])


@DRAWN
@given(rows, st.sampled_from(BINARY), st.floats(0, 3, width=32))
def test_those_that_exclude_it_give_way_by_the_same_share(y: Tensor, name: str, strength: float) -> None:
    moved, column = SCHEMA.edit(y, {name: strength}), NAMES.index(name)
    torch.testing.assert_close(1 - moved[:, column], (1 - strength) * (1 - y[:, column]))
    for other in SCHEMA.excluded_by(name):
        place = NAMES.index(other)
        torch.testing.assert_close(moved[:, place], max(0.0, 1 - strength) * y[:, place])


@DRAWN
@given(rows, st.sampled_from(("Black", "Blond", "Bald")), unit)
def test_a_group_of_which_one_holds_still_sums_to_one(y: Tensor, name: str, strength: float) -> None:
    y[:, :3] = torch.softmax(y[:, :3], 1)
    moved = SCHEMA.edit(y, {name: strength})
    torch.testing.assert_close(moved[:, :3].sum(1), torch.ones(len(y), dtype=torch.float64))
    assert bool((moved[:, :3] >= 0).all())


@DRAWN
@given(rows, st.sampled_from(("Ada", "Ben", "Cleo")), strengths)
def test_the_values_of_a_categorical_attribute_keep_their_sum(y: Tensor, value: str, strength: float) -> None:
    y[:, 5:8] = torch.softmax(y[:, 5:8], 1)
    moved = SCHEMA.edit(y, {f"person={value}": strength})
    torch.testing.assert_close(moved[:, 5:8].sum(1), torch.ones(len(y), dtype=torch.float64))


def test_names_decide_even_where_one_begins_another() -> None:
    schema = Schema((Attribute("a", "categorical", ("x", "y")), Attribute("a=b", "categorical", ("z", "w")),
                     Attribute("e\u0301"), Attribute("c=d")))  # fmt: skip
    assert schema.find("a=b=w") == (schema.attributes[1], "w")
    assert schema.find("c=d") == (schema.attributes[3], "")
    assert schema.changes({"\u00e9": 1.0}) == {"e\u0301": 1.0}
    with pytest.raises(AttrimorphError, match="'a=x' stands twice"):
        Schema((Attribute("a", "categorical", ("x", "y")), Attribute("a=x")))


def test_a_value_that_is_certain_gives_way_to_the_others_alike() -> None:
    """Nothing in the row says which of them is likelier."""
    y = torch.tensor([[0.0, 0, 0, 0, 0, 1, 0, 0, 0], [0, 0, 0, 0, 0, 0, 1, 0, 0]])
    moved = SCHEMA.edit(y, {"person=Ada": -1})[:, 5:8]
    assert moved.tolist() == [[0, 0.5, 0.5], [0, 1, 0]]


@st.composite
def schemas(draw: st.DrawFn) -> Schema:
    """Draw any schema: names with signs and spaces, all kinds, exclusive groups that may overlap."""
    names = draw(st.lists(st.text("ab=é _-:;,\"'", min_size=1, max_size=5), min_size=1, max_size=7, unique=True))
    attributes = []
    for name in names:
        kind = draw(st.sampled_from(KINDS))
        words = st.lists(st.text("xy= é", min_size=1, max_size=3), min_size=2, max_size=5, unique=True)
        values = tuple(draw(words)) if kind == "categorical" else ()
        mean, scale = draw(st.tuples(st.floats(-1e3, 1e3), st.floats(1e-3, 1e3)))
        attributes.append(Attribute(name, kind, values, mean, scale))
    binary = [each.name for each in attributes if each.kind == "binary"]
    groups = st.lists(st.lists(st.sampled_from(binary), min_size=2, unique=True).map(tuple), max_size=3)
    exclusive = tuple(draw(groups)) if len(binary) > 1 else ()
    columns = [f"{each.name}={value}" if value else each.name for each in attributes for value in each.values or ("",)]
    assume(len({*columns}) == len(columns))
    return Schema(tuple(attributes), exclusive)


def check_any_schema(drawn: st.DataObject) -> None:
    """What `edit` promises, on a schema and rows drawn at random."""
    schema = drawn.draw(schemas())
    y = drawn.draw(st.lists(st.tuples(*[unit] * schema.width), min_size=1, max_size=3).map(torch.tensor)).double()
    categorical = [schema.columns(each.name) for each in schema.attributes if each.kind == "categorical"]
    for columns in categorical:
        soft = (3 * y[:, columns]).softmax(1)
        y[:, columns] = (
            soft if drawn.draw(st.booleans()) else torch.zeros_like(soft).scatter_(1, soft.argmax(1)[:, None], 1)
        )
    assert Schema.from_json(json.loads(json.dumps(schema.to_json()))) == schema
    key = drawn.draw(st.sampled_from(schema.column_names))
    strength = drawn.draw(st.floats(-1, 1, width=32))
    attribute, value = schema.find(key)
    moved, column = schema.edit(y, {key: strength}), schema.column_names.index(key)
    for columns in categorical:
        torch.testing.assert_close(moved[:, columns].sum(1), torch.ones(len(y), dtype=torch.float64))
        assert bool(((moved[:, columns] > -1e-9) & (moved[:, columns] < 1 + 1e-9)).all())
    full = schema.edit(y, {key: 1.0 if strength >= 0 else -1.0})
    if attribute.kind != "real":
        torch.testing.assert_close(full[:, column], torch.full((len(y),), float(strength >= 0)).double())
        torch.testing.assert_close(moved, y + abs(strength) * (full - y))
    for group in schema.exclusive:
        places = [schema.columns(name).start for name in group]
        before, after = y[:, places].sum(1), moved[:, places].sum(1)
        assert bool((after <= before.clamp_min(1) + 1e-9).all())
    own = range(schema.columns(attribute.name).start, schema.columns(attribute.name).stop)
    still = [at for at, name in enumerate(schema.column_names) if at not in own and name not in schema.excluded_by(key)]
    assert torch.equal(moved[:, still], y[:, still])
    assert value == "" or schema.edit(y, {attribute.name: value})[:, column].eq(1).all()


@settings(MANY, max_examples=100)
@given(st.data())
def test_any_schema(drawn: st.DataObject) -> None:
    check_any_schema(drawn)


@pytest.mark.slow
@pytest.mark.timeout(1800)
@settings(MANY, max_examples=3000)
@given(st.data())
def test_3000_schemas(drawn: st.DataObject) -> None:
    check_any_schema(drawn)


@DRAWN
@given(rows, st.sampled_from(NAMES), strengths)
def test_rows_are_edited_one_by_one(y: Tensor, name: str, strength: float) -> None:
    alone = [SCHEMA.edit(row[None], {name: strength}) for row in y]
    assert torch.equal(SCHEMA.edit(y, {name: strength}), torch.cat(alone))


@DRAWN
@given(rows, unit, unit)
def test_setting_in_two_steps_is_setting_by_both(y: Tensor, first: float, second: float) -> None:
    """Each step goes its share of what is left: (1 - a) (1 - b) of the way remains."""
    twice = SCHEMA.edit(SCHEMA.edit(y, {"Black": first}), {"Black": second})
    torch.testing.assert_close(twice, SCHEMA.edit(y, {"Black": 1 - (1 - first) * (1 - second)}))


def test_missing_values_that_nobody_asks_for_stay_missing() -> None:
    y = ROW.clone()
    y[0, NAMES.index("Hat")] = math.nan
    moved = SCHEMA.edit(y, {"Black": 0.5})
    assert values(torch.nan_to_num(moved)) == values(torch.nan_to_num(SCHEMA.edit(torch.nan_to_num(y), {"Black": 0.5})))
    assert bool(moved[0, NAMES.index("Hat")].isnan())


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"Blak": 1.0}, "did you mean 'Black'"),
        ({"person": 1.0}, "write person=Ada"),
        ({"person=Bne": 1.0}, "did you mean 'Ben'"),
        ({"Black": "yes"}, "takes a number"),
        ({"Black": 101.0}, r"must lie in -100\.\.100"),
        ({"age": math.nan}, r"must lie in -100\.\.100"),
    ],
)
def test_what_cannot_be_edited_is_refused(changes: dict[str, float | str], sentence: str) -> None:
    with pytest.raises(AttrimorphError, match=sentence):
        SCHEMA.edit(ROW, changes)
