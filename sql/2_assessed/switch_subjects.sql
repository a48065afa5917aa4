-- one row per: linked subject and contested point whose other readings can change one of its responses
-- why: the other readings are derived where they can matter, and nowhere else
-- source: PROTOCOL, Contested points
with span as (
    select
        usubjid,
        min(adt) filter (overall_response in ('CR', 'PR')) as first_response_dt,
        max(adt) filter (overall_response in ('CR', 'PR')) as last_response_dt,
        min(adt) filter (overall_response = 'CR') as first_cr_dt, max(adt) filter (overall_response = 'PR') as last_pr_dt,
        min(adt) filter (overall_response = 'SD') as first_sd_dt, max(adt) filter (overall_response = 'SD') as last_sd_dt
    from assessed.timepoint_responses
    where series = 'first_line' and overall_response in ('CR', 'PR', 'SD')
    group by usubjid
    having count(*) filter (overall_response <> 'SD') > 0
),
interval_days as (
    select min(reading::integer) as shortest, max(reading::integer) as longest from study.switches where switch = 'min_sd_days'
)
select distinct usubjid, unnest(string_split(contested, ', ')) as switch from assessed.timepoint_responses where contested is not null
union all
select distinct t.usubjid, 'pd_date'
from assessed.timepoint_responses t
join (select usubjid, visitnum from assessed.visits where last_dt > adt) v using (usubjid, visitnum)
where t.overall_response = 'PD'
union all
select distinct t.usubjid, 'min_sd_days'
from assessed.timepoint_responses t
join assessed.best_responses b using (usubjid)
join assessed.subject_dates d using (usubjid)
cross join interval_days i
where t.series = 'first_line' and t.adt - d.trtsdt >= i.shortest and t.adt - d.trtsdt < i.longest
    and t.overall_response in ('CR', 'PR', 'SD', 'NON-CR/NON-PD') and (b.bor not in ('CR', 'PR') or b.cbor not in ('CR', 'PR'))
union all
select usubjid, 'accept_sd' from span
where last_sd_dt > first_response_dt and first_sd_dt < last_response_dt
union all
select usubjid, 'pr_after_cr' from span where last_pr_dt > first_cr_dt
union all
select distinct l.usubjid, 'irradiated_target'
from assessed.irradiated_lesions i
join assessed.series_lesions l using (usubjid, lesion_id)
where l.series_role = 'target'
union all
select distinct r.usubjid, 'bone_scan_disappearance'
from assessed.infield_responses r
join assessed.irradiated_lesions i using (usubjid, lesion_id)
where r.response in ('CR', 'PR') and i.measurable_fl is distinct from 'Y'
