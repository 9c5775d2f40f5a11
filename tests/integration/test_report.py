"""`aisle report` writes one HTML file that agrees with the database and escapes the shop's texts."""

import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result
from psycopg.types.json import Jsonb

from aisle import db, reports
from aisle.cli import aisle
from aisle.db import Connection, errors
from aisle.reports import figures, korean
from aisle.reports.topics import category
from tests.conftest import Shop, TinyModel, load_tiny_basket, load_tiny_recommender

SCRIPT = "<script>alert(1)</script>"
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
# (name, category, predicted, confidence, confidence in the row's category); the first two look mislabelled.
HELD_OUT = (
    (f"녹차 {SCRIPT} & --> <b>10% 할인</b>", "음료 > 커피", "음료 > 차", 0.99, 0.01),
    ("보리차 $5 또는 $6", "빵", "음료 > 차", 0.95, 0.02),
    ("우유 식빵", "음료 > 차", "빵", 0.4, 0.3),
    ("홍차", "음료 > 차", "음료 > 차", 0.9, 0.9),
    ("콜드브루 커피", "음료 > 커피", "음료 > 커피", 0.8, 0.8),
    ("식빵", "빵", "빵", 0.97, 0.97),
)


class Parsed(HTMLParser):
    """A parsed page: sections with tables and paragraphs, figures with their texts."""

    VOID = ("meta", "br", "link", "img", "input", "hr")

    def __init__(self, html: str) -> None:
        super().__init__()
        self.html = html
        self.open: list[str] = []
        self.tags: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.section = ""
        self.rows: dict[str, list[list[str]]] = {}
        self.texts: dict[str, list[str]] = {}
        self.captions: list[str] = []
        self.drawn: dict[str, list[str]] = {}
        self.feed(html)
        self.close()
        assert self.open == [], f"Not closed: {self.open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.ids += [value or "" for name, value in attrs if name == "id"]
        self.links += [value or "" for name, value in attrs if name in ("src", "href", "xlink:href")]
        if tag not in self.VOID:
            self.open.append(tag)
        if tag == "tr":
            self.rows.setdefault(self.section, []).append([])
        if tag in ("td", "th") and self.rows.get(self.section):
            self.rows[self.section][-1].append("")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, f"</{tag}> closes something else."

    def handle_data(self, data: str) -> None:
        where = self.open[-1] if self.open else ""
        if where == "h2":
            self.section = data
        elif where in ("td", "th"):
            self.rows[self.section][-1][-1] += data
        elif where == "p":
            self.texts.setdefault(self.section, []).append(data)
        elif where == "figcaption":
            self.captions.append(data)
        elif where in ("text", "tspan"):
            self.drawn.setdefault(self.captions[-1], []).append(data)

    def figure(self, beginning: str) -> list[str]:
        """Return the texts in the figure whose caption begins with `start`."""
        (texts,) = [texts for caption, texts in self.drawn.items() if caption.startswith(beginning)]
        return texts


@pytest.fixture
def report(database_url: str, tmp_path: Path) -> Callable[..., Parsed]:
    """Run `aisle report`, and return the file that it wrote."""

    def write(*arguments: str) -> Parsed:
        path = tmp_path / "report.html"
        result = run(database_url, *arguments, "-o", str(path))
        assert result.exit_code == 0, result.output
        assert str(path) in result.output, "It must say where the file is."
        assert [p.name for p in tmp_path.iterdir()] == ["report.html"], "No partial file may be left."
        return Parsed(path.read_text(encoding="utf-8"))

    return write


def run(url: str, *arguments: str) -> Result:
    return CliRunner().invoke(aisle, ["--database-url", url, "report", *arguments])


def untranslated(page: Parsed) -> list[str]:
    """Return the English headings, labels and sentences of a Korean page; single words may be metrics."""
    texts = [match[2] for match in korean.PROSE.finditer(page.html)]
    return [text for text in texts if " " in text.strip() and not re.search("[가-힣]", text)]


