-- How many rows more than k the search of an HNSW index fetches, so that it misses few of the nearest: none up to 100,000 rows, 80 up to
-- a million, 80 more for each further power of ten. A scan that goes on finds, among rows that are farther, some that are nearer than
-- those it has found. That gains as much as a larger hnsw.ef_search, which a function cannot choose by size.
create or replace function aisle._further(reltuples real) returns integer
language sql immutable parallel safe
begin atomic
    select 80 * greatest(ceil(log(greatest(reltuples, 1)::double precision / 100000::double precision)), 0)::integer;
end;
