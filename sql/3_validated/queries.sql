-- one row per: query that was ever asked
-- unit: day
-- why: what became of a question stays visible after it is settled, with who replied and who accepted
-- source: QUALITY, Findings and the life of a query
with step as (
    select
        h.*, s.failing_fl, s.own_fl, s.delivered_since_fl, s.value_hash, s.reply_delivery, s.replied_query,
        h.state in ('new', 'open', 'reopened') as is_asked,
        lag(h.state) over (partition by h.query_id order by h.epoch) as state_before
    from validated.query_history h
    join validated.query_steps s on s.query_id = h.query_id and s.epoch = h.epoch
),
life as (
    -- places alone, what stands there is looked up: texts of many queries would not fit into the memory
    select
        query_id, min(epoch) as first_epoch, max(epoch) as last_epoch, max(epoch) filter (failing_fl = 'Y') as failing_epoch,
        -- a reply says something of what it is about, and shows nothing of it
        max(epoch) filter (failing_fl = 'Y' and delivery_id is distinct from reply_delivery) as seen_epoch,
        max(delivery_dt) filter (state is distinct from state_before) as changed_dt,
        max_by(delivery_dt, epoch) filter (is_asked and coalesce(state_before not in ('new', 'open', 'reopened'), true)) as asked_dt,
        count(*) filter (failing_fl = 'Y' and own_fl = 'Y') as n_deliveries
    from step
    group by query_id
),
change as (
    select epoch, query_id, usubjid, table_name, record_key, field, rule_id, severity, cause_id from staged.failed_before
    union all
    select epoch, query_id, usubjid, table_name, record_key, field, rule_id, severity, cause_id from validated.query_changes
),
known as (
    select query_id, max(epoch) as epoch from change group by query_id
),
accepted as (
    select query_id, value_hash, max_by(struct_pack(accepted_by, accepted_on, accept_reason), accepted_on) as decision
    from staged.acceptances
    group by query_id, value_hash
),
newest as (
    select max(delivery_dt) as delivery_dt from validated.deliveries
)
select
    l.query_id, e.centre, b.usubjid, b.table_name, b.record_key, b.field, b.rule_id, b.severity, b.cause_id, e.state,
    -- what the centre confirmed decides who is in the analysis, and no decision lifts it: nothing is waited for
    case when e.state = 'answered' and e.delivered_since_fl = 'Y' and r.site_reply = 'confirmed' and b.severity in ('stop', 'exclude')
        then 'stays_excluded' else e.conflict end as conflict,
    f.delivery_id as first_delivery, f.delivery_dt as first_dt, s.delivery_id as last_delivery, s.delivery_dt as last_dt, l.changed_dt,
    case when e.is_asked then l.asked_dt + p.reply_days end as due_dt,
    case when e.state in ('resolved', 'cancelled', 'accepted') then l.changed_dt else newest.delivery_dt end - f.delivery_dt as age_days,
    l.n_deliveries, v.value_hash, r.site_reply, r.site_comment, r.replied_by, r.replied_on, e.reply_delivery,
    a.decision.accepted_by as accepted_by, a.decision.accepted_on as accepted_on, a.decision.accept_reason as accept_reason
from life l
join known k using (query_id)
join change b on b.query_id = k.query_id and b.epoch = k.epoch
join step f on f.query_id = l.query_id and f.epoch = l.first_epoch
join step e on e.query_id = l.query_id and e.epoch = l.last_epoch
left join step s on s.query_id = l.query_id and s.epoch = l.seen_epoch
left join step v on v.query_id = l.query_id and v.epoch = l.failing_epoch
cross join newest
cross join study.protocol p
left join validated.replies r on r.query_id = e.replied_query and r.delivery_id = e.reply_delivery
left join accepted a on a.query_id = l.query_id and a.value_hash = v.value_hash and e.state = 'accepted'
