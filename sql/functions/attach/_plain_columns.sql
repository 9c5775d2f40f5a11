-- Those of the declared columns that are no expressions.
create or replace function aisle._plain_columns(target regclass, roles jsonb) returns text[]
language sql stable
begin atomic
    select array(select r.value from jsonb_each_text(roles) r where not aisle._is_expression(target, r.value));
end;
