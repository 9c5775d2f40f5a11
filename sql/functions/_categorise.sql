-- Softmax over the categories of one generation: logit = query · category vector + bias.
-- With a level, the confidences of all leaves below a path of that many steps are added.
create or replace function aisle._categorise(model_id integer, query vector, k integer, level integer)
returns table (rank integer, category text, confidence double precision)
language plpgsql stable parallel safe
as $function$
#variable_conflict use_column
declare
    model integer := _categorise.model_id;
    separator text;
begin
    if k is null or k < 1 then
        raise exception 'k must be at least 1, not %.', coalesce(k::text, 'null') using errcode = 'AIS06';
    elsif level < 1 then
        raise exception 'level must be at least 1, not %.', level using errcode = 'AIS06';
    elsif level is null then
        return query
            with logits as materialized (
                select c.category, c.bias - (c.embedding <#> query) as logit
                from aisle.category_vectors c
                where c.model_id = model
            ), best as materialized (
                select max(l.logit) as logit from logits l
            ), total as materialized (
                select sum(exp(l.logit - b.logit)) as mass from logits l, best b
            )
            select (row_number() over (order by l.logit desc, l.category))::integer, l.category,
                   exp(l.logit - b.logit) / t.mass
            from logits l, best b, total t
            order by l.logit desc, l.category
            limit k;
    else
        separator := (select m.parameters ->> 'category_separator' from aisle._models m where m.model_id = model);
        return query
            with leaves as (
                select l.category, l.confidence from aisle._categorise(model, query, 1000000000, null) l
            ), nodes as (
                select c.path[:level] as path, sum(l.confidence) as confidence
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
