-- one row per: snapshot or answer that a centre's rows are made from
-- why: the age and the states of a query are told by deliveries, never by the clock
-- source: QUALITY, Findings and the life of a query; ARCHITECTURE, The flow (deliveries follow each other by extract date)
select epoch, centre, delivery_id, delivery_dt, kind
from staged.deliveries
union all
-- where nobody keeps an archive, what is staged is all there ever was
select
    1 as epoch, centre, max(delivery_id) as delivery_id,
    try_cast(nullif(regexp_extract(max(delivery_id), '\d{4}-\d{2}-\d{2}'), '') as date) as delivery_dt, 'snapshot' as kind
from staged.received
where centre is not null and centre not in (select centre from staged.deliveries)
group by centre
