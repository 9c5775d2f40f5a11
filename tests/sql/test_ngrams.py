"""Words and n-grams: the same whatever the database's locale and the text's encoding form."""

import contextlib
import time
import unicodedata
from collections.abc import Iterator

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aisle import db
from aisle.db import Connection
from tests.conftest import POSTGRES, Server

LOCALES = {
    "C": "locale 'C'",
    "C.UTF-8 libc": "locale 'C.UTF-8'",
    "C.UTF-8 builtin": "locale_provider builtin builtin_locale 'C.UTF-8' locale 'C'",
    "ICU": "locale_provider icu icu_locale 'ko-KR' locale 'C'",
}
PRODUCTS = [
    "에르고베이비 옴니 브리즈 아기띠",
    "남양유업 임페리얼 드림 XO 1단계 800g × 3캔",
    "Nestlé Crème Brûlée, 4×100 g (20 % FETT)",
    "ÅNGSTRÖM Øl 0,5 L — ŻÓŁW",
    "Ｆｕｌｌ－ｗｉｄｔｈ　ＡＢＣ１２３ ﾊﾝｶｸ ㎏ ①",
    "МОЛОКО «Домик» 3,2%",
    "🍼🍼 bottle 👨‍👩‍👧 2개입",
    "tab\there\u0001control\u001fcharacters\u007f",
    "日本茶 緑茶 抹茶アイス",
    "ΕΛΛΗΝΙΚΌ ΓΙΑΟΎΡΤΙ",
]


@pytest.fixture(scope="module")
def databases(server: Server) -> Iterator[dict[str, Connection]]:
    """The functions in one database a locale, as far as this server knows the locale."""
    with contextlib.ExitStack() as stack:
        connections = {}
        for name, options in LOCALES.items():
            try:
                url = stack.enter_context(server.database(f"encoding 'UTF8' template template0 {options}"))
            except psycopg.Error:
                continue
            connection = stack.enter_context(psycopg.connect(url, autocommit=True))
            connection.execute("create schema aisle")
            for function in ("_words", "_ngrams"):
                connection.execute(db.read(f"functions/text/{function}"))  # type: ignore[call-overload]
            connections[name] = connection
        yield connections


@pytest.fixture(scope="module")
def database(databases: dict[str, Connection]) -> Connection:
    return databases["C"]


def words(connection: Connection, text: str | None) -> list[str]:
    row = connection.execute("select aisle._words(%s)", [text]).fetchone()
    assert row is not None
    return list(row[0])


def ngrams(connection: Connection, *item: str | None) -> list[str]:
    row = connection.execute("select aisle._ngrams(%s, %s, %s)", [*item, *[None] * (3 - len(item))]).fetchone()
    assert row is not None
    return list(row[0])


def test_the_locales_that_matter_are_tried(databases: dict[str, Connection]) -> None:
    expected = {"C", "C.UTF-8 libc"} | ({"C.UTF-8 builtin"} if int(POSTGRES) >= 17 else set())
    assert expected <= databases.keys(), f"Only these databases could be created: {list(databases)}"


# By hand


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Ergobaby 옴니-브리즈 2.5kg", ["ergobaby", "옴니", "브리즈", "2", "5kg"]),
        ("ＡＢＣ　１２３", ["abc", "123"]),
        ("CRÈME Brûlée", ["crème", "brûlée"]),
        ("분유🍼(1단계)", ["분유", "1단계"]),
        ("a\tb\u0001c\u001fd", ["a", "b", "c", "d"]),
        ("㎏", ["kg"]),
        (" ", []),
        ("", []),
        ("!?…", []),
        ("\ufeff현\u200b미 soft\u00adhyphen", ["현미", "softhyphen"]),
        ("현미\u3164쌀\uffa0콩\u115f팥", ["현미", "쌀", "콩", "팥"]),
        ("<p class='x'>현미&nbsp;<B>쌀</B><br/>10&#160;kg</p><!-- 팥 --><img src=a.jpg>", ["현미", "쌀", "10", "kg"]),
        ("<특가> A < B & C > D, <new> 1+1", ["특가", "a", "b", "c", "d", "new", "1", "1"]),
        ("🍼", []),
        (None, []),
    ],
)
def test_words(databases: dict[str, Connection], text: str | None, expected: list[str]) -> None:
    for locale, connection in databases.items():
        assert words(connection, text) == expected, f"In a database with locale {locale}"


