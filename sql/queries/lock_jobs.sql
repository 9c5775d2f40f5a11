-- Locks the jobs that this lease still holds. Only workers lock jobs, and never for long; one that another worker holds has a newer version.
select id
from aisle._embedding_jobs
where task = %(task)s and id = any (%(ids)s) and lease_token = %(token)s and leased_until > aisle._now()
order by id
for update skip locked
