"""Categories of texts and items on a model that fits in the head (see TinyModel in conftest.py)."""

import math
import random
from typing import Any

import psycopg
import pytest

from tests.conftest import LN4, TINY_CATEGORIES, Shop, TinyModel

EXACT = 1e-3  # n-gram vectors are stored in half precision

Answer = list[tuple[int, str, Any]]


@pytest.fixture
def shop(connection: Any, tiny_model: TinyModel) -> Shop:
    return Shop(connection)


def predict(shop: Shop, *arguments: Any, **named: Any) -> Answer:
    slots = ["%s"] * len(arguments) + [f"{name} => %s" for name in named]
    statement = f"select rank, category, confidence from aisle.predict_category({', '.join(slots)})"
    return [
        (r[0], r[1], pytest.approx(r[2], abs=EXACT)) for r in shop.execute(statement, [*arguments, *named.values()])
    ]


def weights(**of: float) -> Answer:
    """Return the answer that these weights mean: `weights(tea=4, bread=2, coffee=1)` is 4/7, 2/7 and 1/7."""
    total = sum(of.values())
    return [(rank, getattr(TinyModel, name), w / total) for rank, (name, w) in enumerate(of.items(), start=1)]


def test_known_words(shop: Shop) -> None:
    assert predict(shop, "녹차") == weights(tea=4, bread=2, coffee=1)
    assert predict(shop, "TEA") == weights(tea=4, bread=2, coffee=1)
    assert predict(shop, "커피") == weights(coffee=4, bread=2, tea=1)
    assert predict(shop, "식빵") == weights(bread=2, tea=0.25, coffee=0.25)


def test_an_unknown_word_among_known_ones_says_nothing(shop: Shop) -> None:
    assert predict(shop, "xyzzy 녹차") == weights(tea=4, bread=2, coffee=1)


def test_the_manufacturer_is_read_like_the_name(shop: Shop) -> None:
    assert predict(shop, "xyzzy", "녹차") == weights(tea=4, bread=2, coffee=1)


@pytest.mark.parametrize("text", [None, "", "  \t\n", "xyzzy", "!?…", "\u0001\u001f", "🍵🍞", "x" * 1_000_000])
def test_a_text_without_a_known_ngram_has_the_prior(shop: Shop, text: str | None) -> None:
    assert predict(shop, text, None) == weights(bread=2, tea=1, coffee=1)


def test_k_cuts_the_list_and_nothing_else(shop: Shop) -> None:
    everything = predict(shop, "녹차", k=100)
    assert [row[0] for row in everything] == [1, 2, 3]
    for k in (1, 2, 3):
        assert predict(shop, "녹차", k=k) == everything[:k]


def test_level_adds_the_confidences_below_a_path(shop: Shop) -> None:
    level_1 = [(1, "음료", 5 / 7), (2, "빵", 2 / 7)]
    assert predict(shop, "녹차", level=1) == level_1
    assert predict(shop, "녹차", k=1, level=1) == level_1[:1]
    # A path that is shorter than the level stands for itself.
    assert predict(shop, "녹차", level=2) == weights(tea=4, bread=2, coffee=1)
    assert predict(shop, "녹차", level=9) == weights(tea=4, bread=2, coffee=1)


def test_confidences_sum_to_one(shop: Shop) -> None:
    words = ["녹차", "커피", "식빵", "tea", "xyzzy"]
    generator = random.Random(1)
    texts = [" ".join(generator.choices(words, k=generator.randint(0, 6))) for _ in range(200)]
    for level in (None, 1):
        sums = shop.execute(
            "select sum(c.confidence) from unnest(%s::text[]) with ordinality as t (name, i), "
            "lateral aisle.predict_category(t.name, k => 100, level => %s) c group by t.i",
            [texts, level],
        ).fetchall()
        assert [s for (s,) in sums] == pytest.approx([1.0] * len(sums), abs=1e-9)


def test_a_sum_of_confidences_is_never_above_one(shop: Shop) -> None:
    shop.execute("update aisle.category_vectors set path = array['음료', category]")
    generator = random.Random(1)
    for _ in range(100):
        shop.execute("update aisle.category_vectors set bias = %s where category = '빵'", [generator.uniform(-3, 3)])
        assert shop.value("select confidence <= 1 from aisle.predict_category('녹차', level => 1)")


def test_confidences_do_not_overflow(shop: Shop) -> None:
    shop.execute("update aisle.category_vectors set bias = 3e38 where category = '빵'")
    assert predict(shop, "녹차", k=1) == [(1, "빵", 1.0)]


def explain(shop: Shop, *text: str | None) -> dict[str, float]:
    rows = shop.execute("select because, value, share from aisle.explain_category(%s, %s)", [*text, None][:2])
    return {value or because: share for because, value, share in rows}


def test_the_terms_of_an_answer_are_pieces_of_the_text(shop: Shop) -> None:
    shop.execute(
        "insert into aisle.ngram_vectors select model_id, unnest(array['녹차+식빵', '#녹차']), embedding"
        " from aisle.ngram_vectors where ngram like '%식빵%'"
    )
    term = LN4 / 4**0.5  # four n-grams are known; 식빵 speaks against tea, 녹차 for it
    assert explain(shop, "녹차 식빵") == {
        "녹차": pytest.approx(0, abs=EXACT),  # the word, and a run over the spaces that speaks against it
        "식빵": pytest.approx(term, abs=EXACT),
        "녹차 식빵": pytest.approx(term, abs=EXACT),
        "prior": pytest.approx(LN4 / 2, abs=EXACT),
    }


