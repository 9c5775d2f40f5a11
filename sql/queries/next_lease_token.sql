-- A new token for a lease: a worker that comes back late finds another one on its jobs.
select nextval('aisle._lease_tokens')
