-- The tables. Applications use the functions and views instead. Once 0001 is released, a change to a table is a revision of its own, and
-- this file follows it.

-- What Aisle reads of the shop. `declaration` holds the arguments of aisle.attach_…; the other columns are made of it. `columns` maps a
-- role (id, name, category, user, at, …) to the names of the shop's columns. `id_type` is the type of the ids by which rows are looked
-- up: those of items, or of the users of events.
create table aisle._attachments (
    kind        text primary key check (kind in ('items', 'interactions', 'orders')),
    declaration jsonb not null,
    relation    regclass not null,  -- the shop's table or view, or the view that Aisle made of a query: aisle._items_source, …
    lines       regclass,  -- the table of the orders' lines, if it is another table
    id_type     text not null check (id_type in ('smallint', 'integer', 'bigint', 'uuid', 'text')),
    columns     jsonb not null,
    category_separator text not null default ' > ' check (category_separator <> ''),
    category_digits integer check (category_digits > 0),  -- of a level, where categories are codes without a separator
    category_list   text,  -- what separates several categories in one cell
    draft_rows  integer not null default 100 check (draft_rows >= 0),
    time_type   text check (time_type in ('timestamp with time zone', 'timestamp without time zone', 'date',
                                          'smallint', 'integer', 'bigint')),  -- the type of an event's time
    time_zone   text,  -- for hours and weekdays of events
    reads       regclass[] not null default '{}',  -- the tables below
    read_names  text[] not null default '{}',      -- what they were called: a migration may give the name to another table
    declared    regclass[] not null default '{}',  -- the tables that have the declared names: `relation`, `lines`
    numbers     jsonb not null default '{}',       -- of their declared columns, which may be renamed: {"relation": {"title": 2}, …}
    unwatched   regclass[] not null default '{}',  -- those of them whose changes no trigger tells
    looks_up    boolean not null default false,    -- answers look up each item: it may not be eligible, or has a group
    eligible_share real not null default 1 check (eligible_share > 0),  -- how many candidates a search needs, in the main
    is_paused   boolean not null default false,    -- aisle.pause took views and triggers away
    attached_at timestamptz not null default clock_timestamp()
);

-- The tables beside the attached ones whose rows decide what an item, or a customer's orders, are. Triggers log the values of `columns` of
-- each changed row. `query` tells which ids they touch: `r` is the row. It runs after the commit of the change, when a worker
-- takes the log in.
create table aisle._watches (
    topic      text primary key,  -- in aisle._changes
    kind       text not null references aisle._attachments on delete cascade,
    relation   regclass not null,
    columns    text[] not null,
    query      text not null,
    reads      regclass[] not null  -- the tables of the query
);

-- The tasks. Functions, views and the program read here what a task is; they list no names. tasks.sql fills the table. Another task
-- needs a row here, and its vector tables. A trigger on this table makes the view aisle._row_vectors of all `row_vectors`.
create table aisle._tasks (
    task          text primary key,
    place         integer not null unique,  -- in lists
    learns_from   text[] not null,          -- kinds of attachments: a model learns from the first of them that is attached
    vector_tables text[] not null,          -- a model has a partition in each
    follows       text check (follows in ('items', 'orders')),  -- the worker embeds each item, or each customer of the orders
    row_vectors   text,                     -- the vector table with a row for each of these
    key_column    text generated always as (case follows when 'items' then 'item_id' when 'orders' then 'user_id' end) stored,
    reads_category boolean not null default false,     -- a row's vector is of its texts and its category, not of its texts alone
    keeps_learned boolean not null default false,      -- rows whose `origin` is 'events' outlive a detach: no worker can make them again
    is_always_queued boolean not null default false,   -- changed rows become jobs even while the task has no model
    is_always_listed boolean not null default false,   -- aisle.freshness and aisle.status list it even then
    -- An object for each column that is searched for the nearest vectors: table, column, operator, and, if it is not 16, the number
    -- of connections of a vector in the HNSW graph.
    searched      jsonb not null default '[]',
    spaces        jsonb not null default '{}',  -- of aisle.similar_items: {space: the function that answers in it}
    check ((follows is null) = (row_vectors is null) and (row_vectors is null or row_vectors = any (vector_tables)))
);

-- A model is one training run. Its vectors are a generation: one partition in each vector table.
create table aisle._models (
    model_id    integer generated always as identity primary key,
    task        text not null references aisle._tasks,
    state       text not null default 'loading' check (state in ('loading', 'filling', 'ready', 'failed')),
    dimensions  integer not null check (dimensions between 1 and 2000),
    encoder     text,  -- null: the n-gram model is the whole model
    parameters  jsonb not null default '{}',
    metrics     jsonb not null default '{}',
    data        jsonb not null default '{}',  -- row counts and a fingerprint of the training data
    declaration jsonb,    -- of the items that it learned from
    environment jsonb not null default '{}',  -- library versions, hardware, seconds
    passed_gate boolean,  -- it was better than the live model and the baselines; null: it was not compared
    verdict     text,     -- the same in words
    created_at  timestamptz not null default clock_timestamp()
);

