-- Reads items for one generation of the category model: whether their vectors are up to date; if not, the n-gram vectors.
select r.item_id, r.name, r.manufacturer, r.details, r.content_hash, r.is_current,
       case when not r.is_current
            then aisle._embed(%(model_id)s, aisle._ngrams(r.name, r.manufacturer, r.details)) end as ngram_vector
from (
    select i.*, not %(anew)s and v.item_id is not null and p.item_id is not null as is_current
    from aisle._read_items(%(ids)s) i
    left join aisle.item_vectors v
        on v.item_id = i.item_id and v.model_id = %(model_id)s and v.content_hash = i.content_hash and not v.is_draft
    left join aisle._item_predictions p
        on p.item_id = i.item_id and p.model_id = %(model_id)s and p.content_hash = i.content_hash
    where (select aisle._guard())
) r