def test_the_terms_sum_to_the_difference_of_the_scores(shop: Shop) -> None:
    words = ["녹차", "커피", "식빵", "tea", "xyzzy"]
    generator = random.Random(2)
    for _ in range(50):
        text = [" ".join(generator.choices(words, k=generator.randint(0, 6))) for _ in range(2)]
        first, second = shop.execute("select confidence from aisle.predict_category(%s, %s, 2)", text).fetchall()
        assert sum(explain(shop, *text).values()) == pytest.approx(math.log(first[0] / second[0]), abs=1e-6)


def test_one_category_needs_no_explanation(shop: Shop) -> None:
    shop.execute("delete from aisle.category_vectors where category <> '빵'")
    assert explain(shop, "녹차") == {}


def test_a_set_of_products_in_one_query(shop: Shop) -> None:
    rows = shop.execute(
        "select n.name, c.category from unnest(array['녹차', '커피', null]) with ordinality as n (name, i), "
        "lateral aisle.predict_category(n.name, null, 1) c order by n.i"
    ).fetchall()
    assert rows == [("녹차", TinyModel.tea), ("커피", TinyModel.coffee), (None, TinyModel.bread)]


@pytest.mark.parametrize("call", [
    "predict_category('녹차', k => 0)", "predict_category('녹차', k => null)", "predict_category('녹차', level => 0)",
    "item_category('1', k => -1)", "similar_items('1', k => 0)", "search_items('녹차', k => 0)",
])  # fmt: skip
def test_arguments_outside_their_range(shop: Shop, call: str) -> None:
    shop.create()
    shop.attach()
    shop.insert("녹차")
    with pytest.raises(psycopg.Error, match="must be at least 1") as caught:
        shop.execute(f"select * from aisle.{call}")
    assert caught.value.sqlstate == "AIS06"


def test_embed_text(shop: Shop) -> None:
    def embed(text: str | None) -> Any:
        return pytest.approx(shop.value("select aisle.embed_text(%s)::real[]", [text]), abs=EXACT)

    assert embed("녹차") == [LN4, 0]
    assert embed("커피 xyzzy") == [0, LN4]
    assert embed("xyzzy") == [0, 0]
    assert embed(None) == [0, 0]


def test_an_ngram_that_comes_twice_counts_once(shop: Shop) -> None:
    assert shop.value("select aisle.embed_text('녹차 xyzzy 녹차') = aisle.embed_text('녹차')")


def test_item_category_of_a_stored_vector(shop: Shop, tiny_model: TinyModel) -> None:
    shop.create()
    shop.attach()
    shop.insert("녹차")
    # What counts is the vector that is stored, whatever the row's text says.
    shop.execute("update aisle.item_vectors set embedding = %s", [str([0, LN4])])
    expected = [row[1:] for row in weights(coffee=4, bread=2, tea=1)]
    for call in ("item_category('1')", "item_category(1)", "item_category(1::bigint)", "item_category(1, 100, 2)"):
        answer = shop.execute(f"select category, confidence from aisle.{call}").fetchall()
        assert [(c, pytest.approx(p, abs=EXACT)) for c, p in answer] == expected, call
    assert shop.value("select category from aisle.item_category('1', level => 1)") == "음료"


def test_item_category_of_a_row_without_a_vector_asks_the_ngrams(shop: Shop) -> None:
    shop.create()
    shop.attach(draft_rows=0, text_columns=["specs"])
    shop.execute("insert into shop.products (id, name, specs) values (7, 'xyzzy', '커피')")
    assert shop.vectors() == {}
    assert shop.value("select category from aisle.item_category(7)") == TinyModel.coffee


@pytest.mark.parametrize("item", ["9", "-1", "abc", "", "9999999999999999999999", "1; drop table shop.products", None])
def test_item_category_of_an_unknown_item_has_no_rows(shop: Shop, item: str | None) -> None:
    shop.create()
    shop.attach()
    shop.insert("녹차")
    assert shop.execute("select * from aisle.item_category(%s::text)", [item]).fetchall() == []
    assert shop.execute("select * from aisle.similar_items(%s::text)", [item]).fetchall() == []


def test_without_an_attached_table_items_are_unknown_and_texts_are_not(shop: Shop) -> None:
    assert shop.execute("select * from aisle.item_category('1')").fetchall() == []
    assert predict(shop, "녹차", k=1) == weights(tea=4, bread=2, coffee=1)[:1]


@pytest.mark.parametrize("call", [
    "predict_category('x')", "item_category('1')", "item_category(1)", "similar_items('1')", "similar_items(1)",
    "search_items('x')", "embed_text('x')",
])  # fmt: skip
def test_no_live_model_names_the_command(connection: Any, call: str) -> None:
    with pytest.raises(psycopg.Error, match="No category model is live") as caught:
        connection.execute(f"select * from aisle.{call}")
    assert caught.value.sqlstate == "AIS01"
    assert "aisle train category" in str(caught.value.diag.message_hint)


def test_the_tiny_model_is_what_its_docstring_says() -> None:
    assert list(TINY_CATEGORIES) == [TinyModel.tea, TinyModel.coffee, TinyModel.bread]


def test_a_category_without_lower_levels_is_counted_whole_at_each(shop: Shop, tiny_model: TinyModel) -> None:
    bread, tea = TinyModel.bread, TinyModel.tea
    for item, (given, predicted) in enumerate([(bread, bread)] * 3 + [(bread, tea), (tea, tea)]):
        shop.execute(
            "insert into aisle._heldout_predictions values (%s, %s, %s, %s, 1, 1, %s)",
            [tiny_model.model_id, str(item), given, predicted, predicted],
        )
    rows = shop.execute("select level, category, precision, recall, support from aisle.category_report").fetchall()
    assert rows == [
        (1, bread, 1, 0.75, 4), (1, "음료", 0.5, 1, 1),
        (2, bread, 1, 0.75, 4), (2, tea, 0.5, 1, 1),
    ]  # fmt: skip