-- Always empty. A training run, a migration or a prune holds a lock on it, so that one of them runs at a time in a database. A role
-- without rights on it cannot take the lock.
create table aisle._training_lock (held boolean);

create table aisle._model_files (
    model_id    integer not null references aisle._models on delete cascade,
    name        text not null,
    size        bigint not null,
    sha256      bytea not null check (length(sha256) = 32),
    primary key (model_id, name)
);

create table aisle._model_file_chunks (
    model_id    integer not null,
    name        text not null,
    chunk       integer not null,
    content     bytea not null,
    primary key (model_id, name, chunk),
    foreign key (model_id, name) references aisle._model_files on delete cascade
);
alter table aisle._model_file_chunks alter column content set storage external;

-- A stack for each task: the newest deployment that was not rolled back answers. A deploy or a rollback writes one row. A statement sees
-- one snapshot, so it can never mix two generations.
create table aisle._deployments (
    deployment_id  bigint generated always as identity primary key,
    task           text not null references aisle._tasks,
    model_id       integer not null references aisle._models,
    deployed_at    timestamptz not null default clock_timestamp(),
    deployed_by    text not null default session_user,
    rolled_back_at timestamptz
);
create index _deployments_live on aisle._deployments (task, deployment_id desc) where rolled_back_at is null;

-- A name of pgvector's type for statements from outside, which have the type on no search path.
create domain aisle._vector as @vector@.vector;

-- The vector tables are list-partitioned: a partition is a generation, and checks its number of dimensions.
create table aisle.item_vectors (
    model_id     integer not null,
    item_id      text not null,
    embedding    @vector@.vector not null,
    content_hash bytea not null,
    is_draft     boolean not null,  -- the n-gram vector, until the encoder has seen the row
    embedded_at  timestamptz not null default clock_timestamp(),
    primary key (item_id, model_id)
) partition by list (model_id);

create table aisle.category_vectors (
    model_id     integer not null,
    category_id  integer not null,
    category     text not null,
    path         text[] not null,
    embedding    @vector@.vector not null,
    bias         real not null,
    floor        double precision not null default 0 check (floor >= 0),
    support      integer not null,
    primary key (category_id, model_id)
) partition by list (model_id);

create table aisle.ngram_vectors (
    model_id     integer not null,
    ngram        text collate "C" not null,
    embedding    @vector@.halfvec not null,
    primary key (ngram, model_id)
) partition by list (model_id);

-- The recommender's items. A search compares the out-vector (`embedding`) with the user's vector. The in-vector (`in_embedding`) is what
-- an event with the item adds to a user's vector. The last dimension holds the out-vector's bias.
create table aisle.item_factors (
    model_id     integer not null,
    item_id      text not null,
    category_key text collate "C",  -- the category's path and a separator: the keys of all categories below begin with it
    embedding    @vector@.vector not null,
    in_embedding @vector@.vector not null check (@vector@.vector_dims(in_embedding) = @vector@.vector_dims(embedding)),
    content_hash bytea not null,
    origin       text not null check (origin in ('events', 'content', 'draft')),
    is_draft     boolean generated always as (origin = 'draft') stored,
    embedded_at  timestamptz not null default clock_timestamp(),
    primary key (item_id, model_id)
) partition by list (model_id);
create index item_factors_category_key on aisle.item_factors (category_key);

-- The vectors that a recommender learned for items that are gone, in case these come back.
create table aisle._learned_factors (
    model_id     integer not null,
    item_id      text not null,
    embedding    @vector@.vector not null,
    in_embedding @vector@.vector not null,
    primary key (item_id, model_id)
);

create table aisle.user_vectors (
    model_id     integer not null,
    user_id      text not null,
    embedding    @vector@.vector not null,
    primary key (user_id, model_id)
) partition by list (model_id);

create table aisle.context_vectors (
    model_id     integer not null,
    feature      text not null,  -- '': the vector that every user has
    value        text not null,
    embedding    @vector@.vector not null,
    primary key (feature, value, model_id)
) partition by list (model_id);

-- What an item leads to, as the recommender learned it: the items that follow it ('after'), and those that the same users have
-- ('beside'), each with a weight. An event with the item adds the weights to the scores of these items.
create table aisle.item_links (
    model_id     integer not null,
    item_id      text not null,
    kind         text not null check (kind in ('after', 'beside')),
    linked       text[] not null,
    weights      real[] not null check (cardinality(weights) = cardinality(linked)),
    primary key (item_id, kind, model_id)
) partition by list (model_id);

