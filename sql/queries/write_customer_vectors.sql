-- Stores the vectors of customers whose orders are still those that they were computed from. Stored vectors are locked by now. Returns the
-- ids that are done; the worker tries the others again.
with fresh as (
    select f.*
    from unnest(%(user_ids)s::text[], %(embeddings)b::aisle._vector[], %(tastes)b::aisle._vector[], %(next_items)s::text[],
                %(known_at)s::float8[], %(hashes)s::bytea[])
         as f (user_id, embedding, taste, next_items, known_at, content_hash)
    join aisle._read_customers(%(user_ids)s) c on c.user_id = f.user_id and c.content_hash = f.content_hash
    where (select aisle._guard())
), replaced as (
    update aisle.customer_vectors v
    set embedding = f.embedding, taste = f.taste, next_items = f.next_items::text[], known_at = f.known_at,
        content_hash = f.content_hash, embedded_at = aisle._now()
    from fresh f
    where v.model_id = %(model_id)s and v.user_id = f.user_id and f.user_id = any (%(locked)s)
    returning v.user_id
), added as (
    insert into aisle.customer_vectors (model_id, user_id, embedding, taste, next_items, known_at, content_hash, embedded_at)
    select %(model_id)s, f.user_id, f.embedding, f.taste, f.next_items::text[], f.known_at, f.content_hash, aisle._now()
    from fresh f
    where not exists (select from aisle.customer_vectors v where v.model_id = %(model_id)s and v.user_id = f.user_id)
    order by f.user_id
    on conflict (user_id, model_id) do nothing
    returning user_id
)
select user_id from replaced union all select user_id from added