def test_the_ngrams_of_one_word(database: Connection) -> None:
    assert {"=tea", " te", "tea", "ea ", " tea", "tea ", " tea "} <= set(ngrams(database, "Tea"))
    assert {"=분유", "분유", " 분유 "} <= set(ngrams(database, "분유"))


def test_in_scripts_of_syllables_runs_go_over_the_spaces(database: Connection) -> None:
    def joined(text: str) -> set[str]:
        return {gram for gram in ngrams(database, text, "제조사", "상세") if gram[0] == "#"}

    assert joined("유기농 현미 쌀") == joined("유기농현미쌀") == joined("유기 농현 미쌀")
    assert {"#농현", "#농현미", "#기농현미"} <= joined("유기농 현미 쌀")
    assert max(map(len, joined("유기농 현미 쌀"))) == 5
    assert {"#緑茶", "#ag"} <= joined("緑茶 bag")
    assert not joined("green tea")


# Properties


@pytest.mark.trap(30)
@pytest.mark.parametrize("text", PRODUCTS)
def test_every_locale_gives_the_same(databases: dict[str, Connection], text: str) -> None:
    answers = {locale: ngrams(connection, text, text[:9], text[9:]) for locale, connection in databases.items()}
    assert len(set(map(tuple, answers.values()))) == 1, f"{text!r}: {answers}"


@pytest.mark.trap(30)
@pytest.mark.parametrize("text", PRODUCTS)
def test_composed_and_decomposed_texts_give_the_same(databases: dict[str, Connection], text: str) -> None:
    for connection in databases.values():
        composed, decomposed = (ngrams(connection, unicodedata.normalize(form, text)) for form in ("NFC", "NFD"))
        assert composed == decomposed


@pytest.mark.parametrize("text", PRODUCTS)
def test_case_does_not_matter(database: Connection, text: str) -> None:
    # Python's own upper() makes two letters of some, and lower() a final sigma; neither is in a shop's names.
    assert words(database, text.upper()) == words(database, text.lower()) == words(database, text)


@pytest.mark.parametrize("empty", [None, "", "  ", "!?", "\u0001", "🍵"])
def test_nothing_in_nothing_out(database: Connection, empty: str | None) -> None:
    assert ngrams(database, empty, empty, empty) == []
    assert ngrams(database, "tea", empty, empty) == ngrams(database, "tea")


def test_no_ngram_is_null_or_empty(database: Connection) -> None:
    for text in PRODUCTS:
        assert all(ngrams(database, text, text, text))


@pytest.mark.parametrize("piece", ["x", "분유 ", "é", "가나다라 xyz ", "🍵", "\u0001", "- "])
def test_a_huge_text_is_fast_and_read_from_its_start(database: Connection, piece: str) -> None:
    text = (piece * 1_000_000)[:1_000_000]
    taken = []
    for _ in range(3):  # the least: what others keep the machine busy with does not count
        started = time.perf_counter()
        huge = ngrams(database, text, text, text)
        taken.append(time.perf_counter() - started)
    assert min(taken) < 1, "The n-grams of 3 MB of text take longer than a second."
    assert huge == ngrams(database, text[:2000], text[:2000], text[:2000])


hypotheses = settings(
    max_examples=150, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
texts = st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), max_size=60)


@hypotheses
@given(text=texts)
def test_any_text_in_any_locale_and_form(databases: dict[str, Connection], text: str) -> None:
    answers = {
        tuple(ngrams(connection, unicodedata.normalize(form, text)))
        for connection in databases.values()
        for form in ("NFC", "NFD")
    }
    assert len(answers) == 1


@hypotheses
@given(text=texts)
def test_words_of_words_are_the_same_words(database: Connection, text: str) -> None:
    once = words(database, text)
    assert words(database, " ".join(once)) == once
    assert all(word and " " not in word for word in once)


@hypotheses
@given(text=texts)
def test_the_words_of_a_text_decide_its_ngrams(database: Connection, text: str) -> None:
    assert ngrams(database, text) == ngrams(database, " ".join(words(database, text)))
