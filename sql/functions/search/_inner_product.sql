-- The inner product of two vectors. For statements from outside, which have pgvector's operators on no search path.
create or replace function aisle._inner_product(a @vector@.vector, b @vector@.vector) returns double precision
language sql immutable strict parallel safe
begin atomic
    select -(a operator(@vector@.<#>) b);
end;
