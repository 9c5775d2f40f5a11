select greatest(extract(epoch from min(greatest(run_after, leased_until)) - aisle._now()), 0)
from aisle._embedding_jobs
where task = any (%(tasks)s) and not is_dead
