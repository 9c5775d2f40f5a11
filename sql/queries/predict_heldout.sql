-- Stores the answers of one generation, live or not, for rows that it was not trained on.
insert into aisle._heldout_predictions
    (model_id, item_id, category, predicted, confidence, given_confidence, ngram_predicted)
select v.model_id, i.item_id, i.category, answer.predicted, answer.confidence, answer.given_confidence, ngram.category
from aisle._read_items(%(item_ids)s) i
join aisle.item_vectors v on v.item_id = i.item_id and v.model_id = %(model_id)s
cross join lateral (
    select max(c.category) filter (where c.rank = 1) as predicted,
           max(c.confidence) as confidence,
           -- A double below the smallest real would raise an error.
           greatest(max(c.confidence) filter (where c.category = i.category), 1e-30) as given_confidence
    from aisle._categorise(v.model_id, v.embedding, 1000000000, null) c
) answer
cross join lateral aisle._categorise(
    v.model_id, aisle._embed(v.model_id, aisle._ngrams(i.name, i.manufacturer, i.details)), 1, null) ngram
where i.category is not null and not exists (  -- what Aisle wrote, and nobody has confirmed, is no label
    select from aisle._applied_categories own where own.item_id = i.item_id and own.category = i.category and own.confirmed_at is null)
  and (select aisle._guard())
