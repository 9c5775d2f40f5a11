-- Creates the view aisle._<kind>_source of a query, or of a table. `columns` maps the names of the view's columns to columns or
-- expressions; `condition` becomes a column is_eligible. The view reads with its caller's rights, so row security holds.
create or replace function aisle._create_source(kind text, target regclass, query text, columns jsonb, condition text default null)
returns regclass
language plpgsql volatile
as $function$
declare
    name constant text := format('_%s_source', kind);
    written constant text := coalesce('(' || rtrim(query, e'; \n\t') || ')', target::text);
    missing text;
begin
    if query is not null then
        perform aisle._execute_in_public(format('create view aisle._probe as select * from %s s', written));
        target := 'aisle._probe'::regclass;
        select string_agg(quote_ident(c.value), ', ') into missing
        from jsonb_each_text(columns) c
        where not aisle._is_expression(target, c.value)
          and not exists (select from pg_attribute a where a.attrelid = target and a.attname = c.value and a.attnum > 0);
        if missing is not null then
            raise exception 'The query of the % has no column %.', kind, missing
                using errcode = 'AIS05', hint = (select 'Its columns: ' || string_agg(quote_ident(a.attname), ', ' order by a.attnum)
                                                 from pg_attribute a where a.attrelid = target and a.attnum > 0);
        end if;
    end if;
    perform aisle._execute_in_public(format(
        'create view aisle.%I with (security_invoker = true) as select %s %s from %s s',
        name, case when condition is not null then format('(%s) is true as is_eligible, ', condition) end,
        (select string_agg(format('%s as %I', case when aisle._is_expression(target, c.value) then format('(%s)', c.value)
                                                   else format('s.%I', c.value) end, c.key), ', '
                           order by c.key in ('id', 'user'))  -- last, where aisle._origin looks
         from jsonb_each_text(columns) c),
        written));
    if query is not null then
        drop view aisle._probe;
    end if;
    perform aisle._copy_grants('aisle._attachments', format('aisle.%I', name));
    return format('aisle.%I', name)::regclass;
exception
    when syntax_error_or_access_rule_violation then  -- the class of all errors in the text of a statement
        raise exception 'What was declared for % cannot be read: %.', kind, sqlerrm
            using errcode = 'AIS05', hint = 'The columns of the table or query are what the other settings name.';
end
$function$;
