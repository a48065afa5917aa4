-- one row per: analysis (`main`: as declared), subject in it, endpoint and, where the endpoint is one of lesions, lesion
-- unit: day
-- why: one rule for every endpoint and sensitivity analysis, main or not; a new declaration needs no change here
-- source: CDISC ADaM ADTTE; PROTOCOL, Endpoints
with unmet as (
    select usubjid, list(distinct rule_id) as rules from validated.rule_failures where severity = 'exclude' group by usubjid
),
broken as (
    -- a rule that could not run leaves nobody eligible, and no failing rows either
    select count(*) as n from validated.rule_counts where severity = 'exclude' and status = 'error'
),
subject as (
    select
        e.usubjid, e.status = 'eligible' as is_eligible, s.n_progressing, s.n_new,
        case when b.n = 0 then u.rules end as rules
    from validated.eligibility e
    join validated.screening s using (usubjid)
    left join unmet u using (usubjid)
    cross join broken b
),
subject_map as (
    select usubjid, map_from_entries(list((date_name, adt))) as dates from derived.dates group by usubjid
),
lesion_map as (
    select usubjid, lesion_id, map_from_entries(list((date_name, adt))) as dates from derived.lesion_dates group by usubjid, lesion_id
),
followed as (
    select usubjid, null as lesion_id, dates as own_dates, dates from subject_map
    union all
    -- an endpoint of lesions begins with a date of the lesion and may end with one of the patient
    select l.usubjid, l.lesion_id, l.dates, map_concat(s.dates, l.dates)
    from lesion_map l
    left join subject_map s using (usubjid)
),
started as (
    select
        f.usubjid, f.lesion_id, f.dates, a.analysis, a.paramcd, a.event_names, a.until_names, a.censor_names,
        f.own_dates[a.start_name] as startdt
    from followed f
    join subject s using (usubjid)
    cross join study.analyses a
    where f.own_dates[a.start_name] is not null
        and (s.is_eligible or list_has_all(a.instead_of, s.rules))
        and coalesce(s.n_progressing <= a.max_progressing_lesions, true) and coalesce(s.n_new <= a.max_new_lesions, true)
),
observed as (
    select
        *, list_min([dates[n] for n in until_names]) as until_dt,
        list_min([dates[n] for n in event_names if dates[n] >= startdt]) as event_dt
    from started
),
chosen as (
    select
        * exclude (event_dt),
        case
            -- on the last day of the observation it still counts
            when event_dt <= greatest(coalesce(until_dt, event_dt), startdt) then [n for n in event_names if dates[n] = event_dt][1]
        end as event_name,
        case
            when until_dt is not null then [n for n in until_names if dates[n] = until_dt][1]
            else [n for n in censor_names if dates[n] >= startdt][1]
        end as censor_name
    from observed
)
select
    analysis, usubjid, paramcd, lesion_id, startdt,
    -- what ended the observation before it began leaves nothing of it
    greatest(dates[coalesce(event_name, censor_name)], startdt) as adt,
    case when event_name is null then list_position(until_names || censor_names, censor_name) else 0 end as cnsr,
    coalesce(event_name, censor_name) as date_name
from chosen
where coalesce(event_name, censor_name) is not null
