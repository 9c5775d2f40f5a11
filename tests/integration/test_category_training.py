"""`aisle train category` and `aisle evaluate category`: which rows train, and which measure."""

from dataclasses import replace
from typing import Any

import psycopg
import pytest
from click.testing import CliRunner

from aisle import migrations
from aisle.cli import aisle
from aisle.db import doctor, model_registry
from aisle.trainers import evaluation, run
from aisle.trainers.category import loading
from aisle.trainers.category import task as category
from aisle.trainers.category.options import NgramOptions
from aisle.trainers.category.products import read_catalogue
from tests.conftest import Shop

QUICK = category.Options(
    split_column="split", ngram=NgramOptions(dimensions=8, epochs=2, members=1), baseline=False, deploy=True
)


@pytest.fixture
def products(shop: Shop) -> Shop:
    """240 products of two categories: every fifth measures, every sixth of the others calibrates."""
    shop.create()
    shop.execute("alter table shop.products add split text")
    shop.execute(
        "insert into shop.products (id, name, category, split)"
        " select n, c || ' number ' || n, c,"
        " case when n % 5 = 0 then 'test' when n % 6 = 0 then 'valid' else 'train' end"
        " from (select n, (array['tea', 'bread'])[1 + n % 2] as c from generate_series(1, 240) n) p"
    )
    shop.attach()
    return shop


def test_items_without_a_word_in_their_names_are_no_one_group(shop: Shop) -> None:
    shop.create()
    shop.attach()
    shop.execute(
        "insert into shop.products (id, name, category) select n, 'A' || n, 'code' from generate_series(1, 100) n"
    )
    shop.execute("insert into shop.products (id, category) select n, 'nameless' from generate_series(101, 200) n")
    shop.execute("insert into shop.products (id, name, category) values (201, ' 귤', 'fruit'), (202, '귤', 'fruit')")
    catalogue = read_catalogue(shop.connection, split_column=None, seed=7)
    for kind in ("code", "nameless"):
        assert set(catalogue.splits[catalogue.categories == kind]) == {"train", "valid", "test"}
    assert len(set(catalogue.splits[catalogue.categories == "fruit"])) == 1, "Equal names stay together."


def test_a_live_model_is_not_measured_on_what_it_learned_from(products: Shop, database_url: str) -> None:
    live = run.train(category.TASK, database_url, QUICK).model_id
    products.execute(
        "update shop.products set split = case split when 'test' then 'train' else 'test' end where id % 10 < 5"
    )
    result = run.train(category.TASK, database_url, QUICK)
    held_out = set(loading.heldout_of(products.connection, live))
    both = held_out & set(loading.heldout_of(products.connection, result.model_id))
    assert result.metrics["live"]["held_out_rows"] == len(both) < len(held_out)
    assert result.metrics["live"]["against"]["held_out_rows"] == len(both)


def test_a_live_model_that_cannot_be_measured_stays() -> None:
    svm = {"accuracy": 0.8, "held_out_rows": 100}
    metrics: dict[str, Any] = {"accuracy": 0.9, "TF-IDF + linear SVM": svm, "live": {"model_id": 1}}
    verdict = category.TASK.verdict(metrics, QUICK)
    assert (verdict.passed, verdict.deploys) == (None, False)
    assert "live model, which has learned from all held-out rows" in verdict.reason
    metrics["live"]["accuracy"] = 0.8
    assert category.TASK.verdict(metrics, QUICK).passed
    metrics["accuracy"] = 0.7
    del metrics["live"]["accuracy"]
    assert category.TASK.verdict(metrics, QUICK).passed is False


def test_a_tie_with_a_simple_model_is_no_defeat_but_a_tie_with_the_live_model_is_no_reason_to_change() -> None:
    svm = {"accuracy": 0.8, "held_out_rows": 100}  # a standard error of .04
    for ours, passed, words in (
        (0.81, True, "better than"),
        (0.8, True, "as good as"),
        (0.77, True, "as good as"),
        (0.75, False, "not better than"),
    ):
        metrics = {"accuracy": ours, "TF-IDF + linear SVM": svm, "live": {"accuracy": 0.7}}
        verdict = category.TASK.verdict(metrics, QUICK)
        assert verdict.passed is passed
        assert f"is {words} that of TF-IDF + linear SVM" in verdict.reason
    assert category.TASK.verdict({"accuracy": 0.8, "live": {"accuracy": 0.8}}, QUICK).passed is False


