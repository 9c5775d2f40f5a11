-- The answer of one generation. A cart's vector is the sum of what its n products add to it, over √n; the
-- last component of a product's vector is its bias. For a customer, what the next order is
-- likely to be counts, too: log P(item | cart) + log P(item | customer) - log P(item), where the customer's candidates are concerned.
create or replace function aisle._complete_basket(model_id integer, item_ids text[], k integer, user_id text)
returns table (rank integer, item_id text, score double precision)
language plpgsql stable parallel safe rows 10
set hnsw.iterative_scan = 'strict_order'
set hnsw.ef_search = 100
as $function$
#variable_conflict use_variable
declare
    cart vector;
    known constant jsonb := (select m.parameters from aisle._models m where m.model_id = model_id);
    wide constant integer := case when user_id is null then k else k + 100 end;
begin
    if k is null or k < 1 then
        raise exception 'k must be at least 1, not %.', coalesce(k::text, 'null') using errcode = 'AIS06';
    end if;
    select (sum(b.cart) * array_fill(1 / sqrt(count(*)), array[max(vector_dims(b.cart))])::vector) || '[1]' into cart
    from aisle.basket_items b
    where b.model_id = model_id and b.item_id = any (item_ids)
    having count(*) > 0;
    if cart is null then
        return query
            select (row_number() over (order by n.rank))::integer, n.item_id, n.score
            from aisle._next_basket(model_id, user_id, k + coalesce(cardinality(item_ids), 0)) n
            where n.item_id <> all (coalesce(item_ids, '{}'))
            order by n.rank
            limit k;
        return;
    end if;
    return query execute format(
        'with near as materialized (
             select b.item_id, -(b.completion <#> $1) as score
             from aisle.%1$I b
             where b.item_id <> all ($2)
             order by b.completion::halfvec(%2$s) <#> $1::halfvec(%2$s)
             limit $3
         ), likely as materialized (
             select n.item_id, n.probability
             from aisle._next_basket($4, $5, 100) n
             where $5 is not null and n.item_id <> all ($2)
         ), scored as (
             select c.item_id, -(b.completion <#> $1) + coalesce(ln(l.probability / (b.popularity + $6)), 0) as score
             from (select n.item_id from near n union select l.item_id from likely l) c
             join aisle.%1$I b on b.item_id = c.item_id
             left join likely l on l.item_id = c.item_id
         )
         select (row_number() over (order by s.score desc, s.item_id))::integer, s.item_id, s.score
         from scored s
         order by 1
         limit $7',
        'basket_items_' || model_id, vector_dims(cart))
    using cart, item_ids, wide, model_id, user_id, (known ->> 'rarest')::double precision, k;
end
$function$;
