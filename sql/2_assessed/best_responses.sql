-- one row per: linked subject with a baseline of the first line
-- unit: day
-- why: the study reports the unconfirmed best response; the confirmed one stands beside it
-- source: RECIST 1.1, 4.4 and 4.6; PROTOCOL, BOR and Contested points
with first_pd as (
    select usubjid, min(adt) as pd_dt from assessed.timepoint_responses
    where series = 'first_line' and overall_response = 'PD'
    group by usubjid
),
response as (
    select
        t.usubjid, t.adt, t.visitnum, t.overall_response as response, t.adt - d.trtsdt as days,
        t.adt - d.trtsdt >= p.min_sd_days as is_late_enough, p.min_sd_days, p.confirmation_days, p.pr_after_cr,
        -- running counts: what lies between two assessments is a difference
        count(*) filter (t.overall_response = 'NE') over ordered as n_ne,
        count(*) filter (t.overall_response not in ('NE', 'CR', 'PR')) over ordered as n_worse,
        count(*) filter (t.overall_response not in ('NE', 'CR')) over ordered as n_not_cr,
        count(*) filter (t.overall_response = 'SD' and p.accept_sd = 'yes') over ordered as n_accepted,
        lead(nullif(t.overall_response, 'NE') ignore nulls) over ordered as next_response
    from assessed.timepoint_responses t
    join assessed.subject_dates d using (usubjid)
    left join first_pd f using (usubjid)
    cross join study.protocol p
    where t.series = 'first_line'
        and t.adt <= coalesce(f.pd_dt, t.adt)
        and t.adt < coalesce(d.next_therapy_dt, t.adt + 1)
    window ordered as (partition by t.usubjid order by t.adt, t.visitnum)
),
confirmed as (
    select
        a.usubjid, a.adt,
        bool_or(a.response = 'CR' and b.response = 'CR' and b.n_not_cr = a.n_not_cr) as is_cr,
        bool_or(
            b.response in ('CR', 'PR')
            -- stable disease between two partial responses, where it is accepted
            and (b.n_worse = a.n_worse or (a.response = 'PR' and b.n_worse - a.n_worse = b.n_accepted - a.n_accepted))
            and (a.response = 'PR' or a.pr_after_cr = 'general')
        ) as is_pr
    from response a
    join response b on b.usubjid = a.usubjid and b.adt >= a.adt + a.confirmation_days
    where a.response in ('CR', 'PR') and b.n_ne - a.n_ne <= 1
    group by a.usubjid, a.adt
),
candidate as (
    select
        r.*, c.is_cr, c.is_pr,
        case
            when response in ('CR', 'PR', 'PD') then response
            when response in ('SD', 'NON-CR/NON-PD') and is_late_enough then response
            else 'NE'
        end as unconfirmed,
        case
            when response = 'CR' and c.is_cr then 'CR'
            when response in ('CR', 'PR') and c.is_pr and not coalesce(c.is_cr, false) then 'PR'
            when response = 'PR' and next_response = 'SD' then 'SD'
            when response in ('CR', 'PR') then case when is_late_enough then 'SD' else 'NE' end
            else unconfirmed
        end as confirmed
    from response r
    left join confirmed c using (usubjid, adt)
),
best as (
    select
        usubjid, any_value(min_sd_days) as min_sd_days, any_value(confirmation_days) as confirmation_days,
        min(struct_pack(o := coalesce(u.worst_order, 100), adt := adt, code := unconfirmed, days := days)) as u,
        min(struct_pack(o := coalesce(k.worst_order, 100), adt := adt, code := confirmed, days := days, given := response)) as c
    from candidate
    join study.response u on u.code = unconfirmed
    join study.response k on k.code = confirmed
    group by usubjid
)
select
    usubjid, u.code as bor, u.adt as bor_dt,
    case u.code
        when 'NE' then printf('no response, progression or stable disease of at least %d days', min_sd_days)
        else printf('first %s on %s, %d days after start', u.code, u.adt, u.days)
    end as bor_reason,
    c.code as cbor, c.adt as cbor_dt,
    case
        when c.code = 'PR' and c.given = 'CR' then printf('CR on %s counts as PR, confirmed after at least %d days', c.adt, confirmation_days)
        when c.code in ('CR', 'PR') then printf('first %s on %s, confirmed after at least %d days', c.code, c.adt, confirmation_days)
        when c.code = 'NE' then printf('nothing confirmed, no stable disease of at least %d days', min_sd_days)
        when c.given in ('CR', 'PR')
            then printf('%s on %s, %d days after start, is not confirmed and counts as %s', c.given, c.adt, c.days, c.code)
        else printf('first %s on %s, %d days after start', c.code, c.adt, c.days)
    end as cbor_reason
from best
union all
select b.usubjid, 'NE', null, 'no assessment counts', 'NE', null, 'no assessment counts'
from (select distinct usubjid from assessed.series_visits where series = 'first_line' and baseline_fl = 'Y') b
anti join response r using (usubjid)
