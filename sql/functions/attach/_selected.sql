-- Writes a list of columns and expressions, each with the name of its role.
create or replace function aisle._selected(target regclass, roles jsonb) returns text
language sql stable
begin atomic
    select string_agg(format('%s as %I', case when aisle._is_expression(target, r.value) then format('(%s)', r.value) else format('s.%I', r.value) end,
                             r.key), ', ')
    from jsonb_each_text(roles) r;
end;
