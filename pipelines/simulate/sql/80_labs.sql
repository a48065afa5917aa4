-- one row per: patient, laboratory test and date
-- unit: as stated in lbstresu
-- why: normal before pazopanib; at the onset of an event a value of that event's CTCAE v4.0 grade
with test as (
    select unnest([
        {code: 'ALT', term: 'Alanine aminotransferase increased', unit: 'U/L', limits: alt_limits, by_grade: alt_by_grade},
        {code: 'AST', term: 'Aspartate aminotransferase increased', unit: 'U/L', limits: alt_limits, by_grade: alt_by_grade},
        {code: 'HGB', term: 'Anemia', unit: 'g/dL', limits: hgb_limits, by_grade: hgb_by_grade},
        {code: 'CREAT', term: null, unit: 'mg/dL', limits: creat_limits, by_grade: null}
    ], recursive := true)
    from (select *, list_transform(alt_multiple, lambda m: m * alt_limits[2]) as alt_by_grade from world.story)
),
result as (
    select
        p.usubjid, t.code, p.baseline_scan as lbdt, t.unit, t.limits,
        round(t.limits[1] + (t.limits[2] - t.limits[1]) * (1 + world.draw(p.patient, t.code)) / 3, 1) as value
    from world.patients p cross join test t
    union all
    select a.usubjid, t.code, a.aestdt, t.unit, t.limits, t.by_grade[a.aetoxgr]
    from world.adverse_events a join test t on t.term = a.aedecod
)
select
    p.onc_centre as centre, p.onc_no as subject_no, p.usubjid, r.code as lbtestcd, r.lbdt, r.value as lbstresn,
    r.unit as lbstresu, r.limits[1] as lbstnrlo, r.limits[2] as lbstnrhi
from result r join world.patients p using (usubjid)
