-- The answer of one generation to complete_basket. A cart's vector is the sum of its n products' `cart` vectors, over √n. A product's
-- score is the inner product of the cart's vector and the product's `completion` vector, whose last component is a bias, plus a term for
-- products that are often bought together with those of the cart (the sum of their cosines). For a known customer, the next order counts,
-- too: log P(item | cart) + log P(item | customer) - log P(item), for the customer's candidates. Leaves out items that are gone from the
-- attached table, unless it measures a model: of a customer, as next_basket is measured (_next_basket).
create or replace function aisle._complete_basket(
    model_id integer, item_ids text[], k integer, user_id text, gone_too boolean default false,
    as_of timestamptz default null, as_of_state @vector@.vector default null, heldout_of integer default null)
returns table (rank integer, item_id text, score double precision)
language plpgsql stable parallel safe rows 10
set hnsw.iterative_scan = 'strict_order'
set hnsw.ef_search = 120
as $function$
#variable_conflict use_variable
declare
    cart @vector@.vector;
    checks constant boolean := not gone_too and exists (select from aisle._attachments a where a.kind = 'items') or aisle._hides_items();
    asked integer := k;
    ids text[];
    scores double precision[];
    near bigint;
    answerable text[];
    known constant jsonb := (select m.parameters from aisle._models m where m.model_id = model_id);
begin
    if k is null or k < 1 then
        raise exception 'k must be at least 1, not %.', coalesce(k::text, 'null') using errcode = 'AIS06';
    end if;
    item_ids := array_remove(item_ids, null);
    select (@vector@.sum(b.cart) operator(@vector@.*) array_fill(1 / sqrt(count(*)), array[max(@vector@.vector_dims(b.cart))])::@vector@.vector)
           operator(@vector@.||) '[1]'::@vector@.vector
    into cart
    from aisle.basket_items b
    where b.model_id = model_id and b.item_id = any (item_ids)
    having count(*) > 0;
    if cart is null then
        select array_agg(n.item_id order by n.rank), array_agg(n.score order by n.rank) into ids, scores
        from aisle._next_basket(model_id, user_id, least(k::bigint + 2 * coalesce(cardinality(item_ids), 0), 2147483647)::integer,
                                as_of, as_of_state, heldout_of) n
        where n.item_id <> all (coalesce(item_ids, '{}'));
        answerable := case when checks then aisle._answerable(coalesce(ids, '{}'), k, coalesce(item_ids, '{}')) else ids[:k] end;
    elsif checks then
        asked := aisle._candidates_for(k);
    end if;
    while cart is not null loop
        execute format(
        'with bought_with as materialized (
             select c.item_id, sum(c.cosine) as cosine
             from aisle.%1$I b, unnest(b.companions, b.cosines) c (item_id, cosine)
             where b.item_id = any ($2) and c.item_id <> all ($2)
             group by c.item_id
         ), near as materialized (
             select b.item_id from aisle.%1$I b
             where b.item_id <> all ($2)
             order by b.completion::@vector@.halfvec(%2$s) operator(@vector@.<#>) $1::@vector@.halfvec(%2$s)
             limit $3
         ), likely as materialized (
             select n.item_id, n.probability
             from aisle._next_basket($4, $5, 100, $9, $10, $11) n
             where $5 is not null and n.item_id <> all ($2)
         ), candidates as (
             (select w.item_id from bought_with w order by w.cosine desc, w.item_id limit $3)
             union select n.item_id from near n
             union select l.item_id from likely l
         ), scored as (
             select c.item_id, -(b.completion operator(@vector@.<#>) $1) + $6 * ln(coalesce(w.cosine, 0) + $8)
                    + coalesce(ln(l.probability / (b.popularity + $7)), 0) as score
             from candidates c
             join aisle.%1$I b on b.item_id = c.item_id
             left join bought_with w on w.item_id = c.item_id
             left join likely l on l.item_id = c.item_id
         )
         select array_agg(s.item_id order by s.score desc, s.item_id), array_agg(s.score order by s.score desc, s.item_id),
                (select count(*) from near)
         from scored s',
        'basket_items_' || model_id, @vector@.vector_dims(cart))
        into ids, scores, near
        using cart, item_ids, asked::bigint + 100, model_id, user_id, (known ->> 'companions')::double precision,
              (known ->> 'rarest')::double precision, (known -> 'bounds' ->> 'cosine')::double precision, as_of, as_of_state, heldout_of;
        answerable := case when checks then aisle._answerable(ids, k, item_ids) else ids[:k] end;
        exit when cardinality(answerable) >= k or near < asked::bigint + 100;
        asked := least(asked::bigint * 8, 2147483000);
    end loop;
    return query
        select (row_number() over (order by s.place))::integer, s.item_id, s.score
        from unnest(ids, scores) with ordinality s (item_id, score, place)
        where s.item_id = any (answerable)
        order by s.place
        limit k;
end
$function$;