@pytest.fixture
def held_out(shop: Shop, tiny_model: TinyModel) -> TinyModel:
    """A live category model with products, their vectors, and answers for held-out rows."""
    shop.create()
    shop.attach()
    shop.insert(*(row[0] for row in HELD_OUT), "빵과 커피")
    for item, (_, given, predicted, confidence, given_confidence) in enumerate(HELD_OUT, start=1):
        shop.execute("update shop.products set category = %s where id = %s", [given, item])
        shop.execute(
            "insert into aisle._heldout_predictions values (%s, %s, %s, %s, %s, %s, %s)",
            [tiny_model.model_id, str(item), given, predicted, confidence, given_confidence, predicted],
        )
    shop.execute(
        "update aisle._models set metrics = %s, data = %s, environment = %s where model_id = %s",
        [
            Jsonb({"held_out_rows": 6, "accuracy": 0.5, "macro_f1": 0.4321, "ece": 0.1234}
                  | {"ngram_accuracy": 0.3333, "ngram_macro_f1": 0.25}
                  | {"TF-IDF + linear SVM": {"accuracy": 0.4567, "macro_f1": 0.3456}}
                  | {"live": {"model_id": 3, "held_out_rows": 4, "accuracy": 0.25, "macro_f1": 0.125, "ece": 0.5}}),
            Jsonb({"items": 1234567, "fingerprint": "c0ffee"}),
            Jsonb({"seconds": 12.5, "versions": {"torch": "2.13.0"}}),
            tiny_model.model_id,
        ],
    )  # fmt: skip
    return tiny_model


def test_the_page_on_a_category_model(report: Callable[..., Parsed], held_out: TinyModel, shop: Shop) -> None:
    page = report("category")
    assert ["item_category: a row's vector", "6", "0.5000", "0.4321", "0.1234"] in page.rows["Metrics"]
    assert ["TF-IDF + linear SVM", "6", "0.4567", "0.3456", ""] in page.rows["Metrics"]
    assert ["model 3, live before", "4", "0.2500", "0.1250", "0.5000"] in page.rows["Metrics"]
    assert ["versions.torch", "2.13.0"] in page.rows["How it was trained"]
    assert ["fingerprint", "c0ffee"] in page.rows["How it was trained"]
    assert "1,234,567" in page.html
    assert "12.5" in page.html
    first = ["1", HELD_OUT[0][0], "음료 > 커피", "음료 > 차", "0.9900"]
    assert page.rows["Worst mistakes"][1] == first, "The surest mistake comes first."
    assert len(page.rows["Worst mistakes"]) == 1 + 3
    assert {"share that is right", "held-out rows"} <= set(page.figure("Reliability"))
    assert {"음료 > 차  2", "음료 > 커피  3"} <= set(page.figure("Rows by their category"))
    assert {"빵", "음료", "no category"} <= set(page.figure("Products by category"))
    in_korean = report("category", "--language", "ko")
    assert untranslated(in_korean) == [], "Add it to reports/korean.toml."
    assert '<html lang="ko">' in in_korean.html
    assert in_korean.rows["가장 큰 오류"][1] == first, "What the shop wrote stays."
    assert {"맞은 비율", "신뢰도"} <= set(in_korean.figure("신뢰도와 실제 정확도"))


def test_the_page_says_what_the_views_say(report: Callable[..., Parsed], held_out: TinyModel, shop: Shop) -> None:
    page = report("category")
    confusions = shop.execute("select category, predicted, items, mean_confidence from aisle.confusion").fetchall()
    found = [(row[0], row[1], int(row[2]), float(row[3])) for row in page.rows["Confusions"][1:]]
    assert found == [(a, b, n, pytest.approx(float(mean), abs=1e-3)) for a, b, n, mean in confusions]
    review = shop.execute(
        "select item_id, confidence from aisle.category_review where reason = 'probably mislabelled' order by 2 desc"
    ).fetchall()
    assert [row[0] for row in page.rows["Probably mislabelled"][1:]] == [item for item, _ in review] == ["1", "2"]
    for caption, of in (
        ("F1 of the first level", "r.level = 1"),
        ("F1 of all categories", "r.level = cardinality(v.path)"),
    ):
        scores = shop.execute(
            "select distinct r.category, r.f1, r.support from aisle.category_report r join aisle.category_vectors v"
            f" on r.category = any (array[v.category, v.path[1]]) and r.support > 0 and {of}"
            " and (r.level = 1 or r.category = v.category)"
        ).fetchall()
        drawn = page.figure(caption)
        assert len(scores) == sum("rows)" in text for text in drawn)
        for name, f1, support in scores:
            assert name in drawn
            assert f"{f1:.3f}  ({support} rows)" in drawn


