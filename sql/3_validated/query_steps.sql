-- one row per: query and place in the order of deliveries where its centre delivered or replied, it changed, or it was accepted
-- why: everything that decides a state stands side by side, so that the state itself is one expression
-- source: QUALITY, Findings and the life of a query
with changed as (
    select epoch, query_id, centre, severity, failing_fl, cancelled_fl, value_hash, cause_id from staged.failed_before
    union all
    select epoch, query_id, centre, severity, failing_fl, cancelled_fl, value_hash, cause_id from validated.query_changes
),
marked as (
    select
        *, lead(epoch) over life as next_epoch, row_number() over life = 1 as is_first,
        failing_fl = 'Y' and coalesce(lag(failing_fl) over life, 'N') = 'N' as begins
    from changed
    window life as (partition by query_id order by epoch)
),
stretch as (
    -- what holds from one change to the next
    select *, count(*) filter (begins) over (partition by query_id order by epoch) as run_no from marked
),
own as (
    select epoch, centre, max(delivery_id) as delivery_id, max(delivery_dt) as delivery_dt
    from validated.deliveries
    where kind = 'snapshot'
    group by epoch, centre
),
anyone as (
    select epoch, min(delivery_id) as delivery_id, max(delivery_dt) as delivery_dt from validated.deliveries group by epoch
),
asked as (
    -- a reply is about what was asked before it came, and about all that has the same root cause
    select r.query_id as replied_query, r.centre, r.epoch, r.delivery_id, r.site_reply, s.cause_id
    from validated.replies r
    join stretch s on s.query_id = r.query_id and s.centre = r.centre
        and r.epoch > s.epoch and r.epoch <= coalesce(s.next_epoch, r.epoch)
    where s.failing_fl = 'Y'
),
replied as (
    select s.query_id, s.run_no, s.value_hash, a.epoch, a.delivery_id, a.site_reply, a.replied_query
    from asked a
    join stretch s on s.cause_id = a.cause_id and s.centre = a.centre
        and a.epoch > s.epoch and a.epoch <= coalesce(s.next_epoch, a.epoch)
    where s.failing_fl = 'Y'
    qualify row_number() over (
        partition by s.query_id, a.epoch order by a.replied_query <> s.query_id, a.replied_query
    ) = 1
),
accepted as (
    select query_id, value_hash, min(epoch) as epoch from staged.acceptances group by query_id, value_hash
),
happened as (
    select query_id, epoch from stretch
    union
    select s.query_id, o.epoch
    from stretch s
    join own o on o.centre = s.centre and o.epoch > s.epoch and o.epoch < coalesce(s.next_epoch, o.epoch + 1)
    where s.failing_fl = 'Y'
    union
    select query_id, epoch from replied
    union
    select s.query_id, a.epoch
    from stretch s
    join accepted a on a.query_id = s.query_id and a.epoch > s.epoch and a.epoch < coalesce(s.next_epoch, a.epoch + 1)
    where s.failing_fl = 'Y'
),
step as (
    select h.query_id, h.epoch, s.* exclude (query_id, epoch), s.epoch = h.epoch and s.is_first as is_new
    from happened h
    asof join stretch s on s.query_id = h.query_id and h.epoch >= s.epoch
),
away as (
    select query_id, epoch from step anti join own using (centre, epoch)
),
subject as (
    select query_id, usubjid from staged.failed_before semi join away using (query_id)
    union
    select query_id, usubjid from validated.query_changes semi join away using (query_id)
),
elsewhere as (
    -- of those who delivered on that day, one who knows the patient brought the change
    select a.query_id, a.epoch, min(d.delivery_id) as delivery_id
    from away a
    join subject s using (query_id)
    join harmonised.links k on k.usubjid = s.usubjid
    join validated.deliveries d on d.centre = k.centre and d.epoch = a.epoch and d.kind = 'snapshot'
    group by a.query_id, a.epoch
)
select
    p.query_id, p.centre, p.epoch, coalesce(o.delivery_id, r.delivery_id, e.delivery_id, y.delivery_id) as delivery_id,
    coalesce(o.delivery_dt, y.delivery_dt) as delivery_dt, p.failing_fl, p.cancelled_fl, p.value_hash, p.run_no,
    case when p.is_new then 'Y' else 'N' end as first_fl, case when o.epoch is null then 'N' else 'Y' end as own_fl,
    l.site_reply, l.delivery_id as reply_delivery, l.replied_query,
    case when n.epoch > l.epoch then 'Y' when l.epoch is not null then 'N' end as delivered_since_fl,
    case when l.epoch is null then null when p.value_hash = l.value_hash then 'Y' else 'N' end as same_value_fl,
    case when p.failing_fl = 'Y' and a.epoch <= p.epoch and p.severity not in ('stop', 'exclude') then 'Y' else 'N' end as accepted_fl
from step p
left join own o on o.centre = p.centre and o.epoch = p.epoch
left join anyone y on y.epoch = p.epoch
left join elsewhere e on e.query_id = p.query_id and e.epoch = p.epoch
left join replied r on r.query_id = p.query_id and r.epoch = p.epoch
-- a reply holds for the time in which it was given: what fails again is asked again
asof left join replied l on l.query_id = p.query_id and l.run_no = p.run_no and p.epoch >= l.epoch
asof left join own n on n.centre = p.centre and p.epoch >= n.epoch
left join accepted a on a.query_id = p.query_id and a.value_hash = p.value_hash
