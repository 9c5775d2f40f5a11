-- The answer to predict_category and item_category. Where labels are ids of the shop's categories, it names them as the shop does at this
-- moment, and leaves out those that are gone.
create or replace function aisle._answer_categories(model_id integer, query @vector@.vector, k integer, level integer)
returns table (rank integer, category text, confidence double precision, category_id text)
language plpgsql stable parallel safe
as $function$
#variable_conflict use_column
declare
    model constant integer := _answer_categories.model_id;
    separator text;
    asked integer := least(k, 1000000000) + 5;  -- some may be gone
    labels text[];
    confidences double precision[];
    found text[];
    names text[];
begin
    if k is null or k < 1 then
        raise exception 'k must be at least 1, not %.', coalesce(k::text, 'null') using errcode = 'AIS06';
    elsif level < 1 then
        raise exception 'level must be at least 1, not %.', level using errcode = 'AIS06';
    end if;
    select m.parameters ->> 'category_separator' into separator
    from aisle._models m where m.model_id = model and (m.parameters ->> 'category_ids')::boolean;
    if separator is null then
        return query select c.rank, c.category, c.confidence, null::text from aisle._categorise(model, query, k, level) c;
        return;
    elsif not aisle._has_tree() then  -- detached: nothing knows the names
        return query select c.rank, c.category, c.confidence, c.category from aisle._categorise(model, query, k, null) c;
        return;
    end if;
    perform aisle._check_source(a) from aisle._attachments a where a.kind = 'items';
    loop
        if level is null then
            select array_agg(c.category order by c.rank), array_agg(c.confidence order by c.rank) into labels, confidences
            from aisle._categorise(model, query, asked, null) c;
        else
            with recursive logits as materialized (
                select c.category, c.floor, c.bias - (c.embedding operator(@vector@.<#>) query) as logit
                from aisle.category_vectors c
                where c.model_id = model
            ), weights as materialized (  -- as in _categorise, but in no order
                select l.category, l.floor, exp(greatest(l.logit - (select max(h.logit) from logits h), -600)) as weight from logits l
            ), total as materialized (
                select sum(w.weight) as mass, 1 - sum(w.floor) as rest from weights w
            ), nodes as materialized (
                select n.id, n.parent, n.category_id from aisle._category_nodes n
            ), down as (  -- each category, and the one above it that answers for it
                select n.id, n.category_id, n.category_id as answer, 1 as depth
                from nodes n
                where n.parent is null or not exists (select from nodes p where p.id = n.parent)
                union all
                select n.id, n.category_id, case when d.depth < level then n.category_id else d.answer end, d.depth + 1
                from down d
                join nodes n on n.parent = d.id
            ), answers as (
                select d.category_id, d.answer from down d
                union all
                select n.category_id, n.category_id from nodes n where not exists (select from down d where d.id = n.id)
            ), sums as (
                select a.answer, least(sum(t.rest * w.weight / t.mass + w.floor), 1) as confidence
                from weights w
                join answers a on a.category_id = w.category
                cross join total t
                group by a.answer
                order by 2 desc, 1
                limit asked
            )
            select array_agg(s.answer order by s.confidence desc, s.answer), array_agg(s.confidence order by s.confidence desc, s.answer)
            into labels, confidences
            from sums s;
        end if;
        select array_agg(p.category_id), array_agg(array_to_string(p.path, separator)) into found, names from aisle._category_paths(labels) p;
        exit when cardinality(found) >= k or coalesce(cardinality(labels), 0) < asked;
        asked := 1000000005;
    end loop;
    return query
        select (row_number() over (order by l.place))::integer, n.name, l.confidence, n.id
        from unnest(labels, confidences) with ordinality l (id, confidence, place)
        join unnest(found, names) n (id, name) on n.id = l.id
        order by l.place
        limit k;
end
$function$;
