-- How many more rows than asked for a search of an HNSW index looks for, so that it misses few of the nearest: none up to 100,000
-- rows, 80 up to a million, 80 more for every further power of ten. A scan that goes on finds, among what is farther, some that
-- is nearer than what it has found, and gains as much by that as by a larger hnsw.ef_search, which a function cannot choose by size.
create or replace function aisle._further(reltuples real) returns integer
language sql immutable parallel safe
begin atomic
    select 80 * greatest(ceil(log(greatest(reltuples, 1)::double precision / 100000::double precision)), 0)::integer;
end;
