-- The expression for the text of a value as its type's output function writes it, which nobody but a superuser can define.
create or replace function aisle._written(operand text) returns text
language sql immutable
begin atomic
    select format('case when num_nonnulls(%1$s) = 1 then concat(%1$s) end', operand);
end;
