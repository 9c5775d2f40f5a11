-- The tasks that Aisle comes with. Runs with each revision that changes it, so that it brings an older database up to date.
create or replace trigger _tasks_changed after insert or update or delete on aisle._tasks
for each statement execute function aisle.tg_tasks__changed();

insert into aisle._tasks (task, place, learns_from, vector_tables, follows, row_vectors, reads_category, keeps_learned,
                          is_always_queued, is_always_listed, spaces, searched)
values
    ('category', 1, '{items}', '{item_vectors,category_vectors,ngram_vectors}', 'items', 'item_vectors', false, false,
     true, true, '{"category": "_items_of_like_text"}',
     '[{"table": "item_vectors", "column": "embedding", "operator": "<=>"}]'),
    ('recommender', 2, '{interactions,orders}', '{item_factors,user_vectors,context_vectors,item_links}', 'items', 'item_factors', true, true,
     false, false, '{"behaviour": "_items_beside", "after": "_items_after"}',
     '[{"table": "item_factors", "column": "embedding", "operator": "<#>"}]'),
    -- A few of a customer's 200 neighbours may be others that are nearly as near: half the connections find 98 % of them in three
    -- quarters of the time.
    ('basket', 3, '{orders}', '{basket_items,customer_vectors,item_links}', 'orders', 'customer_vectors', false, false,
     true, false, '{"basket": "_items_bought_alike"}',
     '[{"table": "basket_items", "column": "embedding", "operator": "<#>"},
       {"table": "basket_items", "column": "completion", "operator": "<#>"},
       {"table": "basket_items", "column": "co_purchase", "operator": "<=>"},
       {"table": "customer_vectors", "column": "taste", "operator": "<#>", "connections": 8}]'),
    ('preference', 4, '{interactions}', '{category_vectors,ngram_vectors}', null, null, false, false,
     false, false, '{}', '[]')
on conflict (task) do update set
    place = excluded.place, learns_from = excluded.learns_from, vector_tables = excluded.vector_tables, follows = excluded.follows,
    row_vectors = excluded.row_vectors, reads_category = excluded.reads_category, keeps_learned = excluded.keeps_learned,
    is_always_queued = excluded.is_always_queued, is_always_listed = excluded.is_always_listed,
    spaces = excluded.spaces, searched = excluded.searched;
