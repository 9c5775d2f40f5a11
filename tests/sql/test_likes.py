"""Whether an event shows that the user liked the item: the rating tells, else the label of the review."""

from typing import Any

import pytest
from psycopg.types.json import Jsonb

from tests.conftest import Shop, TinyModel

FROM_4 = {"from": 4}
GOOD = {"values": ["good", "true"]}


@pytest.mark.parametrize(
    ("rating", "rule", "expected"),
    [
        ("5", FROM_4, True),
        ("4.0", FROM_4, True),
        ("+4", FROM_4, True),
        ("3.99", FROM_4, False),
        ("-5", FROM_4, False),
        ("-1", {"from": -1.5}, True),
        (None, FROM_4, None),
        ("NaN", FROM_4, None),
        ("Infinity", FROM_4, None),
        ("five", FROM_4, None),
        ("4,5", FROM_4, None),
        ("4\n", FROM_4, None),
        ("9" * 100, FROM_4, None),
        ("good", GOOD, True),
        ("true", GOOD, True),
        ("Good", GOOD, False),
        ("false", GOOD, False),
        (None, GOOD, None),
    ],
)
def test_what_a_rating_tells(shop: Shop, rating: str | None, rule: dict[str, Any], expected: bool | None) -> None:
    assert shop.value("select aisle._is_liked_rating(%s, %s)", [rating, Jsonb(rule)]) is expected


def test_the_rating_wins_over_the_label_of_a_model(shop: Shop, tiny_model: TinyModel) -> None:
    model = tiny_model.model_id
    shop.execute("update aisle._models set parameters = %s where model_id = %s", [Jsonb({"liked": FROM_4}), model])
    shop.execute(
        "insert into aisle._review_labels values (%s, aisle._content_hash('fine', null, null), true, .9)", [model]
    )
    for rating, review, expected in [
        ("5", None, True),
        ("1", "fine", False),
        (None, "fine", True),
        ("?", "fine", True),
        (None, "Fine", None),
        (None, None, None),
    ]:
        assert shop.value("select aisle._is_liked(%s, %s, %s)", [model, rating, review]) is expected
        assert shop.value("select aisle._is_liked(%s, null, %s)", [model + 1, review]) is None, "Labels are a model's."


@pytest.mark.parametrize(
    ("kind", "given", "seen"),
    [
        ("numeric(3, 1)", "4.5", "4.5"),
        ("smallint", "4", "4"),
        ("boolean", "true", "true"),
        ("text", "''", None),
        ("varchar(9)", "'good'", "good"),
    ],
)
def test_a_rating_of_any_type_is_read_as_text(shop: Shop, kind: str, given: str, seen: str | None) -> None:
    shop.execute(
        f"create schema shop; create table shop.reviews (who text, what text, at date, said text, gave {kind});"
        f"insert into shop.reviews values ('ann', '1', '2026-01-01', 'fine', {given})"
    )
    shop.execute(
        "select aisle.attach_interactions('shop.reviews', 'who', 'what', 'at', review => 'said', rating => 'gave')"
    )
    assert shop.execute("select review, rating from aisle._interactions").fetchall() == [("fine", seen)]
    assert "gave" in shop.value("select columns ->> 'rating' from aisle._attachments where kind = 'interactions'")
    shop.execute("select aisle.detach('interactions')")
    with pytest.raises(Exception, match="no column stars"):
        shop.execute("select aisle.attach_interactions('shop.reviews', 'who', 'what', 'at', rating => 'stars')")
