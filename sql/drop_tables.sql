-- Aisle's tables, for the way back to a database without Aisle. By now the functions and views are gone.
drop view aisle._row_vectors;
drop table aisle._write_thresholds, aisle._write_back, aisle._applied_categories, aisle._review_labels, aisle._recency_weights, aisle._experiments, aisle._heldout_users, aisle.basket_items, aisle.customer_vectors,
    aisle.item_links, aisle.context_vectors, aisle.user_vectors, aisle.item_factors, aisle._learned_factors, aisle._embedding_batches, aisle._embedding_jobs,
    aisle._changes, aisle._item_predictions, aisle._heldout_predictions, aisle.ngram_vectors, aisle.category_vectors, aisle.item_vectors,
    aisle._deployments, aisle._model_file_chunks, aisle._model_files, aisle._training_lock, aisle._comparisons, aisle._models, aisle._tasks,
    aisle._watches, aisle._attachments;
drop domain if exists aisle._vector;
drop sequence aisle._lease_tokens;
