-- The cosine of two vectors; NaN for a zero vector. For statements from outside, which have pgvector's operators on no search path.
create or replace function aisle._cosine(a @vector@.vector, b @vector@.vector) returns double precision
language sql immutable strict parallel safe
begin atomic
    select 1 - (a operator(@vector@.<=>) b);
end;
