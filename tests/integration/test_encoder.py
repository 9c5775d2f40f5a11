"""A transformer encoder from training to the worker, with a tiny one made here: random weights, no download."""

import json
import os
import pickle
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from aisle import db
from aisle.db import errors, model_registry
from aisle.embedder import encoders
from aisle.embedder.category_model import Generation
from aisle.embedder.item_vectors import ItemEmbedder
from aisle.embedder.pipeline import drain
from aisle.trainers import run
from aisle.trainers.category import fine_tuning
from aisle.trainers.category import task as category
from aisle.trainers.category.options import FineTuningOptions, NgramOptions
from aisle.trainers.warm_start import Start
from tests.conftest import save_tiny_encoder

WORDS = {
    "음료": ["녹차", "커피", "우유", "주스"],
    "식품 > 빵": ["식빵", "단팥빵", "바게트", "머핀"],
    "식품 > 과자": ["쿠키", "비스킷", "감자칩", "팝콘"],
}
QUICK = FineTuningOptions(dimensions=16, epochs=10, batch_size=8, learning_rate=3e-3, early_stopping=0)


@pytest.fixture(scope="session")
def tiny_encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a one-layer BERT that knows the words above."""
    words = [word for words in WORDS.values() for word in words]
    return save_tiny_encoder(tmp_path_factory.mktemp("encoder"), "".join(words))


@pytest.fixture
def products(connection: db.Connection) -> None:
    """240 products whose category follows from their words; twelve have none."""
    connection.execute("create schema shop")
    connection.execute(
        "create table shop.products (id bigint primary key, name text, manufacturer text, category text)"
    )
    rows = []
    for number in range(240):
        path = list(WORDS)[number % 3]
        first, second = WORDS[path][number // 3 % 4], WORDS[path][number // 12 % 4]
        rows.append((number, f"{first} {second} {number}", None, None if number % 20 == 0 else path))
    with connection.cursor() as cursor:
        cursor.executemany("insert into shop.products values (%s, %s, %s, %s)", rows)
    connection.execute("select aisle.attach_items('shop.products', 'id', 'name', 'manufacturer', 'category')")


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder for this run's checkpoints."""
    monkeypatch.setenv("AISLE_HOME", str(tmp_path))
    return tmp_path


@pytest.fixture
def trained(database_url: str, tiny_encoder: Path, products: None, home: Path) -> run.Result:
    options = category.Options(
        encoder=str(tiny_encoder),
        fine_tuning=QUICK,
        ngram=NgramOptions(dimensions=16, epochs=8, learning_rate=0.05),
    )
    return run.train(category.TASK, database_url, options)


def test_rows_get_the_weighted_sum_of_encoder_and_ngrams(trained: run.Result, connection: db.Connection) -> None:
    generation = Generation.load(connection, trained.model_id)
    rows = connection.execute(
        "select v.item_id, v.embedding::real[], i.name,"
        " aisle._embed(v.model_id, aisle._ngrams(i.name, null, null))::real[]"
        " from aisle.item_vectors v join aisle._items i using (item_id) order by 1"
    ).fetchall()
    assert len(rows) == 240
    assert generation.encoder is not None
    expected = generation.embed(
        generation.tokenise([(row[2], None, None) for row in rows]), np.array([row[3] for row in rows], np.float32)
    )
    # bfloat16 keeps eight bits, and another batch rounds differently.
    assert np.array([row[1] for row in rows]) == pytest.approx(expected, abs=0.05 * float(np.abs(expected).max()))
    assert trained.metrics["accuracy"] > 0.8, "words tell these categories apart; something is not learned"


