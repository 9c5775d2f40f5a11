-- Writes the query for events, or for lines of orders, where they are more than the columns of a table: a query of the shop's, a condition
-- which of them count, expressions, or lines of variants. `roles` maps the names of the query's columns to the shop's columns or
-- expressions; the roles of `lines` are those of the table of lines. item_via: 'TABLE(id → item)' leads from what a line names to the item.
create or replace function aisle._compose_events(
    target regclass, query text, roles jsonb, counts text, item_via text, lines regclass default null, line_roles jsonb default '{}')
returns text
language plpgsql volatile
as $function$
declare
    via constant text[] := aisle._item_way(item_via);
    via_table regclass;
    selected constant text := '(select %s from %s r where %s)';
    named text := '';
    composed text;
    written text := target;
begin
    if via is not null then
        via_table := aisle._relation_to_attach(via[1], array[via[2], via[3]], triggers => false);
        perform aisle._check_unique(via_table, via[2], 'A row must lead to one item. Name a view with an id of its own for each row in item_via.');
    end if;
    if query is not null then
        query := aisle._qualified_query(query, 'events');
        execute format('create view aisle._query as %s', query);
        target := 'aisle._query'::regclass;
        written := format('(%s)', query);
    end if;
    select string_agg(format('%s.%I', case when line_roles ? r.role then 'l' else 'e' end, r.role), ', ') into named
    from (select jsonb_object_keys(roles || line_roles)) r (role)
    where via is null or r.role <> 'item';
    composed := format('select %s%s from ', named, case when via is not null then format(', v.%I as item', via[3]) end)
        || format(selected, aisle._selected(target, roles), written, coalesce(aisle._qualified(target, counts, 'counts'), 'true')) || ' e';
    if lines is not null then
        composed := composed || ' join ' || format(selected, aisle._selected(lines, line_roles), lines, 'true') || ' l on l."order" = e."order"';
    end if;
    if via is not null then
        composed := composed || format(' left join %1$s v on v.%2$I = %3$s.item where %3$s.item is not null', via_table, via[2],
                                       case when line_roles ? 'item' then 'l' else 'e' end);
    end if;
    drop view if exists aisle._query;
    return composed;
end
$function$;
