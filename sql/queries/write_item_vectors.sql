-- Stores the vectors of items whose content is still that which they were computed from. Stored vectors are locked by now, so nothing
-- newer is overwritten; a vector that appeared meanwhile is newer and stays. Returns the ids that are done; a transaction of the shop's
-- holds the others, and the worker tries them again.
with fresh as (
    select f.*
    from unnest(%(item_ids)s::text[], %(embeddings)b::aisle._vector[], %(hashes)s::bytea[], %(categories)s::text[],
                %(confidences)s::real[], %(ngram_categories)s::text[], %(ngram_confidences)s::real[])
         as f (item_id, embedding, content_hash, category, confidence, ngram_category, ngram_confidence)
    join aisle._read_items(%(item_ids)s) i on i.item_id = f.item_id and i.content_hash = f.content_hash
    where (select aisle._guard())
), replaced as (
    update aisle.item_vectors v
    set embedding = f.embedding, content_hash = f.content_hash, is_draft = false, embedded_at = aisle._now()
    from fresh f
    where v.model_id = %(model_id)s and v.item_id = f.item_id and f.item_id = any (%(locked)s)
    returning v.item_id
), added as (
    insert into aisle.item_vectors (model_id, item_id, embedding, content_hash, is_draft, embedded_at)
    select %(model_id)s, item_id, embedding, content_hash, false, aisle._now() from fresh f
    where not exists (select from aisle.item_vectors v where v.model_id = %(model_id)s and v.item_id = f.item_id)
    order by item_id
    on conflict (item_id, model_id) do nothing
    returning item_id
), written as (
    select item_id from replaced union all select item_id from added
), predicted as (
    insert into aisle._item_predictions
        (model_id, item_id, category, confidence, ngram_category, ngram_confidence, content_hash)
    select %(model_id)s, item_id, category, confidence, ngram_category, ngram_confidence, content_hash
    from fresh join written using (item_id)
    order by item_id
    on conflict (item_id, model_id) do update
        set category = excluded.category, confidence = excluded.confidence, ngram_category = excluded.ngram_category,
            ngram_confidence = excluded.ngram_confidence, content_hash = excluded.content_hash
)
select item_id from written
