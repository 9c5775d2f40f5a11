-- Stores the vectors of items whose content is still that which they were computed from. Vectors that were learned from events stay, or
-- come back with their item: a changed text does not undo what was learned. Returns the ids that are done; the worker tries the others
-- again.
with fresh as (
    select f.*
    from unnest(%(item_ids)s::text[], %(embeddings)b::aisle._vector[], %(in_embeddings)b::aisle._vector[], %(hashes)s::bytea[],
                %(category_keys)s::text[])
         as f (item_id, embedding, in_embedding, content_hash, category_key)
    join aisle._read_items(%(item_ids)s) i
        on i.item_id = f.item_id and aisle._factor_hash(i.content_hash, i.category) = f.content_hash
    where (select aisle._guard())
), replaced as (
    update aisle.item_factors v
    set embedding = case when v.origin = 'events' then v.embedding else f.embedding end,
        in_embedding = case when v.origin = 'events' then v.in_embedding else f.in_embedding end,
        origin = case when v.origin = 'events' then 'events' else 'content' end,
        category_key = f.category_key, content_hash = f.content_hash, embedded_at = aisle._now()
    from fresh f
    where v.model_id = %(model_id)s and v.item_id = f.item_id and f.item_id = any (%(locked)s)
    returning v.item_id
), added as (
    insert into aisle.item_factors
        (model_id, item_id, category_key, embedding, in_embedding, content_hash, origin, embedded_at)
    select %(model_id)s, f.item_id, f.category_key, coalesce(l.embedding, f.embedding), coalesce(l.in_embedding, f.in_embedding),
           f.content_hash, case when l.item_id is null then 'content' else 'events' end, aisle._now()
    from fresh f
    left join aisle._learned_factors l on l.model_id = %(model_id)s and l.item_id = f.item_id
    where not exists (select from aisle.item_factors v where v.model_id = %(model_id)s and v.item_id = f.item_id)
    order by item_id
    on conflict (item_id, model_id) do nothing
    returning item_id
)
select item_id from replaced union all select item_id from added