def test_a_live_model_of_other_categories_is_no_rival(products: Shop, database_url: str) -> None:
    """It would be right in no row or, with other separators, in all: neither says that it is the better one."""

    def said() -> list[str]:
        found = [f.found for f in doctor.examine(database_url, migrations.head())]
        return [words for words in found if "other categories" in words]

    live = run.train(category.TASK, database_url, QUICK).model_id
    assert said() == []
    products.execute("update shop.products set category = 'food>' || category")
    assert said() == [f"model {live} answers other categories than the items have now"]
    again = run.train(category.TASK, database_url, replace(QUICK, deploy=None))
    assert again.deployed
    assert again.reason.startswith("the live model answers other categories")
    products.execute("select aisle.pause('items')")
    products.execute(
        "select aisle.attach_items('shop.products', category => 'category', manufacturer => 'maker',"
        " category_separator => '>', accept_changes => true)"
    )
    assert said() == [f"model {again.model_id} answers other categories than the items have now"]
    assert run.train(category.TASK, database_url, replace(QUICK, deploy=None)).deployed
    assert said() == []


def test_the_baseline_answers_for_held_out_rows_that_have_a_category_and_learns_from_none(
    products: Shop, database_url: str
) -> None:
    model_id = run.train(category.TASK, database_url, QUICK).model_id
    held_out = len(loading.heldout_of(products.connection, model_id))
    # Half of the held-out rows lose their label; the others get a new one and train.
    products.execute("update shop.products set category = null where id % 10 = 0")
    products.execute("update shop.products set category = 'cake', split = 'train' where id % 10 = 5")
    rows = {row["answer"]: row for row in evaluation.evaluate(category.TASK, products.connection, baselines=True)}
    svm, ours = rows["TF-IDF + linear SVM"], rows["item_category"]
    assert svm["held_out_rows"] == ours["held_out_rows"] == held_out / 2
    assert svm["accuracy"] == 0, "It cannot know a category that only held-out rows have."


@pytest.mark.parametrize("syllables", [20, 240])
def test_a_baseline_that_cannot_be_fitted_is_no_reason_not_to_train(
    products: Shop, database_url: str, syllables: int
) -> None:
    products.execute("update shop.products set name = chr(44032 + 28 * (id %% %s)::int)", [syllables])
    result = run.train(category.TASK, database_url, replace(QUICK, baseline=True))
    assert model_registry.live(products.connection, "category") == result.model_id
    svm = evaluation.evaluate(category.TASK, products.connection, baselines=True)[-1]
    assert "no features in these texts" in svm["answer"]
    assert svm["accuracy"] is None


def test_a_long_text_without_spaces_is_no_ngram_of_a_model(products: Shop, database_url: str) -> None:
    # A thousand syllables of three bytes do not compress to the size of an index entry.
    products.execute(
        "update shop.products set maker ="
        " (select string_agg(chr(44032 + abs(hashint4(i) % 11172)), '') from generate_series(1, 1000) i)"
    )
    model_id = run.train(category.TASK, database_url, QUICK).model_id
    longest = products.value("select max(octet_length(ngram)) from aisle.ngram_vectors where model_id = %s", [model_id])
    assert longest < 2700


def test_a_table_that_is_gone_is_said_to_be(products: Shop, database_url: str) -> None:
    products.execute("drop table shop.products cascade")
    for split in ([], ["--split-column", "split"]):
        outcome = CliRunner().invoke(aisle, ["--database-url", database_url, "train", "category", *split])
        assert str(outcome.exception) == "The attached table no longer exists."
        assert "aisle detach items" in str(getattr(outcome.exception, "hint", ""))


def test_names_are_read_whatever_the_clients_encoding(
    products: Shop, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    products.execute("update shop.products set name = name || ' 🍎'")
    monkeypatch.setenv("PGCLIENTENCODING", "UHC")
    with psycopg.connect(database_url, autocommit=True) as connection:
        assert read_catalogue(connection, split_column=None, seed=7).names[0].endswith(" 🍎")
