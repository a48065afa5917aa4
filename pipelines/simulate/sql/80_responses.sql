-- one row per: patient and scan up to oligo-progression, with the response that the centre reports
-- unit: mm, sum of the target diameters
with target_sum as (
    select m.usubjid, m.trdt, sum(m.diameter_mm) filter (l.lesion_role = 'target') as sum_mm
    from world.measurements m join world.lesions l using (usubjid, lesion_id)
    group by all
),
responded as (
    select patient, trdt, any_value(responded) as responded from world.early group by patient, trdt
)
select
    v.centre, v.subject_no, v.usubjid, v.visitnum, v.trdt as rsdt, t.sum_mm,
    case when v.trdt = p.oligo_progression then 'PD' when r.responded then p.best_response_l1 else 'SD' end as overall_response
from world.scans v
join world.patients p using (patient)
join target_sum t on t.usubjid = v.usubjid and t.trdt = v.trdt
left join responded r on r.patient = v.patient and r.trdt = v.trdt
where v.visitnum > 0 and v.trdt <= p.oligo_progression
