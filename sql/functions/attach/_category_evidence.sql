-- What the categories of the attached items look like, for people.
create or replace function aisle._category_evidence() returns text
language plpgsql stable
as $function$
declare
    attached constant aisle._attachments := (select a from aisle._attachments a where a.kind = 'items');
    settings record;
    categories bigint;
    depth integer;
    astray bigint;
    said text := '';
begin
    if attached.declaration ? 'categories' then
        settings := aisle._category_settings(attached.declaration -> 'categories');
        select count(*), max(cardinality(c.ids)) into categories, depth from aisle._categories c;
        said := format(e'\n%s categories in a tree, depth %s.', to_char(categories, 'FM999,999,999'), coalesce(depth, 0));
        execute format('select count(*) from (select %s as label from %s r limit 100000) r
                        where r.label <> '''' and r.label not in (select n.category_id from aisle._category_nodes n)',
                       case when settings.via is null then aisle._text_of(attached.relation, attached.columns ->> 'category', 'r')
                            else format('r.%I::text', settings.via_category) end,
                       coalesce(settings.via, attached.relation))
        into astray;
        if astray > 0 then
            said := said || format(e'\n%s rows of %s name a category that is not among them, and count as without one.',
                                   to_char(astray, 'FM999,999,999'), coalesce(settings.via, attached.relation));
        end if;
    end if;
    return said;
end
$function$;
