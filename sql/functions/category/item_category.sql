create or replace function aisle.item_category(item_id text, k integer default 3, level integer default null)
returns table (rank integer, category text, confidence double precision, category_id text)
language plpgsql stable parallel safe rows 3
as $function$
#variable_conflict use_column
declare
    model integer := aisle._live_model('category');
    query @vector@.vector := aisle._item_vector(model, item_category.item_id);
begin
    if query is not null then
        return query
            select c.rank, c.category, c.confidence, c.category_id
            from aisle._answer_categories(model, query, item_category.k, item_category.level) c;
    end if;
end
$function$;

comment on function aisle.item_category(text, integer, integer) is
    'The k most likely categories of an attached item, from its stored vector; an unknown item has none.';

create or replace function aisle.item_category(item_id bigint, k integer default 3, level integer default null)
returns table (rank integer, category text, confidence double precision, category_id text)
language sql stable parallel safe rows 3
begin atomic
    select c.rank, c.category, c.confidence, c.category_id from aisle.item_category(item_id::text, k, level) c;
end;

comment on function aisle.item_category(bigint, integer, integer) is
    'The k most likely categories of an attached item, from its stored vector; an unknown item has none.';