def test_what_the_shop_wrote_stays_text(report: Callable[..., Parsed], held_out: TinyModel, shop: Shop) -> None:
    shop.execute("update shop.products set category = %s where id = 4", [f"{SCRIPT} > --> 차"])
    shop.execute(
        "update aisle._heldout_predictions set category = %s, predicted = %s where item_id = '4'",
        [f"{SCRIPT} > --> 차", "x\" onload='alert(1)' > &amp;"],
    )
    page = report("category")
    assert "script" not in page.tags
    assert "b" not in page.tags
    assert SCRIPT not in page.html
    assert page.rows["Worst mistakes"][1][1] == HELD_OUT[0][0]
    assert f"{SCRIPT} > --> 차  1" in page.figure("Rows by their category")
    assert any("&amp;" in text for text in page.figure("Rows by their category")), "It is &amp; in the row, too."
    assert "보리차 $5 또는 $6" in page.html, "Dollars are no formula."


def test_the_file_needs_nothing_else(report: Callable[..., Parsed], held_out: TinyModel) -> None:
    page = report("category")
    assert all(link.startswith("#") for link in page.links), page.links
    assert not {"link", "img", "iframe", "image", "object"} & set(page.tags)
    assert "url(http" not in page.html
    assert "@import" not in page.html
    assert "default-src 'none'" in page.html
    assert len(page.ids) == len(set(page.ids)), "An id that two figures share is drawn wrongly."


def test_a_model_that_is_not_live(
    report: Callable[..., Parsed], load_model: Callable[..., TinyModel], held_out: TinyModel
) -> None:
    other = load_model(deploy=False)
    page = report("category", "--model", str(other.model_id))
    assert "ready" in page.html
    assert page.texts["Metrics"] == ["No metrics are stored: aisle evaluate category"]
    assert page.texts["Held-out rows"] == ["No row was held out, so its mistakes are unknown."]
    assert page.texts["Map of products"] == ["There are too few products with a vector to draw."]
    assert page.captions == [], "There is nothing to draw."


def test_a_model_without_mistakes(report: Callable[..., Parsed], held_out: TinyModel, shop: Shop) -> None:
    shop.execute("update aisle._heldout_predictions set category = predicted")
    page = report("category")
    assert page.texts["Confusions"] == ["All held-out rows were classified correctly."]
    assert page.texts["Worst mistakes"] == ["There are none."]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("recommender",), "No recommender model is live."),
        (("category", "--model", "99"), "There is no model 99."),
        (("basket", "--model", "1"), "Model 1 is one of category, not of basket."),
        (("freshness", "--model", "1"), "Freshness covers the vectors of all tasks, not one model."),
    ],
)
def test_what_cannot_be_reported(
    arguments: tuple[str, ...], message: str, database_url: str, tiny_model: TinyModel, tmp_path: Path
) -> None:
    result = run(database_url, *arguments, "-o", str(tmp_path / "report.html"))
    assert isinstance(result.exception, errors.AisleError)
    assert str(result.exception) == message
    assert result.exception.hint
    assert list(tmp_path.iterdir()) == []


