-- The seconds until a job is due; no row if none waits. (greatest() ignores nulls: it would return 0, and the worker would look again at
-- once, for ever.)
select greatest(extract(epoch from due - aisle._now()), 0)::float8
from (
    select min(greatest(run_after, leased_until)) as due
    from aisle._embedding_jobs
    where task = any (%(tasks)s) and not is_dead
) next
where due is not null
