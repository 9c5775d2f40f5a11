-- The vector tables in which a model of a task has a partition.
create or replace function aisle._vector_tables(task text) returns text[]
language sql immutable parallel safe
begin atomic
    select case task
        when 'category' then array['item_vectors', 'category_vectors', 'ngram_vectors']
        when 'preference' then array['category_vectors', 'ngram_vectors']
        when 'recommender' then array['item_factors', 'user_vectors', 'context_vectors']
        when 'basket' then array['basket_items', 'customer_vectors']
        else '{}' end;
end;