def test_sql_confidences_equal_torchs(trained: run.Result, connection: db.Connection) -> None:

    rows = connection.execute("select item_id, embedding::real[] from aisle.item_vectors order by 1").fetchall()
    head = connection.execute("select category, embedding::real[], bias, floor from aisle.category_vectors").fetchall()
    logits = torch.tensor([row[1] for row in rows]) @ torch.tensor([c[1] for c in head]).T + torch.tensor(
        [c[2] for c in head]
    )
    floor = torch.tensor([c[3] for c in head])
    expected = (1 - floor.sum()) * torch.softmax(logits, dim=1) + floor
    for (item_id, _), shares in zip(rows, expected.tolist(), strict=True):
        answers = dict(
            connection.execute("select category, confidence from aisle.item_category(%s, 99)", (item_id,)).fetchall()
        )
        assert answers == pytest.approx(dict(zip([c[0] for c in head], shares, strict=True)), abs=1e-3)


def test_training_starts_from_the_live_encoder(
    trained: run.Result, connection: db.Connection, database_url: str, tiny_encoder: Path, home: Path
) -> None:
    """With a learning rate near 0, transformer and head stay those of the live model."""
    before = set((home / "training").iterdir())
    still = replace(QUICK, epochs=1, learning_rate=1e-12, head_learning_rate=0.0)
    ngrams = NgramOptions(dimensions=16, epochs=1)
    options = category.Options(encoder=str(tiny_encoder), fine_tuning=still, ngram=ngrams, deploy=False)
    second = run.train(category.TASK, database_url, replace(options, warm_start=True))
    assert model_registry.get(connection, second.model_id).parameters["started_from"] == trained.model_id
    old, new = (Generation.load(connection, model_id).encoder for model_id in (trained.model_id, second.model_id))
    assert old is not None
    assert new is not None
    for (name, one), other in zip(old.model[0].named_parameters(), new.model[0].parameters(), strict=True):
        assert torch.allclose(one, other, atol=1e-6), name
    heads = [Start.read(connection, model_id).arrays["encoder"] for model_id in (trained.model_id, second.model_id)]
    assert heads[1] == pytest.approx(heads[0], abs=1e-6)
    run.train(category.TASK, database_url, options)
    folders = set((home / "training").iterdir()) - before
    assert len(folders) == 2, "A run that starts elsewhere must not be picked up by one from scratch."
    with pytest.raises(errors.WarmStartError, match="another encoder"):
        run.train(category.TASK, database_url, category.Options(warm_start=True))


def test_worker_replaces_a_draft_with_the_encoders_vector(trained: run.Result, connection: db.Connection) -> None:
    connection.execute("insert into shop.products values (1000, '녹차 우유', null, null)")
    assert connection.execute("select is_draft from aisle.item_vectors where item_id = '1000'").fetchone() == (True,)
    draft = connection.execute("select embedding::text from aisle.item_vectors where item_id = '1000'").fetchone()
    assert drain(connection, [ItemEmbedder()]) == 1
    row = connection.execute(
        "select is_draft, embedding::text from aisle.item_vectors where item_id = '1000'"
    ).fetchone()
    assert row is not None
    assert row[0] is False
    assert (row[1],) != draft
    assert connection.execute("select category from aisle.item_category(1000, 1)").fetchone() == ("음료",)


@pytest.mark.trap(26)
def test_a_tampered_model_file_is_refused(trained: run.Result, connection: db.Connection) -> None:
    connection.execute(
        "update aisle._model_file_chunks set content = set_byte(content, 100, (get_byte(content, 100) + 1) %% 256)"
        " where name like %s",
        ("%.safetensors",),
    )
    with pytest.raises(errors.CorruptModelFileError, match="checksum"):
        Generation.load(connection, trained.model_id)


def test_stored_files_cannot_carry_code(trained: run.Result, connection: db.Connection) -> None:
    names = [name for (name,) in connection.execute("select name from aisle._model_files").fetchall()]
    assert any(name.endswith(".safetensors") for name in names)
    assert {Path(name).suffix for name in names} <= model_registry.SAFE_SUFFIXES


@pytest.mark.trap(26)
def test_loading_a_model_unpickles_nothing(
    trained: run.Result, connection: db.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: Any, **options: Any) -> None:
        raise AssertionError("A pickle can run code.")

    for name in ("load", "loads", "Unpickler"):
        monkeypatch.setattr(pickle, name, refuse)
    monkeypatch.setattr(torch, "load", refuse)
    generation = Generation.load(connection, trained.model_id)
    assert generation.encoder is not None


