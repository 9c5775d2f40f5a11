-- Creates the view aisle._row_vectors anew when a task comes or goes. The view has a row for each vector of a row of the shop's, whatever
-- the task. It is a view because a role that may read aisle.status has no rights on the vector tables.
create or replace function aisle.tg_tasks__changed() returns trigger
language plpgsql volatile security definer
as $trigger$
declare
    definition text := (
        select string_agg(
            format('select v.%I as id, v.model_id, v.content_hash, %s as is_draft from aisle.%I v', t.key_column,
                   case when exists (select from pg_attribute a
                                     where a.attrelid = to_regclass(format('aisle.%I', t.row_vectors)) and a.attname = 'is_draft')
                        then 'v.is_draft' else 'false' end,
                   t.row_vectors),
            ' union all ' order by t.place)
        from aisle._tasks t
        where t.row_vectors is not null);
begin
    execute 'create or replace view aisle._row_vectors as ' || coalesce(
        definition, 'select null::text as id, null::integer as model_id, null::bytea as content_hash, null::boolean as is_draft where false');
    return null;
end
$trigger$;
