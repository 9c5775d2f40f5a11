-- Writes the expression for the category of an item `r`: a text of the shop's, or the id of one of its categories. Null stands for none:
-- where the shop has none, where the category counts as none (unlabelled), and where the id is not among the categories.
create or replace function aisle._label_of(target regclass, columns jsonb, categories jsonb, unlabelled text[]) returns text
language plpgsql stable
as $function$
#variable_conflict use_variable
declare
    -- Hashed once a query, whatever the type of the column that refers to it.
    counting constant text := format(
        'select n.category_id from aisle._category_nodes n where n.category_id <> all (%1$L::text[]) and n.name <> all (%1$L::text[])', unlabelled);
    settings record;
    label text;
begin
    label := aisle._text_of(target, columns ->> 'category', 'r');
    if categories is null then
        return aisle._counting_label(label);
    end if;
    settings := aisle._category_settings(categories);
    if settings.via is null then
        return format('(select v.c from (values (%s)) v (c) where v.c in (%s))', label, counting);
    end if;
    return format(
        '(select j.%1$I::text from %2$s j where j.%3$I = r.%4$I and j.%1$I::text in (%5$s) order by %6$s, j.%1$I limit 1)',
        settings.via_category, settings.via, settings.via_item, columns ->> 'id', counting,
        case when coalesce(categories ->> 'prefer', 'deepest') = 'deepest' then format(
                 'case when count(*) over () > 1 then (select cardinality(p.ids) from aisle._category_paths(array[j.%I::text]) p) end desc',
                 settings.via_category)
             else format('j.%I %s nulls last', categories ->> 'prefer', case
                 when aisle._column_type(settings.via, categories ->> 'prefer') = 'boolean' then 'desc' else 'asc' end) end);
end
$function$;
