-- What the attached items look like, for people: how many have a category and are eligible, and columns of their table that look like a
-- state that was not declared.
create or replace function aisle._item_evidence() returns text
language plpgsql stable
as $function$
declare
    attached constant aisle._attachments := (select a from aisle._attachments a where a.kind = 'items');
    items bigint;
    named bigint;
    labelled bigint;
    eligible bigint;
    states text;
    said text := '';
begin
    select count(*), count(nullif(btrim(i.name), '')), count(i.category), count(*) filter (where i.is_eligible)
    into items, named, labelled, eligible
    from (select i.name, i.category, i.is_eligible from aisle._items i limit 100000) i;
    if items = 0 then
        return '';
    end if;
    said := aisle._category_evidence();
    if named < items then
        said := said || format(e'\n%s of %s items have no name.', to_char(items - named, 'FM999,999,999'), to_char(items, 'FM999,999,999'));
    end if;
    if labelled between 1 and items - 1 then
        said := said || format(e'\n%s of %s items have a category.', to_char(labelled, 'FM999,999,999'), to_char(items, 'FM999,999,999'));
    end if;
    if attached.declaration ? 'eligible' then
        said := said || format(e'\n%s of %s items are eligible.', to_char(eligible, 'FM999,999,999'), to_char(items, 'FM999,999,999'));
    else
        select string_agg(quote_ident(c.attname), ', ' order by c.attnum) into states
        from pg_attribute c
        where c.attrelid = attached.relation and c.attnum > 0 and not c.attisdropped
          and c.attname ~* '(^|_|is)(active|enabled|published|visible|status|state|deleted|deleted_?at|archived|discontinued|sale_ok|available|in_?stock|out_?of_?stock|sold_?out)(_|$|at|on)';
        if states is not null then
            said := said || format(
                e'\n%s may tell which items can be sold. If so, declare it (eligible), or answers name items that nobody can buy.', states);
        end if;
    end if;
    return said;
end
$function$;
