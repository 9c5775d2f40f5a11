-- The n-gram vectors of texts, in the order of the texts.
select aisle._embed(%(model_id)s, aisle._ngrams(t.text, null, null))::real[]
from unnest(%(texts)s::text[]) with ordinality t (text, place)
order by t.place
