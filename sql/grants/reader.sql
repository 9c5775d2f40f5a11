-- An application needs the functions that answer, and what they read, because they run with their caller's rights. It needs no model
-- files, no jobs and errors, and nothing that models were trained or measured on. The shop grants the rights on its own tables: select on
-- the columns that are attached.
grant usage on schema aisle to ROLE;

grant execute on function
    aisle.predict_category, aisle.explain_category, aisle.embed_text, aisle.search_items, aisle.complete_basket,
    aisle.item_category(text, integer, integer), aisle.item_category(bigint, integer, integer),
    aisle.similar_items(text, integer, text), aisle.similar_items(bigint, integer, text),
    aisle.recommend(text, integer, text, jsonb, boolean), aisle.recommend(bigint, integer, text, jsonb, boolean),
    aisle.next_basket(text, integer), aisle.next_basket(bigint, integer),
    aisle.explain_recommendation(text, text, jsonb), aisle.explain_recommendation(bigint, bigint, jsonb),
    aisle.explain_basket(text, text), aisle.explain_basket(bigint, bigint)
to ROLE;

-- The functions that these call.
grant execute on function
    aisle._live_model, aisle._words, aisle._ngrams, aisle._embed, aisle._categorise, aisle._answer_categories, aisle._has_tree,
    aisle._category_keys, aisle._path_label, aisle._flat_label, aisle._near_categories, aisle._similar_items,
    aisle._items_of_like_text, aisle._items_bought_alike, aisle._nearest_items, aisle._further,
    aisle._hides_items, aisle._looks_up_items, aisle._candidates_for, aisle._answerable, aisle._check_source, aisle._item_vector, aisle._read_items, aisle._castable_ids, aisle._content_hash,
    aisle._recommend, aisle._now, aisle._event_source, aisle._before, aisle._time_context, aisle._read_history,
    aisle._check_context, aisle._user_vector, aisle._past_items, aisle._history_links, aisle._explain_recommendation, aisle._neighbours_links, aisle._items_linked, aisle._items_beside, aisle._items_after,
    aisle._nearest_factors, aisle._popular_items, aisle._score_repeats,
    aisle._has_index, aisle._origin,
    aisle._next_basket, aisle._bounded, aisle._popular_products, aisle._read_orders, aisle._neighbours_bought, aisle._nearest_products,
    aisle._complete_basket
to ROLE;

grant select (deployment_id, task, model_id, rolled_back_at) on aisle._deployments to ROLE;
grant select (model_id, dimensions, parameters) on aisle._models to ROLE;
grant select on
    aisle._attachments, aisle._tasks,
    aisle.item_vectors, aisle.category_vectors, aisle.ngram_vectors,
    aisle.item_factors, aisle.item_links, aisle.user_vectors, aisle.context_vectors, aisle._recency_weights,
    aisle.basket_items, aisle.customer_vectors
to ROLE;
