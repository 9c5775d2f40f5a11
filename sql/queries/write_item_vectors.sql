-- Conditional write-back: a vector is stored only if its row still has the content that it was computed from.
with fresh as (
    select f.item_id, f.embedding::vector as embedding, f.content_hash, f.category, f.confidence, f.student_category,
           f.student_confidence
    from unnest(%(item_ids)s::text[], %(embeddings)s::text[], %(hashes)s::bytea[], %(categories)s::text[],
                %(confidences)s::real[], %(student_categories)s::text[], %(student_confidences)s::real[])
         as f (item_id, embedding, content_hash, category, confidence, student_category, student_confidence)
    join aisle._read_items(%(item_ids)s) i on i.item_id = f.item_id and i.content_hash = f.content_hash
), vectors as (
    insert into aisle.item_vectors (model_id, item_id, embedding, content_hash, is_draft, embedded_at)
    select %(model_id)s, item_id, embedding, content_hash, false, aisle._now() from fresh order by item_id
    on conflict (item_id, model_id) do update
        set embedding = excluded.embedding, content_hash = excluded.content_hash, is_draft = false,
            embedded_at = excluded.embedded_at
)
insert into aisle._item_predictions (model_id, item_id, category, confidence, student_category, student_confidence)
select %(model_id)s, item_id, category, confidence, student_category, student_confidence from fresh order by item_id
on conflict (item_id, model_id) do update
    set category = excluded.category, confidence = excluded.confidence, student_category = excluded.student_category,
        student_confidence = excluded.student_confidence
