create or replace function aisle.similar_items(item_id text, k integer default 10, space text default 'category')
returns table (rank integer, item_id text, score double precision)
language sql stable parallel safe rows 10
begin atomic
    select s.rank, s.item_id, s.score from aisle._similar_items(similar_items.item_id, k, space) s;
end;

comment on function aisle.similar_items(text, integer, text) is
    'The k items most like an attached item. The space ''category'' compares their texts, by the category model; ''basket'' what they are '
    'bought with, by the basket model: score is the cosine. ''behaviour'' has what the same users have, ''after'' what follows, by the '
    'recommender: score is a weight. An unknown item has none.';

create or replace function aisle.similar_items(item_id bigint, k integer default 10, space text default 'category')
returns table (rank integer, item_id text, score double precision)
language sql stable parallel safe rows 10
begin atomic
    select s.rank, s.item_id, s.score from aisle._similar_items(similar_items.item_id::text, k, space) s;
end;

comment on function aisle.similar_items(bigint, integer, text) is
    'The k items most like an attached item. The space ''category'' compares their texts, by the category model; ''basket'' what they are '
    'bought with, by the basket model: score is the cosine. ''behaviour'' has what the same users have, ''after'' what follows, by the '
    'recommender: score is a weight. An unknown item has none.';
