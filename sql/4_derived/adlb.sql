-- one row per: laboratory value of an eligible subject
-- unit: as stated in avalu; CTCAE grade
-- why: the grade by CTCAE's criteria, apart from the grade that a centre reports, with the reason in words
-- source: CDISC ADaM ADLB; CTCAE v4.03; PROTOCOL, Toxicity
with term as (
    select
        t.code as lbtestcd, any_value(t.label) as label,
        max(c.aedecod) filter (c.direction = 'low') as low, max(c.aedecod) filter (c.direction = 'high') as high
    from study.lab_test t
    left join study.ctcae_lab c on c.lbtestcd = t.code
    group by t.code
)
select
    l.usubjid, l.lbtestcd as paramcd, t.label as param, l.lbdt as adt, l.lbstresn as aval, l.lbstresu as avalu, l.base, l.ablfl,
    l.lbstnrlo as anrlo, l.lbstnrhi as anrhi,
    case when l.lbstresn < l.lbstnrlo then 'LOW' when l.lbstresn > l.lbstnrhi then 'HIGH' when l.lbstresn is not null
            and l.lbstnrlo is not null and l.lbstnrhi is not null then 'NORMAL' end as anrind,
    t.low as atoxdscl, l.grade_low as atoxgrl, t.high as atoxdsch, l.grade_high as atoxgrh,
    case
        when l.grade_high > 0 or l.grade_low > 0 then concat(
            rtrim(rtrim(l.lbstresn::varchar, '0'), '.'), ' ', l.lbstresu, ' (limits ', rtrim(rtrim(l.lbstnrlo::varchar, '0'), '.'), '-', rtrim(rtrim(l.lbstnrhi::varchar, '0'), '.'),
            case when l.criterion_high like '%baseline' then concat(', baseline ', rtrim(rtrim(l.base::varchar, '0'), '.')) end,
            ') meets ', coalesce(l.criterion_high, l.criterion_low), ', grade ', coalesce(nullif(l.grade_high, 0), l.grade_low)
        )
        when t.low is null and t.high is null then 'not graded: CTCAE has no grade for this test'
        when l.lbstresn is null then 'not graded: no value'
        when l.grade_low = 0 or l.grade_high = 0 then 'grade 0: no criterion is met'
        when (l.lbstnrlo is null or t.low is null) and (l.lbstnrhi is null or t.high is null) then 'not graded: the laboratory''s limit is missing'
        else 'not graded: the unit is missing, or CTCAE has no bound in it'
    end as atoxgr_reason
from assessed.lab_grades l
join derived.adsl s using (usubjid)
left join term t using (lbtestcd)
where s.eligible_fl = 'Y'
