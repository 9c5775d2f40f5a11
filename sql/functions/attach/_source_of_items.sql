-- Where items are read: the table itself, or a view that Aisle makes of a query, or of a table some of whose columns are declared as
-- expressions. The view has the columns that the roles or `eligible` need, by their own names, and a column for each expression. Returns
-- the relation, and what each role is called there.
create or replace function aisle._source_of_items(
    relation text, query text, inout columns jsonb, eligible text, inout group_column text, out target regclass)
language plpgsql volatile
as $function$
#variable_conflict use_variable
declare
    roles jsonb := jsonb_strip_nulls(columns - 'text' || jsonb_build_object('group', group_column)) || (
        select coalesce(jsonb_object_agg('text ' || t.place, t.name), '{}')
        from jsonb_array_elements_text(columns -> 'text') with ordinality t (name, place));
    names jsonb := '{}';  -- of the view's columns
begin
    if query is null then
        target := aisle._relation_to_attach(relation, '{}');
        perform aisle._relation_to_attach(relation, aisle._plain_columns(target, roles));
        if not exists (select from jsonb_each_text(roles) r where aisle._is_expression(target, r.value)) then
            return;
        end if;
    else
        query := aisle._qualified_query(query, 'items');
        execute format('create view aisle._query as %s', query);
        target := 'aisle._query'::regclass;
    end if;
    -- What `eligible` reads.
    execute format('create view aisle._probe as select %s as found from %s r',
                   coalesce(aisle._qualified(target, eligible, 'eligible'), 'true'), target);
    select coalesce(jsonb_object_agg(a.attname, a.attname), '{}') into names
    from pg_rewrite w
    join pg_depend d on d.classid = 'pg_rewrite'::regclass and d.objid = w.oid and d.refclassid = 'pg_class'::regclass and d.refobjid = target
    join pg_attribute a on a.attrelid = target and a.attnum = d.refobjsubid and a.attnum > 0
    where w.ev_class = 'aisle._probe'::regclass;
    drop view aisle._probe;
    names := names || (
        select jsonb_object_agg(case when aisle._is_expression(target, r.value) then r.key || ' expression' else r.value end, r.value)
        from jsonb_each_text(roles) r);
    roles := (select jsonb_object_agg(r.key, case when aisle._is_expression(target, r.value) then r.key || ' expression' else r.value end)
              from jsonb_each_text(roles) r);
    drop view if exists aisle._query;
    target := aisle._create_source('items', target, query, names, columns ->> 'id');
    group_column := roles ->> 'group';
    columns := (roles - 'group') || jsonb_build_object('text', (
        select coalesce(jsonb_agg(r.value order by length(r.key), r.key), '[]') from jsonb_each(roles) r where r.key ~ '^text '));
    columns := (select jsonb_object_agg(c.key, c.value) from jsonb_each(columns) c where c.key !~ '^text ');
end
$function$;
