-- The labels of each enum.
select e.enumtypid::bigint, array_agg(e.enumlabel::text order by e.enumsortorder)
from pg_catalog.pg_enum e
group by e.enumtypid
