-- one row per: patient and scan at the oncology centre
-- why: a patient whose best response is PD has no scan between baseline and oligo-progression
with steps as (
    select
        p.*, s.first_scan_days,
        case when best_response_l1 = 'PD' then 1
            else greatest(2, round(pfs1 / s.scan_interval_days)) end::int as n_early,
        greatest(1, round((last_scan - restaging) / s.followup_interval_days))::int as n_late
    from (select *, oligo_progression - pazopanib_start as pfs1 from world.patients) p cross join world.story s
),
dated as (
    select patient, baseline_scan as trdt from steps
    union
    select patient, unnest([oligo_progression, restaging, last_scan, second_progression]) from steps
    union
    select patient, pazopanib_start + greatest(round(pfs1 * k / n_early)::int, first_scan_days)
    from (select *, unnest(range(1, n_early)) as k from steps)
    union
    select patient, restaging + round((last_scan - restaging) * k / n_late)::int
    from (select *, unnest(range(1, n_late)) as k from steps)
),
numbered as (
    select patient, trdt, row_number() over (partition by patient order by trdt) - 1 as visitnum
    from dated
    where trdt is not null
)
select p.onc_centre as centre, p.onc_no as subject_no, p.usubjid, n.patient, n.visitnum::int as visitnum, n.trdt
from numbered n join world.patients p using (patient)
