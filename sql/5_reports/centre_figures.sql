-- one row per: centre, delivery and key figure
-- unit: % or day; queries are counts
-- why: what a centre's report begins with, delivery by delivery, so that each figure stands beside the one before
-- source: QUALITY, The report to a centre (six key figures)
with delivery as (
    select *, row_number() over (partition by centre order by n_delivery desc) - 1 as n_back
    from (select distinct centre, delivery_id, delivery_dt, n_delivery from staged.source_counts)
),
last_of_day as (
    select centre, delivery_dt, arg_max(delivery_id, n_delivery) as delivery_id from delivery group by centre, delivery_dt
),
-- the life of each query in the deliveries of its own centre; what others or an answer changed belongs to the one before
life as (
    select
        h.query_id, h.centre, q.rule_id, q.first_dt, q.conflict, coalesce(d.delivery_id, e.delivery_id) as delivery_id,
        arg_max(h.state, h.epoch) as state
    from validated.query_history h
    join validated.queries q using (query_id)
    left join delivery d on d.centre = h.centre and d.delivery_id = h.delivery_id
    asof left join last_of_day e on e.centre = h.centre and e.delivery_dt <= h.delivery_dt
    where q.severity <> 'note'
    group by all
),
aged as (
    -- a confirmed exclusion stands, and waits for nobody
    select *, state in ('new', 'open', 'reopened') or (state = 'answered' and conflict is distinct from 'stays_excluded') as is_open
    from life
),
newest as (
    select max(delivery_dt) as delivery_dt from validated.deliveries
),
asked as (
    select
        d.centre, d.delivery_id, count(a.query_id) filter (a.is_open) as n_open, count(a.query_id) filter (a.state = 'new') as n_new,
        count(a.query_id) filter (a.state = 'resolved') as n_resolved, count(a.query_id) filter (a.state = 'reopened') as n_reopened,
        -- a centre that sends nothing leaves its queries open up to the newest delivery of the study
        median(greatest(case when d.n_back = 0 then greatest(d.delivery_dt, n.delivery_dt) else d.delivery_dt end - a.first_dt, 0))
            filter (a.is_open) as median_days,
        -- what the centre confirmed differs all the same
        count(a.query_id) filter (a.state not in ('resolved', 'cancelled') and r.code is not null) as n_differing
    from delivery d
    cross join newest n
    left join aged a using (centre, delivery_id)
    left join study.agreement_rule r on r.code = a.rule_id
    group by d.centre, d.delivery_id
),
field as (
    select
        c.centre, c.delivery_id, sum(c.n_given) as n_given, sum(c.n_given + c.n_unread) as n_received,
        sum(c.n_given) filter (e.field is not null) as n_endpoint_given, sum(c.n_rows) filter (e.field is not null) as n_endpoint_due,
        sum(c.n_given) filter (c.table_name = 'responses' and c.field = 'overall_response') as n_reported
    from staged.field_counts c
    left join study.endpoint_fields e using (table_name, field)
    group by c.centre, c.delivery_id
),
restaged as (
    select
        w.centre, w.delivery_id, sum(w.n_rows) as n_restaged, sum(w.n_reported) as n_reported,
        coalesce(sum(w.n_rows) filter (abs(w.n_days - p.restaging_days) <= p.restaging_tolerance_days), 0) as n_on_time
    from staged.restaging_waits w
    cross join study.protocol p
    group by w.centre, w.delivery_id
),
counted as (
    select
        d.centre, d.delivery_id, d.delivery_dt, d.n_back, f.* exclude (centre, delivery_id, n_reported),
        r.n_restaged, r.n_on_time, a.* exclude (centre, delivery_id),
        coalesce(f.n_reported, 0) + coalesce(r.n_reported, 0) as n_compared
    from delivery d
    join asked a using (centre, delivery_id)
    left join field f using (centre, delivery_id)
    left join restaged r using (centre, delivery_id)
),
figure as (
    select c.centre, c.delivery_id, c.delivery_dt, c.n_back, v.figure, v.n_with, v.n, v.value
    from counted c
    cross join lateral (
        values
        ('completeness', c.n_endpoint_given, c.n_endpoint_due, null),
        ('conformance', c.n_given, c.n_received, null),
        ('queries_open', null, null, c.n_open),
        ('queries_new', null, null, c.n_new),
        ('queries_resolved', null, null, c.n_resolved),
        ('queries_reopened', null, null, c.n_reopened),
        ('query_age', null, c.n_open, c.median_days),
        ('restaging_on_time', c.n_on_time, c.n_restaged, null),
        -- two questions about one response differ once
        ('response_agreement', greatest(c.n_compared - c.n_differing, 0), c.n_compared, null)
    ) v (figure, n_with, n, value)
)
select f.centre, k.centre_kind, f.delivery_id, f.delivery_dt, f.n_back, f.figure, f.n_with, f.n, coalesce(f.value, 100 * f.n_with / nullif(f.n, 0)) as value
from figure f
join study.centres k using (centre)