-- The basket model's products.
create table aisle.basket_items (
    model_id     integer not null,
    item_id      text not null,
    embedding    @vector@.vector not null,  -- is compared with a customer's state
    taste        @vector@.vector not null,  -- what a purchase adds to a customer's long-term vector
    cart         @vector@.vector not null,  -- what the product adds to the vector of an open cart
    -- Is compared with the vector of a cart; its last component is a bias.
    completion   @vector@.vector not null check (@vector@.vector_dims(completion) = @vector@.vector_dims(cart) + 1),
    companions   text[] not null,  -- the products that are bought with it most often, relative to how often either is bought
    cosines      real[] not null check (cardinality(cosines) = cardinality(companions)),
    co_purchase  @vector@.vector,  -- near the vectors of products that are bought with the same ones; null if no orders tell
    popularity   double precision not null check (popularity between 0 and 1),  -- the share of the orders that contain it
    gap          double precision not null check (gap > 0),  -- the usual time between two purchases: days, or orders
    primary key (item_id, model_id)
) partition by list (model_id);
create index on aisle.basket_items (popularity desc, item_id);  -- the answer for customers without orders

-- The basket model's customers. `embedding` is the state after all of a customer's orders. `taste` is the long-term vector before the last
-- order, and `next_items` are the items of the last order: other customers find this one as a neighbour by them.
create table aisle.customer_vectors (
    model_id     integer not null,
    user_id      text not null,
    embedding    @vector@.vector not null,
    taste        @vector@.vector,  -- null for a customer with a single order
    next_items   text[] not null,
    known_at     double precision not null,  -- the time of the last order: days since 1970, or its number
    content_hash bytea not null,
    embedded_at  timestamptz not null default clock_timestamp(),
    primary key (user_id, model_id)
) partition by list (model_id);

-- Plain storage keeps a vector in its row: TOAST would add a second lookup to every scan.
alter table aisle.item_vectors alter column embedding set storage plain;
alter table aisle.category_vectors alter column embedding set storage plain;
alter table aisle.ngram_vectors alter column embedding set storage plain;
alter table aisle.item_factors alter column embedding set storage plain;
alter table aisle.item_factors alter column in_embedding set storage plain;
alter table aisle.user_vectors alter column embedding set storage plain;
alter table aisle.context_vectors alter column embedding set storage plain;
alter table aisle.basket_items alter column embedding set storage plain;
alter table aisle.basket_items alter column taste set storage plain;
alter table aisle.basket_items alter column cart set storage plain;
alter table aisle.basket_items alter column completion set storage plain;
alter table aisle.basket_items alter column co_purchase set storage plain;
alter table aisle.customer_vectors alter column embedding set storage plain;
alter table aisle.customer_vectors alter column taste set storage plain;

comment on table aisle.item_vectors is 'A vector for each item and generation. Ask aisle.similar_items and aisle.item_category.';
comment on table aisle.category_vectors is 'A vector for each category and generation. Ask aisle.predict_category.';
comment on table aisle.ngram_vectors is 'A vector for each n-gram and generation. Ask aisle.embed_text.';
comment on table aisle.item_factors is 'Two vectors for each item and generation of the recommender. Ask aisle.recommend.';
comment on table aisle.user_vectors is 'A vector for each user that a recommender learned from. Ask aisle.recommend.';
comment on table aisle.context_vectors is 'A vector for each context value that a recommender knows. Ask aisle.recommend.';
comment on table aisle.item_links is 'What each item leads to, by generation of the recommender. Ask aisle.recommend and aisle.similar_items.';
comment on table aisle.basket_items is 'Vectors for each product of a basket model. Ask aisle.next_basket and aisle.complete_basket.';
comment on table aisle.customer_vectors is 'The state of each customer, and the long-term vector by which others find it as a neighbour. Ask aisle.next_basket.';

-- The weights of a user's newest event, of the one before, and so on. They are repeated in all dimensions, so that the product of two
-- vectors weighs one by the other.
create table aisle._recency_weights (
    model_id   integer not null references aisle._models on delete cascade,
    place      integer not null check (place >= 1),
    weights    @vector@.vector not null,
    primary key (model_id, place)
);
alter table aisle._recency_weights alter column weights set storage plain;

-- The answers of a category model for rows that it was not trained on, as the SQL functions returned them.
create table aisle._heldout_predictions (
    model_id           integer not null references aisle._models on delete cascade,
    item_id            text not null,
    category           text not null,
    predicted          text not null,
    confidence         real not null,
    given_confidence   real not null,  -- the confidence of the row's own label
    ngram_predicted  text not null,
    primary key (item_id, model_id)
);

-- Where predicted categories are written: the settings of aisle.set_write_back. One row at most.
create table aisle._write_back (
    settings jsonb not null,
    target   regclass,  -- the table that is written to
    only_row boolean primary key default true check (only_row)
);

