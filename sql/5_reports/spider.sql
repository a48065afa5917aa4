-- one row per: series, subject (irradiated: and lesion) and assessment after its baseline
-- unit: % of baseline; month since the first dose (irradiated: since the lesion's first fraction)
-- why: how sizes changed until progression or the next therapy; of a large cohort an evenly spaced sample by best change
-- source: RECIST 1.1, 4.3.1; PROTOCOL, Statistics and figures (waterfall, spider)
with subject as (
    select usubjid, trtsdt, oligodt, next_therapy_dt, bor from derived.adsl where eligible_fl = 'Y'
),
first_pd as (
    select usubjid, lesion_id, min(adt) as pd_dt from assessed.infield_responses where response = 'PD' group by usubjid, lesion_id
),
best as (
    select
        'first_line' as series, t.usubjid, null as lesion_id, null as response, max(t.adt) as last_dt,
        100 * (min(t.sum_mm) - any_value(t.baseline_mm)) / any_value(t.baseline_mm) as best_pct
    from assessed.target_sums t
    join subject s using (usubjid)
    -- with a nadir there is an earlier complete sum: this is no baseline
    where t.series = 'first_line' and t.baseline_mm > 0 and t.sum_mm is not null and t.nadir_mm is not null
        and t.adt <= coalesce(s.oligodt, t.adt) and t.adt < coalesce(s.next_therapy_dt, t.adt + 1)
    group by t.usubjid
    union all
    select
        'irradiated', i.usubjid, i.lesion_id, arg_min(i.response, r.worst_order), max(i.adt),
        100 * (min(i.size_mm) - any_value(i.baseline_mm)) / any_value(i.baseline_mm)
    from assessed.infield_responses i
    join subject s using (usubjid)
    left join first_pd p using (usubjid, lesion_id)
    left join study.response r on r.code = i.response
    where i.baseline_mm > 0 and i.size_mm is not null
        and i.adt <= coalesce(p.pd_dt, i.adt) and i.adt < coalesce(s.next_therapy_dt, i.adt + 1)
    group by i.usubjid, i.lesion_id
),
ranked as (
    select
        *, row_number() over (partition by series order by best_pct desc, usubjid, lesion_id) - 1 as place,
        count(*) over (partition by series) as n_measured
    from best
),
shown as (
    select r.* from ranked r
    cross join study.protocol p
    where r.n_measured <= p.figure_subjects or r.place = 0
        or r.place * (p.figure_subjects - 1) // (r.n_measured - 1) > (r.place - 1) * (p.figure_subjects - 1) // (r.n_measured - 1)
),
point as (
    select b.*, null as anatomic_site, t.adt, s.trtsdt as startdt, t.baseline_mm, t.sum_mm as size_mm, s.bor
    from assessed.target_sums t
    join shown b on b.usubjid = t.usubjid and b.series = t.series
    join subject s on s.usubjid = b.usubjid
    where t.sum_mm is not null and t.nadir_mm is not null and t.adt <= b.last_dt
    union all
    select b.*, i.anatomic_site, i.adt, f.first_fraction_dt, i.baseline_mm, i.size_mm, b.response
    from assessed.infield_responses i
    join shown b on b.usubjid = i.usubjid and b.lesion_id = i.lesion_id
    join assessed.irradiated_lesions f on f.usubjid = i.usubjid and f.lesion_id = i.lesion_id
    where i.size_mm is not null and i.adt <= b.last_dt
),
counted as (
    select 'first_line' as series, count(*) as n_all from subject
    union all
    select 'irradiated', count(*) from assessed.irradiated_lesions join subject using (usubjid)
)
select
    x.series, x.place + 1 as rank_no, x.n_measured, c.n_all, x.usubjid, x.lesion_id, x.anatomic_site, x.adt,
    (x.adt - x.startdt) / p.days_per_month as t_months, x.baseline_mm, x.size_mm,
    100 * (x.size_mm - x.baseline_mm) / x.baseline_mm as change_pct, x.best_pct, coalesce(x.bor, 'NE') as response
from point x
join counted c using (series)
cross join study.protocol p
