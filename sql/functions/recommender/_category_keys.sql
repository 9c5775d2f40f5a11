-- The keys of item_factors that a category stands for, itself and all below it: by the shop's tree, its id or path; else one key, with which
-- those of all categories below begin. A category that is not known is a mistake.
create or replace function aisle._category_keys(model_id integer, category text) returns text[]
language plpgsql stable parallel safe
as $function$
#variable_conflict use_column
declare
    separator constant text := (select m.parameters ->> 'category_separator' from aisle._models m where m.model_id = _category_keys.model_id);
    asked constant text := coalesce((  -- as the labels are written
        select aisle._flat_label(category, separator, a.category_digits, null) from aisle._attachments a where a.kind = 'items'), category);
    roots text[];
    keys text[];
begin
    if category is null then
        return null;
    elsif aisle._has_tree() then
        roots := array(select n.category_id from aisle._category_nodes n where n.category_id = category);
        if roots = '{}' then
            roots := array(
                select p.category_id
                from aisle._category_paths(array(
                    select n.category_id from aisle._category_nodes n
                    where right(asked, length(aisle._path_label(n.name, separator))) = aisle._path_label(n.name, separator))) p
                where aisle._path_label(array_to_string(p.path, separator), separator) = asked);
        end if;
        if roots = '{}' then
            raise exception 'There is no category %.', quote_literal(category) using errcode = 'AIS06', hint = aisle._near_categories(
                category, array(select array_to_string(c.path, separator) from aisle._categories c));
        end if;
        with recursive nodes as materialized (
            select n.id, n.parent, n.category_id from aisle._category_nodes n
        ), down as (
            select n.id, n.category_id from nodes n where n.category_id = any (roots)
            union
            select n.id, n.category_id from down d join nodes n on n.parent = d.id
        )
        select array_agg(d.category_id || separator) into keys from down d;
        return keys;
    end if;
    keys := array[asked || separator];
    if not exists (select from aisle.item_factors f
                   where f.model_id = _category_keys.model_id and f.category_key >= keys[1] and f.category_key < keys[1] || chr(1114111))
       and not exists (select from aisle.category_vectors c
                       where c.model_id in (select d.model_id from aisle._deployments d where d.rolled_back_at is null)
                         and starts_with(c.category || separator, keys[1])) then
        raise exception 'There is no category %.', quote_literal(category) using errcode = 'AIS06', hint = aisle._near_categories(
            category, array(select distinct left(f.category_key, -length(separator)) from aisle.item_factors f
                            where f.model_id = _category_keys.model_id and f.category_key is not null));
    end if;
    return keys;
end
$function$;
