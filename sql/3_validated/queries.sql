-- one row per: query that was ever asked
-- unit: day
-- why: what became of a question stays visible after it is settled, with who replied and who accepted
-- source: QUALITY, Findings and the life of a query
with state as (
    select
        h.*, s.failing_fl, s.own_fl, s.value_hash, s.reply_delivery, s.replied_query,
        h.state in ('new', 'open', 'reopened') as is_asked,
        lag(h.state) over (partition by h.query_id order by h.epoch) as state_before
    from validated.query_history h
    join validated.query_steps s on s.query_id = h.query_id and s.epoch = h.epoch
),
life as (
    select
        query_id, max_by(struct_pack(centre, state, conflict, delivery_dt, reply_delivery, replied_query), epoch) as last_step,
        min_by(struct_pack(delivery_id, delivery_dt), epoch) as first_step,
        -- a reply says something of what it is about, and shows nothing of it
        max_by(struct_pack(delivery_id, delivery_dt), epoch)
            filter (failing_fl = 'Y' and delivery_id is distinct from reply_delivery) as last_seen,
        max(delivery_dt) filter (state is distinct from state_before) as changed_dt,
        max_by(delivery_dt, epoch) filter (is_asked and coalesce(state_before not in ('new', 'open', 'reopened'), true)) as asked_dt,
        count(*) filter (failing_fl = 'Y' and own_fl = 'Y') as n_deliveries,
        max_by(value_hash, epoch) filter (failing_fl = 'Y') as value_hash
    from state
    group by query_id
),
about as (
    select query_id, max_by(change, change.epoch) as known
    from (
        select epoch, query_id, usubjid, table_name, record_key, field, rule_id, severity, cause_id from staged.failed_before
        union all
        select epoch, query_id, usubjid, table_name, record_key, field, rule_id, severity, cause_id from validated.query_changes
    ) change
    group by query_id
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
    l.query_id, l.last_step.centre as centre, b.known.usubjid as usubjid, b.known.table_name as table_name,
    b.known.record_key as record_key, b.known.field as field, b.known.rule_id as rule_id, b.known.severity as severity,
    b.known.cause_id as cause_id,
    l.last_step.state as state, l.last_step.conflict as conflict, l.first_step.delivery_id as first_delivery,
    l.first_step.delivery_dt as first_dt, l.last_seen.delivery_id as last_delivery, l.last_seen.delivery_dt as last_dt,
    l.changed_dt,
    case when l.last_step.state in ('new', 'open', 'reopened') then l.asked_dt + p.reply_days end as due_dt,
    case when l.last_step.state in ('resolved', 'cancelled', 'accepted') then l.changed_dt else newest.delivery_dt end
        - l.first_step.delivery_dt as age_days,
    l.n_deliveries, l.value_hash, r.site_reply, r.site_comment, r.replied_by, r.replied_on, l.last_step.reply_delivery as reply_delivery,
    a.decision.accepted_by as accepted_by, a.decision.accepted_on as accepted_on, a.decision.accept_reason as accept_reason
from life l
join about b using (query_id)
cross join newest
cross join study.protocol p
left join validated.replies r on r.query_id = l.last_step.replied_query and r.delivery_id = l.last_step.reply_delivery
left join accepted a on a.query_id = l.query_id and a.value_hash = l.value_hash and l.last_step.state = 'accepted'