def test_killed_fine_tuning_goes_on_from_its_last_epoch(
    database_url: str, tiny_encoder: Path, products: None, home: Path
) -> None:
    command = [sys.executable, "-m", "aisle.cli", "--database-url", database_url, "train", "category"]
    command += ["--encoder", str(tiny_encoder), "--epochs", "11", "--early-stopping", "0", "--batch-size", "4"]
    environment = {**os.environ, "AISLE_HOME": str(home)}
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stderr is not None
        for line in process.stderr:
            if "epoch 2/11" in line:
                break
        deadline = time.monotonic() + 30
        while (
            not list(home.glob("training/*/checkpoints/checkpoint-*/trainer_state.json"))
            and time.monotonic() < deadline
        ):
            time.sleep(0.05)
        process.send_signal(signal.SIGKILL)
    assert list(home.glob("training/*/checkpoints/checkpoint-*/trainer_state.json")), (
        "the run was killed before it had a checkpoint"
    )
    again = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    assert again.returncode == 0, again.stderr
    assert "Continuing from the last epoch of an earlier run." in again.stderr
    assert "epoch 1/11" not in again.stderr


def test_unknown_encoder_tells_of_local_folders(
    database_url: str, products: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The hub's client reads the variable once; an earlier test may have loaded it, and it would try for a minute.
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(errors.EncoderNotFoundError, match="no-such/encoder") as raised:
        run.train(category.TASK, database_url, category.Options(encoder="no-such/encoder"))
    assert "folder" in (raised.value.hint or "")


def _cut_in_half(folder: Path) -> None:
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[: weights.stat().st_size // 2])


def _change_weights(folder: Path, change: Callable[[dict[str, torch.Tensor]], None]) -> None:
    weights = load_file(folder / "model.safetensors")
    change(weights)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


def _set_nan(folder: Path) -> None:
    _change_weights(folder, lambda weights: weights["encoder.layer.0.output.dense.weight"][3].fill_(float("nan")))


def _forget_words(folder: Path) -> None:
    """Leave vectors for only ten of the tokenizer's tokens."""

    def cut(weights: dict[str, torch.Tensor]) -> None:
        weights["embeddings.word_embeddings.weight"] = weights["embeddings.word_embeddings.weight"][:10].clone()

    _change_weights(folder, cut)
    _configure(folder, vocab_size=10)


def _configure(folder: Path, **values: Any) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | values))


def _widen(folder: Path) -> None:
    _configure(folder, hidden_size=64)


def _remove_weights(folder: Path) -> None:
    (folder / "model.safetensors").unlink()


def _remove_tokenizer(folder: Path) -> None:
    for path in folder.glob("*"):
        if path.name not in ("config.json", "model.safetensors"):
            path.unlink()


def _spoil_tokenizer(folder: Path) -> None:
    (folder / "tokenizer.json").write_text("{")


def _remove_pad_token(folder: Path) -> None:
    config = json.loads((folder / "tokenizer_config.json").read_text())
    (folder / "tokenizer_config.json").write_text(json.dumps(config | {"pad_token": None}))


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (_cut_in_half, "cannot be loaded: SafetensorError"),
        (_remove_weights, "cannot be loaded: OSError"),
        (_spoil_tokenizer, "cannot be loaded"),
        (_widen, "cannot be loaded"),
        (_set_nan, "contain NaN or infinity, in encoder.layer.0.output.dense.weight"),
        (_forget_words, r"has \d+ tokens, and the model vectors for 10"),
        (_remove_pad_token, "no token to pad texts with"),
        (_remove_tokenizer, "does not know 100% of the catalogue's words"),
    ],
)
def test_an_encoder_that_cannot_work_is_refused_before_it_is_trained(
    database_url: str,
    products: None,
    home: Path,
    tiny_encoder: Path,
    tmp_path: Path,
    spoil: Callable[[Path], None],
    says: str,
) -> None:
    folder = tmp_path / "spoilt"
    shutil.copytree(tiny_encoder, folder)
    spoil(folder)
    lines: list[str] = []
    with pytest.raises(errors.UnusableEncoderError, match=says) as raised:
        run.train(category.TASK, database_url, category.Options(encoder=str(folder), fine_tuning=QUICK), lines.append)
    assert str(folder) in str(raised.value)
    assert raised.value.hint
    assert not any("epoch" in line for line in lines)


