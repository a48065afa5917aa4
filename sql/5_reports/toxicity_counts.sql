-- one row per: window and row of Table III; window and CTCAE term that occurs
-- why: patients by their worst grade, each patient once
-- source: PROTOCOL, Toxicity
with combination as (
    -- few of them, however many patients there are
    select term_level, term, whole, before, during, after, acute, new_or_worsened, count(*) as n
    from derived.worst_grades group by all
),
worst as (
    select * from combination unpivot (grade for analysis_window in (whole, before, during, after, acute, new_or_worsened))
),
counted as (
    select
        analysis_window, term_level, term, sum(n) as n_any,
        sum(n) filter (grade = '1') as n_grade1, sum(n) filter (grade = '2') as n_grade2, sum(n) filter (grade = '3') as n_grade3,
        sum(n) filter (grade = '4') as n_grade4, sum(n) filter (grade = '5') as n_grade5,
        sum(n) filter (grade = p.severe_grade_min || '-' || p.severe_grade_max) as n_range,
        sum(n) filter (grade = '(not known)') as n_not_known,
        sum(n) filter (grade between p.severe_grade_min::varchar and p.severe_grade_max::varchar) as n_grade34
    from worst
    cross join study.protocol p
    group by all
),
line as (
    select 'group' as term_level, code as term from study.toxicity_row
    union all
    select distinct term_level, term from combination where term_level = 'term'
),
eligible as (
    select count(*) as n, count(rtstdt) as n_irradiated from derived.adsl where eligible_fl = 'Y'
)
select
    w.code as analysis_window, l.term_level, l.term,
    coalesce(c.n_any, 0) as n_any, coalesce(c.n_grade1, 0) as n_grade1, coalesce(c.n_grade2, 0) as n_grade2, coalesce(c.n_grade3, 0) as n_grade3,
    coalesce(c.n_grade4, 0) as n_grade4, coalesce(c.n_grade5, 0) as n_grade5, coalesce(c.n_range, 0) as n_range,
    coalesce(c.n_not_known, 0) as n_not_known, coalesce(c.n_grade34, 0) as n_grade34,
    case when w.code = 'whole' then e.n else e.n_irradiated end as n_denominator
from study.toxicity_window w
cross join line l
cross join eligible e
left join counted c on c.analysis_window = w.code and c.term_level = l.term_level and c.term = l.term
