-- Returns the expression for the text that a value's type writes. Only a superuser can define a type's output function.
create or replace function aisle._written(operand text) returns text
language sql immutable
begin atomic
    select format('case when num_nonnulls(%1$s) = 1 then concat(%1$s) end', operand);
end;
