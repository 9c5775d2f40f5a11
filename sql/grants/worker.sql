-- `aisle worker`, `aisle embed` and `aisle backfill` need the queue, the models with their files, and the vectors of items and customers,
-- and nothing that trains, deploys or attaches. The shop grants the rights on its own tables: select on the attached columns of items and
-- orders, and all rows where there are policies.
grant usage on schema aisle to ROLE;

grant execute on function
    aisle._now, aisle._content_hash, aisle._words, aisle._ngrams, aisle._embed, aisle._factor_hash, aisle._castable_ids,
    aisle._read_items, aisle._hides_items, aisle._looks_up_items, aisle._candidates_for, aisle._answerable, aisle._check_source, aisle._nearest_items, aisle._further, aisle._text_neighbours, aisle._read_customers,
    aisle._has_tree, aisle._path_of, aisle._path_label, aisle._flat_label,
    aisle._read_orders, aisle._before, aisle._tasks_of, aisle._collect_changes, aisle._take_changes, aisle._resolve_watches,
    aisle._column_type, aisle._origin, aisle._guard, aisle._refuse_foreign_code, aisle._foreign_code, aisle._code_named, aisle._has_index,
    aisle._forget_items, aisle._forget_rows, aisle._forget_gone, aisle._enqueue_stale, aisle._enqueue_stale_rows, aisle._stale_rows, aisle._unnoticed_rows, aisle._compare,
    aisle._read_rows, aisle._queue_unnoticed, aisle._forget_unnoticed, aisle.changed
to ROLE;

-- The queue.
grant select, insert, update, delete on
    aisle._changes, aisle._embedding_jobs, aisle._embedding_batches, aisle._comparisons
to ROLE;
grant usage on sequence aisle._lease_tokens to ROLE;

-- The vectors that the worker keeps current.
grant select, insert, update, delete on
    aisle.item_vectors, aisle.item_factors, aisle._learned_factors, aisle.customer_vectors, aisle._item_predictions,
    aisle._applied_categories
to ROLE;

-- What it makes them from.
grant select on
    aisle.alembic_version, aisle._attachments, aisle._watches, aisle._tasks, aisle._row_vectors, aisle._models, aisle._model_files, aisle._model_file_chunks,
    aisle._deployments, aisle.category_vectors, aisle.ngram_vectors, aisle.basket_items
to ROLE;

-- What `aisle status` shows.
grant select on aisle._live_models, aisle.freshness, aisle.failures, aisle.warnings, aisle.status to ROLE;