-- What a precision costs in confidence, by the held-out items of a model; it is computed when it is first needed.
create table aisle._write_thresholds (
    model_id  integer not null references aisle._models on delete cascade,
    precision numeric not null,
    category  text not null,  -- '': all
    threshold double precision not null,
    primary key (model_id, precision, category)
);

-- The categories that Aisle wrote to the shop's items. They outlive their model and a detach: as long as they stand in the shop's table and
-- nobody has confirmed them, they are no labels to learn from.
create table aisle._applied_categories (
    item_id      text primary key,
    items        regclass,  -- the table that has the ids; another one's categories are its own
    category     text not null,
    model_id     integer not null,
    confidence   real not null,
    previous     text,  -- what stood there, if the shop has a category that stands for none
    applied_at   timestamptz not null,
    confirmed_at timestamptz,
    confirmed_by text
);

-- Comparisons of options; `arms` is what `aisle experiment` printed.
create table aisle._experiments (
    experiment_id bigint generated always as identity primary key,
    key           text,  -- of an experiment that can be resumed: a hash of its options and data
    task          text not null,
    measure       text not null,
    users         integer not null,
    arms          jsonb not null,
    created_at    timestamptz not null default clock_timestamp()
);

-- The users whose last events a model did not see: from `as_of` on, they had events with the relevant items.
create table aisle._heldout_users (
    model_id   integer not null references aisle._models on delete cascade,
    user_id    text not null,
    as_of      timestamptz not null,
    context    jsonb not null,
    relevant   text[] not null,
    primary key (user_id, model_id)
);

-- The answers of a category model for the present rows, written with each vector; aisle.category_review reads them.
create table aisle._item_predictions (
    model_id           integer not null references aisle._models on delete cascade,
    item_id            text not null,
    category           text not null,
    confidence         real not null,
    ngram_category   text not null,
    ngram_confidence real not null,
    content_hash       bytea not null,
    primary key (item_id, model_id)
);
create index on aisle._item_predictions (model_id);  -- for the removal of a model

-- The labels that a preference model gave to reviews without a rating. The key is the hash of the text, not the event: so events need no
-- key, equal texts are labelled once, and a review that is rewritten has no label until it gets a new one. Each model has its own labels,
-- so that a rollback finds them.
create table aisle._review_labels (
    model_id   integer not null references aisle._models on delete cascade,
    text_hash  bytea not null,
    is_liked   boolean not null,
    confidence real not null,  -- in is_liked, be it true or false
    primary key (text_hash, model_id)
);

-- The log of changes: triggers append a row a statement of the shop's and never touch it again. So no write of the shop's waits for
-- another write or for a worker. The workers take the log in, and make jobs of it.
create table aisle._changes (
    change_id  bigint generated always as identity primary key,
    topic      text not null,  -- 'items': ids of items; 'orders': of customers; or a topic of aisle._watches
    ids        text[] not null,
    changed_at timestamptz not null
);
alter table aisle._changes alter column ids set storage external;  -- compressing ten thousand ids costs more than writing them

-- The queue: one job for each task and id, however often the shop's row changed. Only workers write to it.
create table aisle._embedding_jobs (
    task         text not null,
    id           text not null,
    version      bigint not null default 1,    -- grows with each change: a result for an older content does not end the job
    priority     smallint not null default 0,  -- 0: changed rows; 1: another attempt; 2: filling a generation
    enqueued_at  timestamptz not null,         -- the oldest change that no vector shows yet
    run_after    timestamptz not null,
    attempts     integer not null default 0,
    leased_until timestamptz,
    lease_token  bigint,
    is_dead      boolean not null default false,
    last_error   text,
    primary key (id, task)
) with (fillfactor = 70);
create index _embedding_jobs_due on aisle._embedding_jobs (task, priority, run_after) where not is_dead;
create sequence aisle._lease_tokens as bigint;

-- How far the workers have compared vectors with rows, and how many differences they found that no trigger had told of.
create table aisle._comparisons (
    task           text primary key references aisle._tasks,
    after_row      text,  -- the id of the last row that this pass has compared; null: it begins
    after_vector   text,  -- the id of the last vector: its row may be gone
    started_at     timestamptz not null,
    due_at         timestamptz not null,
    finished_at    timestamptz,  -- when the last whole pass ended
    mended         bigint not null default 0,
    last_mended_at timestamptz
);

-- The batches of the last hours: aisle.freshness computes its rates and percentiles from them.
create table aisle._embedding_batches (
    task        text not null,
    finished_at timestamptz not null,
    rows        integer not null,
    waits       real[] not null  -- seconds from a change to its vector, at most 20 a batch, evenly spread; without backfill
);
create index _embedding_batches_recent on aisle._embedding_batches (finished_at);