def test_an_encoder_reads_no_more_than_it_has_positions_for(
    database_url: str, products: None, home: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "short"
    folder.mkdir()
    save_tiny_encoder(folder, "녹차커피", max_position_embeddings=6)
    lines: list[str] = []
    options = category.Options(encoder=str(folder), fine_tuning=replace(QUICK, epochs=1), deploy=False)
    result = run.train(category.TASK, database_url, options, lines.append)
    assert f"The encoder {folder} reads 6 tokens at most: --max-length is 6, not 48." in lines
    with db.connect(database_url) as connection:
        assert model_registry.get(connection, result.model_id).parameters["fine_tuning"]["max_length"] == 6
        encoder = Generation.load(connection, result.model_id).encoder
    assert encoder is not None
    assert np.isfinite(encoder.encode_texts(["녹차 커피 녹차 커피 녹차 커피 녹차", ""])).all()


def test_a_decoder_whose_tokenizer_has_no_token_to_pad_with(tmp_path: Path) -> None:
    """GPT-2's tokenizer has no padding token, and returns no tokens for an empty text."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import GPT2Config, GPT2Model, PreTrainedTokenizerFast

    words = Tokenizer(models.WordLevel({"tea": 0, "jam": 1, "<end>": 2, "<unknown>": 3}, unk_token="<unknown>"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    PreTrainedTokenizerFast(tokenizer_object=words, eos_token="<end>", unk_token="<unknown>").save_pretrained(tmp_path)
    GPT2Model(GPT2Config(vocab_size=4, n_positions=16, n_embd=32, n_layer=1, n_head=2)).save_pretrained(tmp_path)
    lines: list[str] = []
    model = fine_tuning.build(str(tmp_path), QUICK, lines.append)
    assert lines == [
        f"The encoder {tmp_path} reads 16 tokens at most: --max-length is 16, not 48.",
        f"The tokenizer of {tmp_path} has no token to pad texts with; '<end>' takes its place.",
    ]
    vectors = encoders.Encoder(model).encode_texts(["tea", "tea jam " * 30, ""])
    assert np.isfinite(vectors).all()
    assert encoders.Encoder(model).encode_texts([""]) == pytest.approx(vectors[2:], abs=1e-5)


@pytest.mark.parametrize("is_native", [True, False], ids=["bfloat16", "float32"])
def test_a_texts_vector_does_not_depend_on_longer_neighbours(
    tiny_encoder: Path, monkeypatch: pytest.MonkeyPatch, is_native: bool
) -> None:
    monkeypatch.setattr(encoders, "bf16_is_native", lambda: is_native)
    encoder = encoders.Encoder(fine_tuning.build(str(tiny_encoder), QUICK))
    short = ["녹차 커피", "우유 주스", "식빵 머핀"]
    longer = ["녹차 커피 우유 주스 식빵 머핀", "쿠키 팝콘 감자칩 비스킷 단팥빵 바게트 쿠키 팝콘"]
    among_equals = encoder.encode_texts(short)
    assert (encoder.encode_texts([*longer, *short])[len(longer) :] == among_equals).all()
    # The number of texts of one length may change the rounding: docs/how-it-works.md gives the bound.
    alone = np.concatenate([encoder.encode_texts([text]) for text in short])
    assert np.abs(alone - among_equals).max() < 0.01, "The vectors have length 1."


def test_rounding_makes_no_vector_stale(trained: run.Result, connection: db.Connection) -> None:
    connection.execute("update aisle.item_vectors set embedding = embedding * array_fill(1.01::real, array[3])::vector")
    assert connection.execute("select aisle._enqueue_stale()").fetchone() == (0,), "What counts is the content's hash."


def test_e5_is_given_its_prompt() -> None:
    assert encoders.prompt_for("intfloat/multilingual-e5-base") == "query: "
    assert encoders.prompt_for("sentence-transformers/all-MiniLM-L6-v2") is None


def test_fit_in_freezes_word_embeddings_only_where_it_must(tiny_encoder: Path) -> None:
    lines: list[str] = []
    model = fine_tuning.build(str(tiny_encoder), QUICK)
    everything = sum(p.numel() for p in model.parameters())
    words = model[0].auto_model.get_input_embeddings().weight.numel()
    enough = everything * 16 + fine_tuning.ACTIVATION_RESERVE
    tight = enough - words * 8  # too little for all, enough with the words frozen at 4 bytes instead of 16

    roomy = fine_tuning.fit_in_memory(model, FineTuningOptions(fit_in=f"{enough / 1e9 + 1e-6:.9f}GB"), lines.append)
    frozen = fine_tuning.fit_in_memory(model, FineTuningOptions(fit_in=f"{tight / 1e9:.9f}GB"), lines.append)
    assert (roomy.freeze_word_embeddings, frozen.freeze_word_embeddings) == (False, True)
    assert roomy.gradient_checkpointing
    assert roomy.batch_size * roomy.gradient_accumulation == FineTuningOptions().batch_size
    assert "word embeddings frozen" in lines[1]
    with pytest.raises(errors.InvalidArgumentError, match="even with frozen"):
        fine_tuning.fit_in_memory(model, FineTuningOptions(fit_in="1GB"), lines.append)
    with pytest.raises(errors.InvalidArgumentError, match="not a size"):
        fine_tuning.fit_in_memory(model, FineTuningOptions(fit_in="much"), lines.append)


@pytest.mark.parametrize(
    ("parameters", "words", "freezes"),
    [(278e6, 192e6, False), (560e6, 256e6, True)],
    ids=["multilingual-e5-base", "multilingual-e5-large"],
)
def test_what_8_gb_mean_for_the_reference_encoders(parameters: float, words: float, freezes: bool) -> None:
    assert fine_tuning.must_freeze_words(parameters, words, 8e9) is freezes


def test_frozen_words_do_not_change(tiny_encoder: Path) -> None:
    from dataclasses import replace

    options = replace(QUICK, freeze_word_embeddings=True, gradient_checkpointing=True)
    classifier = fine_tuning.Classifier(fine_tuning.build(str(tiny_encoder), options), [["a"], ["b"], ["c"]], options)
    trained = {name for name, parameter in classifier.named_parameters() if parameter.requires_grad}
    assert not any("word_embeddings" in name for name in trained)
    assert any("attention" in name for name in trained)


def test_parameters_are_stored_with_the_model(trained: run.Result, connection: db.Connection) -> None:
    row = connection.execute("select parameters::text from aisle.models").fetchone()
    assert row is not None
    assert json.loads(row[0])["fine_tuning"]["epochs"] == QUICK.epochs


def test_what_a_killed_worker_left_of_an_encoder_is_removed(
    trained: run.Result,
    connection: db.Connection,
    database_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A worker that is killed repeatedly while it loads does not fill the disk."""
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    code = (
        "import os, signal, sys; from aisle import db; from aisle.embedder import encoders; "
        "encoders.load_pretrained = lambda folder: os.kill(os.getpid(), signal.SIGKILL); "
        "encoders.Encoder.from_database(db.connect(sys.argv[1]).__enter__(), int(sys.argv[2]))"
    )
    command = [sys.executable, "-c", code, database_url, str(trained.model_id)]
    for _ in range(2):
        killed = subprocess.run(command, env={**os.environ, "TMPDIR": str(temporary)}, check=False)
        assert killed.returncode == -signal.SIGKILL
        assert len(list(temporary.glob("*/files/model.safetensors"))) == 1, "The one before is gone."
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    encoders.Encoder.from_database(connection, trained.model_id)
    assert not list(temporary.iterdir())
