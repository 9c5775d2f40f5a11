-- What the categories of the attached items look like, for people: how many there are and how deep; and what may be declared in a wrong way.
create or replace function aisle._category_evidence() returns text
language plpgsql stable
as $function$
declare
    attached constant aisle._attachments := (select a from aisle._attachments a where a.kind = 'items');
    sign constant text := btrim(attached.category_separator);
    settings record;
    names text[];
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
        return said;
    elsif attached.columns ->> 'category' is null then
        return '';
    end if;
    names := array(select distinct c.category from (select i.category from aisle._items i limit 100000) c where c.category is not null);
    select max(cardinality(string_to_array(n.name, attached.category_separator))) into depth from unnest(names) n (name);
    if names = '{}' then
        return '';
    end if;
    said := format(e'\n%s categories%s.', to_char(cardinality(names), 'FM999,999,999'), case when depth > 1 then
        format(', depth %s, separated by %s', depth, case when attached.category_digits is null then quote_literal(sign) else format('%s digits each', attached.category_digits) end) end);
    if attached.category_list is not null and not attached.declaration ? 'category_list' then
        said := said || format(e'\nSome cells have several categories, separated by %s: the first counts. If a cell is one category, say category_list => ''''.',
                               case attached.category_list when e'\n' then 'line breaks' else quote_literal(attached.category_list) end);
    end if;
    if depth = 1 then
        said := said || coalesce((
            -- Paths begin alike: there are fewer beginnings than paths.
            select format(e'\nThey look like paths separated by %s. If so, say category_separator => %1$s.', quote_literal(s.other))
            from unnest(array['>', '::', '|', '/', '»', '\']) with ordinality s (other, place)
            where s.other <> sign
              and (select count(*) filter (where strpos(n.name, s.other) > 0) * 2 > count(*)
                          and count(distinct btrim(split_part(n.name, s.other, 1))) * 2 < count(*)
                   from unnest(names) n (name))
            order by s.place limit 1), (
            select e'\nThey look like codes of 3 digits a level. If so, say category_separator => ''3 digits''.'
            where (select bool_and(n.name ~ '^(\d{3})+$') and count(distinct length(n.name)) > 1 from unnest(names) n (name))), '');
    end if;
    return said;
end
$function$;
