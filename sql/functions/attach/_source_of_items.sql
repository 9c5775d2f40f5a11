-- Where items are read: the table itself, or a view that Aisle makes of a query, or of a table some of whose columns are declared as
-- expressions. Returns the relation, and what each role is called there.
create or replace function aisle._source_of_items(
    relation text, query text, inout columns jsonb, inout eligible text, inout group_column text, out target regclass)
language plpgsql volatile
as $function$
#variable_conflict use_variable
declare
    roles jsonb := columns - 'text' || (
        select coalesce(jsonb_object_agg('text_' || t.place, t.name), '{}')
        from jsonb_array_elements_text(columns -> 'text') with ordinality t (name, place));
begin
    if query is null then
        target := aisle._relation_to_attach(relation, '{}');
        if not exists (select from jsonb_each_text(roles || jsonb_build_object('group', group_column)) r
                       where aisle._is_expression(target, r.value)) then
            target := aisle._relation_to_attach(relation, array(select r.value from jsonb_each_text(roles) r) || group_column);
            return;
        end if;
        perform aisle._relation_to_attach(
            relation, array(select r.value from jsonb_each_text(roles) r where not aisle._is_expression(target, r.value)));
    end if;
    roles := jsonb_strip_nulls(roles || jsonb_build_object('group_id', group_column));
    target := aisle._create_source('items', target, aisle._qualified_query(query, 'items'), roles, 'id', eligible);
    columns := jsonb_build_object('text', (
                   select coalesce(jsonb_agg(r.key order by length(r.key), r.key), '[]') from jsonb_each(roles) r where r.key ~ '^text_'))
               || (select jsonb_object_agg(r.key, r.key) from jsonb_each(roles) r where r.key !~ '^text_|^group_id$');
    eligible := case when eligible is not null then 'is_eligible' end;
    group_column := case when group_column is not null then 'group_id' end;
end
$function$;
