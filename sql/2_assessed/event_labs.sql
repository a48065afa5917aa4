-- one row per: reported adverse event of one centre that laboratory values can grade, with its worst value
-- unit: as sent; CTCAE grade
-- why: the reported grade and the laboratory's are compared, never mixed
-- source: QUALITY, Families (grade and laboratory value disagree); PROTOCOL, Toxicity
with term as (
    select distinct aedecod, lbtestcd, direction from study.ctcae_lab
),
clinical as (
    -- grades that CTCAE gives for what no laboratory sees, a transfusion for instance
    select distinct aedecod, grade::integer as grade from study.ctcae_lab where clinical is not null
),
matched as (
    select
        a.*, l.lbtestcd, l.lbdt, l.lbstresn, l.lbstresu,
        case t.direction when 'low' then l.grade_low else l.grade_high end as lab_grade,
        case t.direction when 'low' then l.criterion_low else l.criterion_high end as criterion
    from harmonised.adverse_events a
    cross join study.protocol p
    join term t using (aedecod)
    join assessed.lab_grades l on l.usubjid = a.usubjid and l.lbtestcd = t.lbtestcd
        and l.lbdt between a.aestdt - p.lab_event_days and coalesce(a.aeendt + p.lab_event_days, 'infinity'::date)
    where lab_grade is not null
),
claimed as (
    -- a value within two records of a term belongs to the worse one; a record without a grade could be any
    select m.*, max(coalesce(m.aetoxgr, p.max_grade)) over (partition by m.usubjid, m.aedecod, m.lbtestcd, m.lbdt) as claimed_grade
    from matched m
    cross join study.protocol p
),
worst as (
    select
        usubjid, centre, aedecod, aestdt, aetoxgr, delivery_id, source_file, source_row,
        max_by(
            struct_pack(dt := lbdt, amount := lbstresn, unit := lbstresu, grade := lab_grade, criterion := criterion), struct_pack(g := lab_grade, dt := lbdt)
        ) as lab
    from claimed where aetoxgr = claimed_grade
    group by all
)
select
    w.usubjid, w.centre, w.aedecod, w.aestdt, w.aetoxgr, w.lab.grade as lab_grade, w.lab.dt as lbdt, w.lab.amount as lbstresn, w.lab.unit as lbstresu,
    w.lab.criterion as criterion, case when c.grade is null then 'N' else 'Y' end as clinical_fl, w.delivery_id, w.source_file, w.source_row
from worst w
left join clinical c on c.aedecod = w.aedecod and c.grade = w.aetoxgr
