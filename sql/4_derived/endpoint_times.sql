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
known_date as (
    select list(code order by list_order) as names from study.date_name
),
analysis as (
    -- names as places in the list of all of them, once: a list is read by place many times faster than a map by name
    select
        a.*, list_position(k.names, a.start_name) as start_no,
        [list_position(k.names, n) for n in a.event_names] as event_nos,
        [list_position(k.names, n) for n in a.until_names] as until_nos,
        [list_position(k.names, n) for n in a.censor_names] as censor_nos
    from study.analyses a
    cross join known_date k
),
subject_listed as (
    select usubjid, [m.dates[n] for n in k.names] as dates
    from (select usubjid, map_from_entries(list((date_name, adt))) as dates from derived.dates group by usubjid) m
    cross join known_date k
),
lesion_listed as (
    select usubjid, lesion_id, [m.dates[n] for n in k.names] as dates
    from (
        select usubjid, lesion_id, map_from_entries(list((date_name, adt))) as dates from derived.lesion_dates
        group by usubjid, lesion_id
    ) m
    cross join known_date k
),
followed as (
    select usubjid, null as lesion_id, dates as own_dates, dates from subject_listed
    union all
    -- an endpoint of lesions begins with a date of the lesion and may end with one of the patient
    select l.usubjid, l.lesion_id, l.dates, coalesce([coalesce(d, s.dates[i]) for d, i in l.dates], l.dates)
    from lesion_listed l
    left join subject_listed s using (usubjid)
),
begun as (
    -- by the few dates that something begins with, so that the analyses are joined by it
    select f.*, b.start_no, f.own_dates[b.start_no] as startdt, s.is_eligible, s.rules, s.n_progressing, s.n_new
    from followed f
    cross join (select distinct start_no from analysis) b
    join subject s using (usubjid)
    where f.own_dates[b.start_no] is not null
),
started as (
    select
        f.usubjid, f.lesion_id, a.analysis, a.paramcd, a.event_names, a.until_names, a.censor_names, f.startdt,
        list_select(f.dates, a.event_nos) as events,
        list_min(list_select(f.dates, a.until_nos)) as until_dt,
        list_select(f.dates, a.until_nos) as untils,
        list_select(f.dates, a.censor_nos) as censors
    from begun f
    join analysis a using (start_no)
    where (f.is_eligible or list_has_all(a.instead_of, f.rules))
        and coalesce(f.n_progressing <= a.max_progressing_lesions, true) and coalesce(f.n_new <= a.max_new_lesions, true)
),
observed as (
    select
        *, list_min([d for d in events if d >= startdt]) as first_event_dt,
        case when until_dt is null then [d for d in censors if d >= startdt][1] end as censor_dt
    from started
),
chosen as (
    select
        *,
        -- on the last day of the observation it still counts
        case when first_event_dt <= greatest(coalesce(until_dt, first_event_dt), startdt) then first_event_dt end as event_dt
    from observed
),
ranked as (
    select *, case
        when event_dt is not null then list_position(events, event_dt)
        when until_dt is not null then list_position(untils, until_dt)
        else len(untils) + list_position(censors, censor_dt)
    end as rank_no
    from chosen
)
select
    analysis, usubjid, paramcd, lesion_id, startdt,
    -- what ended the observation before it began leaves nothing of it
    coalesce(event_dt, greatest(coalesce(until_dt, censor_dt), startdt)) as adt,
    case when event_dt is null then rank_no else 0 end as cnsr,
    case when event_dt is not null then event_names[rank_no] else (until_names || censor_names)[rank_no] end as date_name
from ranked
where coalesce(event_dt, until_dt, censor_dt) is not null
