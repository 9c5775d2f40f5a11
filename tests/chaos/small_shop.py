"""The shop of the chaos tests and its models: vectors drawn at random, and an encoder that chokes on one word."""

from pathlib import Path

import numpy as np
from psycopg.types.json import Jsonb

from aisle.db import Connection, model_registry
from tests.conftest import SEPARATOR

DIMENSIONS = 16
OTHER_DIMENSIONS = 8
NGRAM_SCALE = 0.5
POISON = "독약"  # a word without which no tokenizer of ours chokes
FIRST_POISON_ID = 1_000_000_000  # rows that hold poison have ids from here on, and no others
LAST_POISON_ID = 2 * FIRST_POISON_ID  # one that nobody cures
WORDS = [
    "녹차",
    "커피",
    "우유",
    "주스",
    "식빵",
    "단팥빵",
    "바게트",
    "머핀",
    "쿠키",
    "비스킷",
    "감자칩",
    "팝콘",
    "tea",
    "coffee",
    "milk",
    "bread",
]
MAKERS = (None, "tea", "coffee", "우유")


def open_shop(connection: Connection, rows: int = 0) -> None:
    """Create the shop's table, with this number of rows, and attach it. Triggers log all jobs and leases."""
    connection.execute("create schema shop")
    connection.execute(
        "create table shop.products (id bigint primary key, name text, maker text, category text, specs text, "
        "price integer not null default 0)"
    )
    connection.execute("select aisle.attach_items('shop.products', 'id', 'name', 'maker', 'category', array['specs'])")
    connection.execute(
        "insert into shop.products (id, name) select -i, (%s::text[])[1 + i %% 16] || ' ' || i "
        "from generate_series(1, %s) i",
        [WORDS, rows],
    )
    connection.execute(NOTES)


# Who leased what, and which row was charged: the queue itself forgets. `chaos.worker` comes with a worker's address.
NOTES = """
create schema chaos;
create table chaos.leases (token bigint primary key, worker text, backend integer);
create table chaos.charges (id text, attempts integer, error text);
create function chaos.tg_leased() returns trigger language plpgsql security definer as $trigger$
begin
    insert into chaos.leases
    select distinct lease_token, current_setting('chaos.worker', true), pg_backend_pid()
    from new_rows where lease_token is not null
    on conflict do nothing;
    return null;
end
$trigger$;
create function chaos.tg_charged() returns trigger language plpgsql security definer as $trigger$
begin
    insert into chaos.charges values (new.id, new.attempts, new.last_error);
    return null;
end
$trigger$;
create trigger chaos_leased after update on aisle._embedding_jobs referencing new table as new_rows
    for each statement execute function chaos.tg_leased();
create trigger chaos_charged after update on aisle._embedding_jobs
    for each row when (new.attempts > old.attempts) execute function chaos.tg_charged();
create trigger chaos_charged_new after insert on aisle._embedding_jobs
    for each row when (new.attempts > 0) execute function chaos.tg_charged();
"""


def build_encoder(folder: Path, *, dimensions: int = DIMENSIONS, seed: int = 7) -> Path:
    """Save an encoder of one layer with random weights whose tokenizer knows `WORDS` and raises at any other word."""
    import torch
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Dense, Normalize, Pooling, Transformer
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    special = ["[PAD]", "[CLS]", "[SEP]"]
    vocabulary = {token: i for i, token in enumerate([*special, "|", "#", *map(str, range(10)), *WORDS])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary))  # no unknown token
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Digits(individual_digits=True)]
    )
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[(token, vocabulary[token]) for token in special[1:]]
    )
    bare = folder / "transformer"
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="[PAD]", cls_token="[CLS]", sep_token="[SEP]", model_max_length=64
    ).save_pretrained(bare)
    torch.manual_seed(seed)
    config = BertConfig(
        vocab_size=len(vocabulary), hidden_size=64, num_hidden_layers=1, num_attention_heads=2, intermediate_size=128,
        max_position_embeddings=64, initializer_range=0.5,
    )  # fmt: skip
    BertModel(config).save_pretrained(bare)
    transformer = Transformer(str(bare), model_kwargs={"use_safetensors": True})
    projection = Dense(64, dimensions, activation_function=torch.nn.Identity())
    torch.nn.init.normal_(projection.linear.weight)
    whole = folder / "encoder"
    SentenceTransformer(modules=[transformer, Pooling(64, "mean"), projection, Normalize()]).save(
        str(whole), create_model_card=False
    )
    return whole


def load_model(
    connection: Connection, name: str, *, encoder: Path | None = None, dimensions: int = DIMENSIONS, deploy: bool = True
) -> int:
    """Store a generation with random vectors, whose categories are called `name > …`; return the model's id."""
    numbers = np.random.default_rng(len(name) + dimensions)

    def vector(scale: float = 1.0) -> str:
        return str((scale * numbers.standard_normal(dimensions)).round(3).tolist())

    model_id = model_registry.create(
        connection, "category", dimensions, encoder=str(encoder) if encoder else None,
        parameters={"category_separator": SEPARATOR, "ngram_scale": NGRAM_SCALE},
    )  # fmt: skip
    with connection.cursor() as cursor:
        cursor.executemany(
            "insert into aisle.category_vectors (model_id, category_id, category, path, embedding, bias, support) "
            "values (%s, %s, %s, %s, %s, 0, 1)",
            [(model_id, i, f"{name}{SEPARATOR}{word}", [name, word], vector()) for i, word in enumerate(WORDS)],
        )
        cursor.executemany(
            "insert into aisle.ngram_vectors (model_id, ngram, embedding) "
            "select %s, g, %s from unnest(aisle._ngrams(%s, null, null)) g on conflict do nothing",
            [(model_id, vector(0.3), word) for word in WORDS],
        )
    if encoder:
        model_registry.write_files(connection, model_id, encoder)
    connection.execute(
        "update aisle._models set state = 'ready', parameters = %s where model_id = %s",
        [Jsonb({"category_separator": SEPARATOR, "ngram_scale": NGRAM_SCALE}), model_id],
    )
    connection.execute("select aisle._enqueue_stale()")
    if deploy:
        connection.execute("select aisle.deploy(%s)", [model_id])
    return model_id
