-- Removes a model that nobody needs, with its generation; returns how many bytes that frees. Dropping a partition holds up every query
-- of its table. So this never waits long for a query: it gives up after 40 ms, and can be called again. Once one table is dropped, it
-- does not wait for the next: that table's user may want the first (deadlock). The rest is left to the next call; until then the model
-- is 'failed'. Files go first, because that may take long and holds up nobody.
create or replace function aisle._drop_model(model_id integer, patience text default '40ms') returns bigint
language plpgsql volatile
set lock_timeout = '40ms'
as $function$
declare
    model aisle._models;
    partitions regclass[];
    partition regclass;
    size bigint;
    freed bigint;
    is_first boolean := true;
begin
    perform aisle._lock_deployments();
    perform set_config('lock_timeout', patience, true);  -- until the function ends: it has a setting of its own
    select * into model from aisle._models m where m.model_id = _drop_model.model_id;
    if exists (select from aisle._live_models l where l.model_id = _drop_model.model_id) then
        raise exception 'Model % is live.', model_id
            using errcode = 'AIS07', hint = 'Deploy another first: aisle deploy MODEL';
    end if;
    partitions := array(
        select p from unnest(aisle._vector_tables(model.task)) t, to_regclass(format('aisle.%I', t || '_' || model.model_id)) p
        where p is not null);
    delete from aisle._deployments d where d.model_id = _drop_model.model_id;
    delete from aisle._item_predictions p where p.model_id = _drop_model.model_id;
    -- A transaction that removes items at the same moment may leave a few behind; they go with the next model that is dropped.
    delete from aisle._learned_factors l
    where l.model_id = _drop_model.model_id or not exists (select from aisle._models m where m.model_id = l.model_id);
    with gone as (delete from aisle._model_files f where f.model_id = _drop_model.model_id returning f.size)
    select coalesce(sum(g.size), 0) into freed from gone g;
    foreach partition in array partitions loop
        size := pg_total_relation_size(partition);
        begin
            execute format('drop table %s', partition);
        exception when lock_not_available then
            if is_first and freed = 0 then
                raise exception 'Model % cannot be removed while its tables are in use (%).', model_id, coalesce(
                        aisle._table_user(partitions || array(select to_regclass('aisle.' || t)
                                                              from unnest(aisle._vector_tables(model.task)) t)),
                        'the query has just ended')
                    using errcode = 'AIS08', hint = 'Try again when that transaction has ended.';
            end if;
            update aisle._models m set state = 'failed' where m.model_id = _drop_model.model_id;
            return freed;
        end;
        freed := freed + size;
        is_first := false;
        set local lock_timeout = '1ms';
    end loop;
    if to_regproc('aisle._nearest_factors_' || model.model_id) is not null then
        execute 'drop function aisle._nearest_factors_' || model.model_id;
    end if;
    delete from aisle._models m where m.model_id = _drop_model.model_id;
    return freed;
end
$function$;
