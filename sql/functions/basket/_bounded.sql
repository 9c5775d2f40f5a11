-- A value within a range; the value itself without one. PostgreSQL writes it into the query that calls it.
create or replace function aisle._bounded(value double precision, range double precision[]) returns double precision
language sql immutable parallel safe
begin atomic
    select least(greatest(value, range[1]), range[2]);
end;
