-- one row per: printed row of Table I
-- unit: %, year
-- why: the paper's rows, over the eligible subjects
-- source: Paper, Table I
with eligible as (
    select * from derived.adsl where eligible_fl = 'Y'
),
total as (
    select count(*) as n from eligible
),
counted as (
    select 1 as section_no, 'Patients' as section, 0 as row_order, 'subjects' as row_key, 'Enrolled' as label, count(*) as n from eligible
    union all
    select 3, 'Sex', row_number() over (order by c.label desc), 'sex.' || c.code, c.label, count(e.usubjid)
    from study.sex c left join eligible e on e.sex = c.code group by c.code, c.label
    union all
    select 4, 'Histology', min(c.list_order), 'histology.' || c.code, c.label, count(*)
    from study.histology c join eligible e on e.histology = c.code group by c.code, c.label
    union all
    select 5, 'ECOG performance status', ecog, 'ecog.' || ecog, 'ECOG ' || ecog, count(*) from eligible where ecog is not null group by ecog
    union all
    select 6, 'Surgery', 1, 'nephrectomy.Y', 'Previous nephrectomy', count(*) filter (nephrectomy_fl = 'Y') from eligible
    union all
    select 6, 'Surgery', 2, 'nephrectomy.N', 'No surgery of the primary', count(*) filter (nephrectomy_fl = 'N') from eligible
    union all
    select 6, 'Surgery', 3, 'metastasectomy_lung.Y', 'Surgery of lung metastases', count(*) filter (metastasectomy_lung_fl = 'Y') from eligible
    union all
    select 7, 'Earlier treatment', 1, 'prior_rt.N', 'No earlier radiotherapy', count(*) filter (prior_rt_fl = 'N') from eligible
    union all
    select 7, 'Earlier treatment', 2, 'prior_io.N', 'No earlier immunotherapy', count(*) filter (prior_io_fl = 'N') from eligible
    union all
    select 7, 'Earlier treatment', 3, 'first_line', 'First-line pazopanib', count(*) filter (trtsdt is not null) from eligible
    union all
    select 8, 'Sites of disease before pazopanib', c.list_order, 'baseline.' || c.code, c.label, count(s.usubjid)
    from study.anatomic_site c
    left join (select t.* from derived.subject_sites t join eligible e using (usubjid) where t.baseline_fl = 'Y') s on s.anatomic_site = c.code
    group by c.code, c.label, c.list_order
    union all
    select 9, 'Best response to pazopanib', min(c.list_order), 'bor.' || c.code, c.label, count(e.usubjid)
    from study.response c left join eligible e on e.bor = c.code
    group by c.code, c.label
    having (any_value(c.worst_order) is not null and c.code <> 'NON-CR/NON-PD') or count(e.usubjid) > 0
),
measured as (
    select
        2 as section_no, 'Age at pazopanib start, years' as section, 0 as row_order, 'age' as row_key, 'Median (range)' as label,
        count(age_years) as n, median(age_years) as value, min(age_years) as value_min, max(age_years) as value_max, 0 as decimals
    from eligible
)
select
    row_number() over (order by section_no, row_order, row_key) as row_no, section, row_key, label, u.n, t.n as denominator,
    case when u.value is null and t.n > 0 then 100.0 * u.n / t.n end as pct,
    u.value, u.value_min, u.value_max,
    case
        when u.value is not null then printf(
            '%.' || u.decimals || 'f (%.' || u.decimals || 'f-%.' || u.decimals || 'f)',
            round(u.value::double, u.decimals), round(u.value_min::double, u.decimals), round(u.value_max::double, u.decimals)
        )
        when t.n > 0
            then printf('%d (%.' || p.decimals_percent || 'f %%)', u.n, round(100 * u.n::double / t.n, p.decimals_percent))
        else printf('%d', u.n)
    end as value_text
from (
    select * from counted
    union all by name
    select * from measured
) u
cross join total t
cross join study.protocol p
