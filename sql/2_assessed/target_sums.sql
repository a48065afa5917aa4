-- one row per: linked subject, series and assessment, baseline included
-- unit: mm
-- why: one place for sum and nadir; the nadir is the lowest complete earlier sum, so that a missing lesion never lowers it
-- source: RECIST 1.1, 4.3.1; PROTOCOL, Target response
with target as (
    select
        v.series, v.usubjid, v.visitnum, a.adt, a.gone_fl,
        -- once irradiated, what is measured is no longer the drug's effect alone
        case when i.lesion_id is null or p.irradiated_target = 'keep' then a.counted_mm end as counted_mm,
        -- there, measured or not; of a node that nobody measured nothing is known
        a.gone_fl = 'N' and (a.counted_mm is not null or a.node_fl = 'N') and (i.lesion_id is null or p.irradiated_target = 'keep') as is_seen
    from assessed.series_lesions l
    join assessed.series_visits v using (usubjid, series)
    -- the sum of the baseline holds what the lesions' own baselines are: they may have been seen on different days
    join assessed.adtr a on a.usubjid = l.usubjid and a.lesion_id = l.lesion_id
        and a.visitnum = case v.baseline_fl when 'Y' then l.baseline_visitnum else v.visitnum end
    left join assessed.irradiated_lesions i
        on i.usubjid = a.usubjid and i.lesion_id = a.lesion_id and i.first_fraction_dt < a.adt
    cross join study.protocol p
    where l.series_role = 'target'
),
target_sum as (
    select
        series, usubjid, visitnum, max(adt) as sum_dt, count(*) as n_targets, count(counted_mm) as n_assessed, sum(counted_mm) as measured_mm,
        case when count(counted_mm) = count(*) then sum(counted_mm) end as sum_mm,
        count(*) filter (is_seen) as n_seen,
        case when count(counted_mm) = count(*) and bool_and(gone_fl = 'Y') then 'Y' else 'N' end as all_gone_fl
    from target
    group by series, usubjid, visitnum
)
select
    v.usubjid, v.series, v.visitnum, v.adt, v.last_dt,
    coalesce(t.n_targets, 0) as n_targets,
    coalesce(t.n_assessed, 0) as n_assessed,
    t.sum_mm, t.measured_mm,
    coalesce(t.n_seen, 0) as n_seen,
    coalesce(t.all_gone_fl, 'N') as all_gone_fl,
    first_value(t.sum_mm) over (partition by v.usubjid, v.series order by v.adt, v.visitnum) as baseline_mm,
    min(t.sum_mm) over earlier as nadir_mm,
    arg_min(t.sum_dt, t.sum_mm) over earlier as nadir_dt
from assessed.series_visits v
left join target_sum t using (usubjid, series, visitnum)
window earlier as (
    partition by v.usubjid, v.series order by v.adt, v.visitnum rows between unbounded preceding and 1 preceding
)
