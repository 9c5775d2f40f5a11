-- The answer of one generation to next_basket, live or not. To measure a model, it takes a moment (`as_of`) and answers from what was
-- known before, with the state that the customer had then. Where orders have only numbers, it leaves out the neighbours that `heldout_of`
-- is measured on.
--
--   candidates  = what the customer bought ∪ what neighbours bought next ∪ what is nearest to the customer's state
--                 ∪ what the products of the last orders lead to most (item_links),
--                 without items that are gone from the attached table or not eligible (when measuring: that policies hide from the
--                 caller); where items may not be eligible, also what is popular, so that there are k
--   taste       = the customer's long-term vector: the sum of the products' vectors, each weighted by how often and how
--                 recently the customer bought it, at length 1
--   score       = a weighted sum of features of customer and product; products bought before and new ones have their own weights, and
--                 ranges, because a weight says nothing of values that were not there when it was fitted
--   terms, facts = what the score is the sum of, and what each is about: see explain_basket
--   probability = 1 / (1 + exp(-score))
--
-- Weights and scales are the model's parameters; trainers/basket/score.py computes the same in Python. Without k, it returns the number
-- of items that maximises the expected F1, for an order of at least the customer's usual size.
create or replace function aisle._next_basket(
    model_id integer, user_id text, k integer, as_of timestamptz default null, as_of_state @vector@.vector default null,
    heldout_of integer default null)
returns table (
    rank integer, item_id text, score double precision, probability double precision, bought_before boolean, terms double precision[],
    facts double precision[])
language plpgsql stable parallel safe rows 10
as $function$
#variable_conflict use_variable
declare
    parameters constant jsonb := (select m.parameters from aisle._models m where m.model_id = model_id);
    again record;  -- weights of the terms of products bought before
    first record;  -- weights of the terms of new products
    again_range record;
    first_range record;
    bounds record;
    slow constant double precision := parameters -> 'decay' -> 0;
    fast constant double precision := parameters -> 'decay' -> 1;
    rarest constant double precision := parameters -> 'rarest';
    checks constant boolean := as_of is null and exists (select from aisle._attachments a where a.kind = 'items')
                               or aisle._hides_items();
    looks_up constant boolean := checks and aisle._looks_up_items();
    nearest constant integer := parameters -> 'nearest';
    history record;
    orders integer;
    popular text[] := '{}';
    size double precision;
    state @vector@.vector;
    near_state text[];
