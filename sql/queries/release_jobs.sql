-- Gives a lease back: for jobs whose row changed meanwhile, and for all of them when the worker stops.
update aisle._embedding_jobs
set leased_until = null, lease_token = null
where task = %(task)s and lease_token = %(token)s
