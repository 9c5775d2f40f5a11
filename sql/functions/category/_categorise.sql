-- The categories of one generation for a query vector: confidence = (1 - Σ floor) · softmax(query · category vector + bias) + floor.
-- Calibration estimates the floor from wrong labels, of which no model can be certain. With a level, it adds the confidences of all
-- leaves below each path of that many steps.
create or replace function aisle._categorise(model_id integer, query @vector@.vector, k integer, level integer)
returns table (rank integer, category text, confidence double precision)
language plpgsql stable parallel safe
as $function$
#variable_conflict use_column
declare
    model integer := _categorise.model_id;
    separator text;
begin
    if level is null then
        return query
            with logits as materialized (
                select c.category, c.floor, c.bias - (c.embedding operator(@vector@.<#>) query) as logit
                from aisle.category_vectors c
                where c.model_id = model
            ), weights as materialized (
                -- PostgreSQL's exp() and division raise an error instead of rounding to 0: stay far above e^-745.
                select l.category, l.floor, l.logit,
                       exp(greatest(l.logit - (select max(h.logit) from logits h), -600)) as weight
                from logits l
            ), total as materialized (
                select sum(w.weight) as mass, 1 - sum(w.floor) as rest from weights w
            )
            select (row_number() over (order by best.logit desc, best.category))::integer, best.category,
                   t.rest * best.weight / t.mass + best.floor
            from (select w.* from weights w order by w.logit desc, w.category limit k) best, total t
            order by 1;
    else
        separator := (select m.parameters ->> 'category_separator' from aisle._models m where m.model_id = model);
        return query
            with leaves as (
                select l.category, l.confidence from aisle._categorise(model, query, 1000000000, null) l
            ), nodes as (
                select c.path[:level] as path, least(sum(l.confidence), 1) as confidence  -- a sum rounds
                from leaves l
                join aisle.category_vectors c on c.model_id = model and c.category = l.category
                group by 1
            )
            select (row_number() over (order by n.confidence desc, n.path))::integer,
                   array_to_string(n.path, separator), n.confidence
            from nodes n
            order by n.confidence desc, n.path
            limit k;
    end if;
end
$function$;
