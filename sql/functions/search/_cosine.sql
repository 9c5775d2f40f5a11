-- NaN for a zero vector. For statements that come from outside, where pgvector's operators are on no search path.
create or replace function aisle._cosine(a @vector@.vector, b @vector@.vector) returns double precision
language sql immutable strict parallel safe
begin atomic
    select 1 - (a operator(@vector@.<=>) b);
end;
