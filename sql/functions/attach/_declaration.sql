-- What was declared, without what was left out.
create or replace function aisle._declaration(arguments jsonb) returns jsonb
language sql immutable
begin atomic
    select coalesce(jsonb_object_agg(a.key, a.value) filter (where a.value not in ('null', '[]', '{}')), '{}') from jsonb_each(arguments) a;
end;
