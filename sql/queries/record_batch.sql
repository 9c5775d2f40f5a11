-- Records a batch of finished jobs, and how long the sampled changes waited, for aisle.freshness.
insert into aisle._embedding_batches (task, finished_at, rows, waits)
select %(task)s, aisle._now(), %(rows)s,
       array(select extract(epoch from aisle._now() - changed_at)::real
             from unnest(%(changes)s::timestamptz[]) changed_at order by 1)
where %(rows)s > 0
