"""The whole way on the command line, from an empty database and a CSV file to answers, and out again."""

import csv
import json
from pathlib import Path

import pytest

from tests.acceptance.conftest import COLUMNS, TRAIN, Aisle
from tests.conftest import Server

ATTACH = ("attach", "items", "shop.products", "--manufacturer", "manufacturer", "--category", "category")


def read(path: Path, encoding: str = "utf-8") -> list[list[str]]:
    with path.open(encoding=encoding, newline="") as file:
        return list(csv.reader(file))


def test_from_a_file_to_answers_and_out_again(bare: Aisle, csv_file: Path, tmp_path: Path) -> None:
    given = read(csv_file)
    rows = len(given) - 1

    assert "revision" in bare("migrate")
    assert "revision" in bare("migrate"), "Migrating twice changes nothing."
    assert bare.json("models") == []
    imported = bare("import", "items", csv_file, "--table", "shop.products")
    assert f"{rows:,} rows" in imported
    assert "aisle attach items shop.products" in imported, "It says what to do next."
    assert "shop.products" in bare(*ATTACH, "--text", "specifications")

    model = bare.json(*TRAIN)
    assert model["deployed"] is True
    assert model["metrics"]["accuracy"] > 0.7

    categories = {row[3] for row in given[1:] if row[3]}
    _, name, maker, category, *_ = next(row for row in given[1:] if row[3])
    answers = bare.json("predict-category", name, "--manufacturer", maker)
    assert [answer["rank"] for answer in answers] == [1, 2, 3]
    assert answers[0]["category"] == category
    assert 0 < answers[0]["confidence"] <= 1
    everything = bare.json("predict-category", name, "-k", "100")
    assert {answer["category"] for answer in everything} == categories
    assert sum(answer["confidence"] for answer in everything) == pytest.approx(1)
    top = bare.json("predict-category", name, "--level", "1", "-k", "1")
    assert top[0]["category"] == category.split(" > ")[0]

    item = next(row[0] for row in given[1:] if row[3])
    assert bare.json("item-category", item)[0]["category"] == category
    similar = bare.json("similar", item, "-k", "5")
    assert len(similar) == 5
    assert item not in [answer["item_id"] for answer in similar]
    assert {row[0]: row[1] for row in given}[similar[0]["item_id"]] == similar[0]["name"]
    found = bare.json("search", name, "-k", "5")
    assert item in [answer["item_id"] for answer in found]

    listed = bare.json("models")
    assert [(m["model_id"], m["state"]) for m in listed] == [(model["model_id"], "live")]
    status = bare.json("status")[0]
    assert (status["attached"], status["live_model"]) == ("shop.products", model["model_id"])
    assert (status["vectors"], status["pending"], status["failures"]) == (rows, 0, 0)
    assert {finding["verdict"] for finding in bare.json("doctor")} == {"ok"}
    assert bare.json("failures") == []
    scores = {row["answer"]: row for row in bare.json("evaluate", "category", "--baseline")}
    assert set(scores) == {"item_category", "predict_category", "TF-IDF + linear SVM"}
    assert scores["item_category"]["accuracy"] == pytest.approx(model["metrics"]["accuracy"])
    assert all(0.5 < row["accuracy"] <= 1 for row in scores.values())

    exported = tmp_path / "out.csv"
    assert f"{rows:,} rows" in bare("export", "items", exported)
    assert read(exported)[0] == list(COLUMNS)
    assert sorted(read(exported)[1:]) == sorted(given[1:])
    bare("export", "items", exported, "--excel")
    assert exported.read_bytes().startswith(b"\xef\xbb\xbf")

    assert "Detached" in bare("detach", "items")
    assert bare.value("select count(*) from pg_trigger where tgname like 'aisle%'") == 0
    assert bare.value("select count(*) from shop.products") == rows
    assert bare.json("predict-category", name)[0]["category"] == category, "A text needs no table."
    bare("migrate", "--to", "base")
    assert bare.value("select count(*) from pg_namespace where nspname = 'aisle'") == 0


def test_what_people_see(shop: Aisle) -> None:
    assert "confidence" in (printed := shop("predict-category", "초코 과자"))
    assert "\x1b" not in printed, "A pipe gets no bold letters."
    for command in ("models", "status", "doctor", "failures"):
        assert shop(command)
    assert "held out rows" in shop("evaluate", "category")
    assert shop("--version").startswith("aisle")


def test_the_next_model_waits_to_be_deployed_and_can_be_rolled_back(shop: Aisle) -> None:
    first = shop.json("status")[0]["live_model"]
    second = shop.json(*TRAIN, "--seed", "8", "--no-deploy")
    assert second["deployed"] is False
    assert shop.json("status")[0]["live_model"] == first
    shop("deploy", second["model_id"], "--force")
    assert shop.json("status")[0]["live_model"] == second["model_id"]
    shop("rollback", "category")
    assert shop.json("status")[0]["live_model"] == first
    assert "no" in shop.refusal("rollback", "category").lower()


def test_training_again_only_when_the_shop_has_moved_on(shop: Aisle) -> None:
    live = shop.json("status")[0]["live_model"]
    assert "category: not stale." in shop("retrain", "--if-stale")
    shop.query("update shop.products set name = name || ' 새 상품' where id::int % 4 = 0")
    shop("embed")
    said = shop("retrain", "category", "--if-stale")
    share = shop.value("select avg((id::int % 4 = 0)::int) from shop.products")
    assert f"category: stale, {share:.1%} of the rows are new or gone (limit: 0.1)" in said
    assert f"Model {live + 1} (category) is" in said
    assert shop.json("models")[-1]["parameters"]["options"] == shop.json("models")[0]["parameters"]["options"]
    assert "no index" in shop("index", "category")
    assert shop("prune") == "There is nothing to remove.\n"


def test_embed_catches_up_once(shop: Aisle) -> None:
    shop.query(
        "insert into shop.products (id, name) select 10000 + i, '초코 과자 ' || i from generate_series(1, 300) i"
    )
    assert shop.json("status")[0]["pending"] == 300
    assert shop("embed").startswith("300 rows embedded.")
    assert shop("embed").startswith("0 rows embedded.")
    status = shop.json("status")[0]
    assert (status["pending"], status["drafts"]) == (0, 0)


def test_the_address_is_found_in_each_of_its_places(shop: Aisle, server: Server) -> None:
    url, shop.url = shop.url, server.url("no_such_database")
    assert "Cannot connect" in shop.refusal("models")
    assert shop("--database-url", url, "models")


def test_the_sql_for_an_administrator_makes_the_same_schema(bare: Aisle) -> None:
    bare.query(bare("migrate", "--sql"))
    doctor = bare.run("doctor", "--json")
    assert doctor.code == 1, "Nothing is attached, and there is no model."
    assert [(finding["check"], finding["verdict"]) for finding in json.loads(doctor.output)] == [
        ("server", "ok"),
        ("pgvector", "ok"),
        ("schema", "ok"),
        ("rights", "ok"),
        ("items", "PROBLEM"),
        ("model", "PROBLEM"),
        ("hnsw", "ok"),
        ("queue", "ok"),
        ("clock", "ok"),
        ("notify", "ok"),
    ]