def test_a_report_that_fails_leaves_the_old_one(
    connection: Connection, held_out: TinyModel, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "report.html"
    path.write_text("old")

    def fail(*_: Any) -> str:
        raise KeyboardInterrupt

    monkeypatch.setattr(figures, "reliability", fail)
    with pytest.raises(KeyboardInterrupt):
        reports.write(connection, "category", path)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_report_changes_nothing_and_leaves_no_transaction(
    connection: Connection, held_out: TinyModel, tmp_path: Path
) -> None:
    reports.write(connection, "category", tmp_path / "report.html")
    assert connection.execute("show transaction_read_only").fetchone() == ("off",)
    assert connection.info.transaction_status.name == "IDLE"


def test_an_administrator_may_report(
    held_out: TinyModel, login: Callable[..., Connection], database_url: str, tmp_path: Path
) -> None:
    admin = login("usage on schema shop", "select (id, name, maker, category) on shop.products")
    granted = CliRunner().invoke(aisle, ["--database-url", database_url, "grant", "--admin", admin.info.user])
    assert granted.exit_code == 0, granted.output
    for task in ("category", "freshness"):
        reports.write(admin, task, tmp_path / f"{task}.html")
    assert "우유 식빵" in (tmp_path / "category.html").read_text(encoding="utf-8")


def test_without_matplotlib_the_error_names_the_extra() -> None:
    program = (
        "import sys; sys.modules['matplotlib'] = None\n"
        "from aisle import reports; from aisle.db import errors\n"
        "try: reports.write(None, 'category', None)\n"
        "except errors.MissingExtraError as error: print(error.hint)"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd="/")
    assert result.stdout.strip() == "Run: pip install '.[report]'"


@pytest.fixture
def recommender(shop: Shop, tiny_model: TinyModel) -> int:
    """A recommender with the metrics of a training."""
    shop.create()
    shop.attach()
    shop.insert("tea", "커피")
    model_id = load_tiny_recommender(shop.connection, {1: (None, (1, 0), (0, 1)), 2: (None, (0, 1), (1, 0))})
    shop.execute(
        "update aisle._models set parameters = parameters || %s, metrics = %s where model_id = %s",
        [
            Jsonb({"top": 10, "epochs": 4, "validation": [0.1, 0.3, 0.2], "towers": {"evaluate_every": 2}}),
            Jsonb({"users": 50, "recall@10": 0.25, "hit@10": 0.5, "ndcg@10": 0.125,
                   "live": {"model_id": 1, "recall@10": 0.22, "hit@10": 0.4, "ndcg@10": 0.1},
                   "popularity": {"recall@10": 0.0625, "hit@10": 0.1, "ndcg@10": 0.03},
                   "ials": {"recall@10": 0.2, "hit@10": 0.4, "ndcg@10": 0.1}}),
            model_id,
        ],
    )  # fmt: skip
    return model_id


def test_the_page_on_a_recommender(report: Callable[..., Parsed], recommender: int, shop: Shop) -> None:
    assert report("recommender").texts["Experiments"][0].startswith("No experiment has been run: aisle experiment")
    arms = [
        {"features": ["user", "item"], "mean": 0.2, "sd": 0.01, "verdict": "the others are compared with it"},
        {"features": ["user", "item", "text"], "mean": 0.25, "sd": 0.02, "difference": 0.05, "p": 0.001,
         "verdict": "shown: +0.0500, p = 0.001"},
    ]  # fmt: skip
    shop.execute(
        "insert into aisle._experiments (task, measure, users, arms) values ('recommender', 'recall@10', 1200, %s)",
        [Jsonb(arms)],
    )
    page = report("recommender")
    assert [row[:2] for row in page.rows["Metrics"]] == [
        ["", "recall"], [f"model {recommender}", "0.2500"], ["model 1, live before", "0.2200"], ["ials", "0.2000"],
        ["popularity", "0.0625"],
    ]  # fmt: skip
    assert page.texts["Metrics"] == ["The last event of 50 users was held out, and predicted through SQL."]
    assert {f"model {recommender}", "ials", "popularity", "0.250", "0.062"} <= set(page.figure("recall@10 on"))
    assert page.rows["Experiments"][1:] == [
        ["user,item", "0.2000 ± 0.0100", "", "", "the others are compared with it"],
        ["user,item,text", "0.2500 ± 0.0200", "0.0500", "0.0010", "shown: +0.0500, p = 0.001"],
    ]
    assert "user,item,text" in page.figure("Experiment 1: recall@10 on 1,200 users")
    assert "epoch" in page.figure("Recall@10 on validation users")
    assert untranslated(report("recommender", "--language", "ko")) == [], "Add it to reports/korean.toml."


@pytest.fixture
def basket(shop: Shop) -> int:
    model_id = load_tiny_basket(shop.connection, {"1": (1, 0), "2": (0, 1)})
    metrics = {
        "customers": 40, "recall@10": 0.4, "phr@10": 0.6, "network alone": {"recall@10": 0.3, "phr@10": 0.5},
        "p-top": {"recall@10": 0.35, "phr@10": 0.55},
        "completion": {"carts": 30.0, "complete_basket": 0.2, "cosine": 0.1},
        "f1-optimal": {"f1": 0.31, "f1_micro": 0.29, "size": 7.25, "best fixed size": {"value": 8, "f1": 0.28},
                       "best threshold": {"value": 0.14, "f1": 0.27}},
    }  # fmt: skip
    shop.execute("update aisle._models set metrics = %s where model_id = %s", [Jsonb(metrics), model_id])
    return model_id


def test_the_page_on_a_basket_model(report: Callable[..., Parsed], basket: int, shop: Shop) -> None:
    assert report("basket").texts["Grid of networks"][0].startswith("No experiment has been run: aisle experiment")
    arms = [
        {
            "features": "…", "settings": {"model": model, "pos_weight": weight, "threshold": threshold},
            "mean": 0.1 + weight / 100 + threshold / 10, "sd": 0.001,
            "seeds": {"7": {"f1_micro": 0, "recall@10": 0.2}, "8": {"f1_micro": 0, "recall@10": 0.3}},
        }
        for model in ("cnn-gru", "attention-gru")
        for weight in (1, 5)
        for threshold in (0.1, 0.2)
        if (model, weight, threshold) != ("attention-gru", 5, 0.2)  # the experiment was stopped
    ]  # fmt: skip
    shop.execute(
        "insert into aisle._experiments (task, measure, users, arms) values ('basket', 'f1_micro', 40, %s)",
        [Jsonb(arms)],
    )
    page = report("basket")
    assert page.rows["Metrics"][1:] == [
        [f"model {basket}", "0.4000", "0.6000"], ["p-top", "0.3500", "0.5500"], ["network alone", "0.3000", "0.5000"]
    ]  # fmt: skip
    assert page.rows["The best set"][1:] == [
        ["each customer's own: k => null", "", "0.3100"],
        ["fixed size for all, the best in hindsight", "8", "0.2800"],
        ["threshold for all, the best in hindsight", "0.14", "0.2700"],
    ]
    assert "0.200" in page.figure("Share of carts in which it was found")
    maps = [caption for caption in page.captions if caption.startswith("Experiment 1: f1_micro on 40 customers")]
    assert [caption.rpartition("; ")[2] for caption in maps] == ["model cnn-gru", "model attention-gru"]
    assert {"pos_weight", "threshold", "0.170"} <= set(page.drawn[maps[0]])
    assert "0.170" not in page.drawn[maps[1]], "What was not tried stays empty."
    assert page.rows["Grid of networks"][0] == ["model", "threshold", "pos_weight", "f1_micro", "recall@10", "seeds"]
    assert page.rows["Grid of networks"][1] == ["cnn-gru", "0.2", "5", "0.1700 ± 0.0010", "0.2500", "2"]
    assert len(page.rows["Grid of networks"]) == 1 + len(arms)
    assert untranslated(report("basket", "--language", "ko")) == [], "Add it to reports/korean.toml."


def test_the_page_on_freshness(report: Callable[..., Parsed], shop: Shop, tiny_model: TinyModel) -> None:
    page = report("freshness")
    assert page.texts["From commit to visible"][0].startswith("No changed row has been embedded")
    assert page.texts["Dead letters"] == ["There are none."]
    assert page.texts["Warnings"] == ["There are none."]
    shop.execute(
        "insert into aisle._embedding_batches values ('category', aisle._now() - %s, 90, '{1}'),"
        " ('category', aisle._now() - %s, 10, '{60}'), ('category', aisle._now() - %s, 5, '{}')",
        [timedelta(minutes=12), timedelta(minutes=1), timedelta(minutes=1)],
    )
    shop.execute(
        "insert into aisle._embedding_jobs (task, id, enqueued_at, run_after, attempts, is_dead, last_error)"
        " values ('category', '7', aisle._now(), aisle._now(), 5, true, %s)",
        [f"너무 길다 {SCRIPT}"],
    )
    shop.execute(
        "insert into aisle._embedding_jobs (task, id, enqueued_at, run_after)"
        " values ('category', '8', aisle._now() - interval '1 hour', aisle._now())"
    )
    page = report("freshness")
    now = dict(zip(*page.rows["Now"][:2], strict=True))
    assert (now["task"], now["pending"], now["p50 seconds"]) == ("category", "1", "1.0000")
    assert {"p50", "p95", "p99", "seconds", "rows"} <= set(page.figure("Category: seconds"))
    assert page.rows["Dead letters"][1][:4] == ["category", "7", "5", f"너무 길다 {SCRIPT}"]
    assert page.rows["Warnings"][1][0].startswith("1 rows wait")
    assert page.rows["Warnings"][1][1] == "Is a worker running? aisle worker"
    assert page.rows["Live models"][1][:2] == ["category", str(tiny_model.model_id)]
    assert untranslated(report("freshness", "--language", "ko")) == [], "Add it to reports/korean.toml."


def test_waits_are_weighed_by_the_rows_that_they_stand_for(shop: Shop) -> None:
    shop.execute(
        "insert into aisle._embedding_batches values ('category', '2026-01-01 10:01Z', 98, '{1,3}'),"
        " ('category', '2026-01-01 10:04Z', 2, '{60}'), ('category', '2026-01-01 10:05Z', 1, '{7}')"
    )
    rows = shop.connection.execute(db.read("queries/waits_over_time"), {"step": timedelta(minutes=5)}).fetchall()
    assert [(f"{at:%M}", *rest) for _, at, *rest in rows] == [("00", 100, 3, 3, 60), ("05", 1, 7, 7, 7)]


def test_the_map_keeps_distances_in_a_plane() -> None:
    random = np.random.default_rng(7)
    plane = random.normal(size=(50, 2)) * (5, 2)
    turned = np.linalg.qr(random.normal(size=(6, 6)))[0][:2]
    points, shares = category.project(plane @ turned + 3)

    def distances(x: Any) -> Any:
        return np.linalg.norm(x[:, None] - x[None], axis=2)

    np.testing.assert_allclose(distances(points), distances(plane), atol=1e-9)
    assert shares.sum() == pytest.approx(1)
    assert shares[0] > shares[1]


def test_equal_vectors_have_a_map() -> None:
    points, shares = category.project(np.ones((3, 1)))
    assert points.tolist() == [[0, 0]] * 3
    assert shares.tolist() == [0, 0]


def test_a_browser_shows_the_page(database_url: str, held_out: TinyModel, tmp_path: Path) -> None:
    browser = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    if browser is None:
        pytest.skip(f"There is no browser on PATH to render with: {', '.join(BROWSERS)}.")
    path = tmp_path / "report.html"
    assert run(database_url, "category", "-o", str(path)).exit_code == 0
    result = subprocess.run(
        [browser, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path / 'profile'}",
         "--virtual-time-budget=5000", "--dump-dom", path.as_uri()],
        capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    seen = Parsed(result.stdout.replace("<!DOCTYPE html>", ""))
    assert seen.rows["Worst mistakes"][1][1] == HELD_OUT[0][0]
    assert "음료 > 차  2" in seen.figure("Rows by their category")
    assert seen.tags.count("svg") == len(seen.captions) == 5
    assert "script" not in seen.tags
