-- Ends the jobs that this lease still holds and whose rows have not changed since the claim.
delete from aisle._embedding_jobs as job
using unnest(%(ids)s::text[], %(versions)s::bigint[]) as done (id, version)
where job.task = %(task)s and job.id = done.id and job.version = done.version and job.lease_token = %(token)s