begin
    if k < 1 then
        raise exception 'k must be at least 1, not %.', k using errcode = 'AIS06';
    end if;
    if checks then
        perform aisle._answerable('{}', 1);  -- raises its errors here, not amid the long query below
    end if;
    history := aisle._read_orders(user_id, as_of);
    orders := (select max(a) + 1 from unnest(history.ago) a);
    if orders is null or looks_up then
        popular := aisle._popular_products(model_id, coalesce(k, round((parameters ->> 'size')::float8)::integer), checks);
    end if;
    if orders is null then
        return query
            select (row_number() over (order by p.popularity desc, p.item_id))::integer, p.item_id,
                   p.logit, p.popularity, false, array[null, p.logit], array[null, p.popularity]
            from (select s.item_id, s.popularity, ln(s.popularity / (1 - s.popularity)) as logit
                  from (select b.item_id, least(greatest(b.popularity, rarest / 2), .999999) as popularity
                        from aisle.basket_items b
                        where b.model_id = model_id and b.item_id = any (popular)) s) p;
        return;
    end if;
    select * into again from jsonb_to_record(parameters -> 'weights' -> 'bought_before') w (
        constant float8, neighbours float8, popularity float8, logit float8, size float8, orders float8, links float8,
        recency float8, fast_recency float8, last float8, late float8, late_squared float8);
    select * into first from jsonb_to_record(parameters -> 'weights' -> 'new') w (
        constant float8, neighbours float8, popularity float8, logit float8, size float8, orders float8, links float8);
    select * into again_range from jsonb_to_record(coalesce(parameters -> 'ranges' -> 'bought_before', '{}')) r (
        neighbours float8[], popularity float8[], logit float8[], size float8[], orders float8[], links float8[],
        recency float8[], fast_recency float8[], late float8[]);
    select * into first_range from jsonb_to_record(coalesce(parameters -> 'ranges' -> 'new', '{}')) r (
        neighbours float8[], popularity float8[], logit float8[], size float8[], orders float8[], links float8[]);
    -- Purchases of more than `orders` orders ago count as this old, because power() raises an error where it is nearly 0.
    select * into bounds from jsonb_to_record(parameters -> 'bounds') b (
        orders integer, "time" float8, late float8, share float8, link float8, linked_orders integer);
    size := cardinality(history.items) / orders::float8;
    state := case when as_of is null then
        (select c.embedding from aisle.customer_vectors c where c.model_id = model_id and c.user_id = user_id) else as_of_state end;
    near_state := aisle._nearest_products(model_id, state, case when looks_up then aisle._candidates_for(nearest) else nearest end);
    if looks_up then
        near_state := aisle._answerable(near_state, nearest);
    end if;
    return query
        with own as materialized (
            select h.*, b.taste, b.gap, b.popularity, -(b.embedding operator(@vector@.<#>) state) as logit
            from (select h.item_id, sum(power(slow, least(h.ago, bounds.orders))) as recency,
                         sum(power(fast, least(h.ago, bounds.orders))) as quick,
                         sum(power(slow, h.ago)) filter (where h.ago < bounds.linked_orders) as past, min(h.ago) as ago, count(*) as times,
                         history.now - max(h.day) as since, max(h.day) - min(h.day) as span
                  from unnest(history.items, history.ago, history.days) h (item_id, ago, day)
                  group by h.item_id) h
            left join aisle.basket_items b on b.model_id = model_id and b.item_id = h.item_id
        ), taste as (
            select @vector@.l2_normalize(@vector@.sum(same.taste operator(@vector@.*)
                       array_fill(ln(1 + same.recency), array[@vector@.vector_dims(same.taste)])::@vector@.vector)) as taste
            -- Scaling is slow, and many items have the same recency: their vectors are added up before.
            from (select o.recency, @vector@.sum(o.taste) as taste from own o where o.taste is not null group by o.recency) same
        ), neighbours as materialized (
            select n.item_id, n.share
            from taste t, aisle._neighbours_bought(
                model_id, user_id, t.taste, (parameters ->> 'neighbours')::integer,
                case when parameters ->> 'time' = 'days' and as_of is not null then history.now end,
                case when parameters ->> 'time' = 'numbers' then heldout_of end) n
        ), linked as materialized (
            select n.item_id, sum(n.weight * o.past) as weight
            from own o
            join aisle.item_links l on l.model_id = model_id and l.item_id = o.item_id
            cross join lateral unnest(l.linked, l.weights) n (item_id, weight)
            where o.past is not null
            group by n.item_id
        ), new as (
            (select n.item_id from neighbours n
             where not looks_up or n.item_id = any ((select aisle._answerable(
                 array(select n.item_id from neighbours n order by n.share desc, n.item_id), nearest))::text[])
             order by n.share desc, n.item_id
             limit nearest)
            union
            (select k.item_id from linked k order by k.weight desc, k.item_id limit nearest)
            union select unnest(near_state || popular)
            except select o.item_id from own o
        ), candidates as (
            select o.item_id, true as bought_before, o.recency, o.quick, o.ago, o.times, o.since, o.span, o.gap, o.popularity, o.logit
            from own o
            union all
            select n.item_id, false, null, null, null, null, null, null, null, b.popularity, -(b.embedding operator(@vector@.<#>) state)
            from new n
            left join aisle.basket_items b on b.model_id = model_id and b.item_id = n.item_id
        ), known as (
            select c.item_id, c.bought_before, c.recency, c.quick, c.ago,
                   array[null, c.popularity, n.share, null, null, c.times, c.since] as facts,
                   aisle._bounded(least(greatest(
                       ln(greatest(c.since, bounds.time)
                          / greatest((c.span + coalesce(c.gap, (parameters ->> 'gap')::float8)) / c.times, bounds.time)),
                       -bounds.late), bounds.late), again_range.late) as late,
                   ln(coalesce(n.share, 0) + bounds.share) as near,
                   ln(greatest(k.weight, 0) + bounds.link) as linked,
                   ln(coalesce(c.popularity, 0) + rarest) as popular,
                   coalesce(c.logit, (parameters ->> 'logit')::float8) as logit
            from candidates c
            left join neighbours n on n.item_id = c.item_id
            left join linked k on k.item_id = c.item_id
            -- Without k, all candidates must exist; with k, only those that are returned are looked up, at the end.
            where not checks or k is not null
                  or c.item_id = any ((select aisle._answerable(
                      array(select c.item_id from candidates c order by c.times desc nulls last, c.item_id), null))::text[])
        ), scored as (
            select t.item_id, t.bought_before, t.facts, t.terms,
                   t.terms[1] + t.terms[2] + t.terms[3] + t.terms[4] + t.terms[5] + coalesce(t.terms[6] + t.terms[7], 0) as score
            from (select x.item_id, x.bought_before, x.facts, case when x.bought_before then array[
                             again.constant + again.size * aisle._bounded(ln(size), again_range.size)
                                 + again.orders * aisle._bounded(ln(orders), again_range.orders),
                             again.popularity * aisle._bounded(x.popular, again_range.popularity),
                             again.neighbours * aisle._bounded(x.near, again_range.neighbours),
                             again.logit * aisle._bounded(x.logit, again_range.logit),
                             coalesce(again.links * aisle._bounded(x.linked, again_range.links), 0),
                             again.recency * aisle._bounded(ln(x.recency), again_range.recency)
                                 + again.fast_recency * aisle._bounded(ln(x.quick), again_range.fast_recency)
                                 + again.last * (x.ago = 0)::integer,
                             again.late * x.late + again.late_squared * x.late ^ 2]
                         else array[
                             first.constant + first.size * aisle._bounded(ln(size), first_range.size)
                                 + first.orders * aisle._bounded(ln(orders), first_range.orders),
                             first.popularity * aisle._bounded(x.popular, first_range.popularity),
                             first.neighbours * aisle._bounded(x.near, first_range.neighbours),
                             first.logit * aisle._bounded(x.logit, first_range.logit),
                             coalesce(first.links * aisle._bounded(x.linked, first_range.links), 0)]
                         end as terms
                  from known x
                  offset 0) t  -- each is computed once
        ), ranked as (
            select row_number() over by_score as place, s.item_id, s.score, s.probability, s.bought_before, s.terms, s.facts,
                   sum(s.probability) over by_score as expected, sum(s.probability) over () as total
            -- exp(710) raises an error, and so does exp(-746).
            from (select s.*, 1 / (1 + exp(least(greatest(-s.score, -600), 600))) as probability from scored s) s
            window by_score as (order by s.score desc, s.item_id)
        )
        select (row_number() over (order by r.place))::integer, r.item_id, r.score, r.probability, r.bought_before, r.terms, r.facts
        from ranked r
        where case
            when k is null then r.place <= (
                select f.place from ranked f
                order by f.expected / (f.place + greatest(f.total, size)) desc, f.place
                limit 1)
            else not checks or r.item_id = any ((
                select aisle._answerable(array(select r.item_id from ranked r order by r.place), k))::text[]) end
        order by r.place
        limit k;
end
$function$;
