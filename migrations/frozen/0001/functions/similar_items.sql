create or replace function aisle.similar_items(item_id text, k integer default 10)
returns table (rank integer, item_id text, score double precision)
language sql stable parallel safe rows 10
as $function$
    select n.rank, n.item_id, n.score
    from aisle._live_model('category') model,
         aisle._nearest_items(model, aisle._item_vector(model, similar_items.item_id), k, similar_items.item_id) n
$function$;

comment on function aisle.similar_items(text, integer) is
    'The k items most like an attached item in the category model''s space; score is the cosine. An unknown item has none.';

create or replace function aisle.similar_items(item_id bigint, k integer default 10)
returns table (rank integer, item_id text, score double precision)
language sql stable parallel safe rows 10
as $function$
    select s.rank, s.item_id, s.score from aisle.similar_items(similar_items.item_id::text, k) s
$function$;

comment on function aisle.similar_items(bigint, integer) is
    'The k items most like an attached item in the category model''s space; score is the cosine. An unknown item has none.';
