-- The jobs that this lease still holds. A row that a shop's transaction is changing right now is skipped, not waited for:
-- its job will have a new version anyway, and the worker can never be one half of a deadlock.
select id, version
from aisle._embedding_jobs
where task = %(task)s and id = any (%(ids)s) and lease_token = %(token)s and leased_until > aisle._now()
order by id
for update skip locked
