-- one row per: query and delivery in which it was seen or changed
-- why: the whole life of a query by one expression, so that every step of it can be tested
-- source: QUALITY, Findings and the life of a query
with judged as (
    select
        *,
        -- corrections arrive with the next snapshot; the other replies hold for the value that they are about
        case site_reply when 'corrected' then delivered_since_fl = 'N' else same_value_fl = 'Y' end as is_standing,
        coalesce(
            bool_or(accepted_fl = 'Y') over (partition by query_id order by epoch rows between unbounded preceding and 1 preceding),
            false
        ) as was_accepted
    from validated.query_steps
)
select
    query_id, centre, delivery_id, delivery_dt, epoch,
    case
        when failing_fl = 'N' then case when cancelled_fl = 'Y' then 'cancelled' else 'resolved' end
        when accepted_fl = 'Y' then 'accepted'
        when is_standing then case site_reply when 'cannot_obtain' then 'unobtainable' else 'answered' end
        when run_no > 1 or was_accepted then 'reopened'
        when first_fl = 'Y' then 'new'
        else 'open'
    end as state,
    case
        when cancelled_fl = 'Y' or accepted_fl = 'Y' then null
        when site_reply = 'confirmed' and failing_fl = 'N' and delivered_since_fl = 'Y' then 'confirmed_but_changed'
        when failing_fl = 'N' or is_standing then null
        when site_reply = 'corrected' and same_value_fl = 'Y' then 'correction_not_arrived'
        when site_reply = 'corrected' then 'corrected_but_fails'
        when site_reply = 'confirmed' then 'confirmed_but_changed'
        when site_reply = 'cannot_obtain' then 'obtained_but_fails'
    end as conflict
from judged
