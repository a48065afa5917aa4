-- one row per: printed row of Table II
-- unit: %, Gy, fractions, day
-- why: the paper's rows; doses of the sites of patients with stereotactic technique, and of all treated sites, both labelled
-- source: Paper, Table II and Results; PROTOCOL, Radiotherapy
with eligible as (
    select * from derived.adsl where eligible_fl = 'Y'
),
total as (
    select count(*) as n from eligible
),
site as (
    select s.* from derived.subject_sites s join eligible e using (usubjid)
),
treated as (
    select t.*, e.stereotactic_fl as patient_stereotactic_fl, a.dose_group
    from derived.treated_sites t
    join eligible e using (usubjid)
    join study.anatomic_site a on a.code = t.anatomic_site
),
per_patient as (
    select 1 as section_no, 'Oligo-progression' as section, min(c.list_order) as row_order, 'oligo_pattern.' || c.code as row_key, c.label, count(*) as n
    from study.pattern c join eligible e on e.oligo_pattern = c.code group by c.code, c.label
    union all
    select 3, 'Irradiated sites per patient', n_treated_sites, 'treated_sites.' || n_treated_sites, n_treated_sites || ' site(s)', count(*)
    from eligible group by n_treated_sites
    union all
    select 2, 'Progressing sites', c.list_order, 'oligo.' || c.code, c.label, count(s.usubjid) filter (s.oligo_fl = 'Y')
    from study.anatomic_site c left join site s on s.anatomic_site = c.code group by c.code, c.label, c.list_order
    union all
    select 5, 'Technique', c.list_order, 'technique.' || c.code, c.label, count(e.usubjid)
    from study.technique c left join eligible e on e.technique = c.code group by c.code, c.label, c.list_order
    union all
    select 8, 'Response after radiotherapy, patients (worst site)', c.list_order, 'srt.' || c.code, c.label, count(e.usubjid)
    from study.response c left join eligible e on e.srt_response = c.code
    group by c.code, c.label, c.list_order having count(e.usubjid) > 0
    union all
    -- with those not placed yet and those without one, so that the rows add up
    select 10, 'Second progression', min(c.list_order), 'second_pattern.' || e.code,
        coalesce(any_value(c.label), case e.code when 'none' then 'None on record' else 'Not placed yet by the radiotherapy centre' end), count(*)
    from (select coalesce(second_pattern, case when seconddt is null then 'none' else 'unplaced' end) as code from eligible) e
    left join study.pattern c using (code) group by e.code
),
per_site as (
    select
        9 as section_no, 'Response after radiotherapy, sites: ' || a.label as section, a.list_order * 100 + c.list_order as row_order,
        'srt.' || a.code || '.' || c.code as row_key, c.label, count(*) as n,
        sum(count(*)) over (partition by a.code) as denominator
    from treated t
    join study.anatomic_site a on a.code = t.anatomic_site
    join study.response c on c.code = t.response
    group by a.code, a.label, a.list_order, c.code, c.label, c.list_order
),
dose as (
    select 6 as section_no, 'Dose, sites of patients with stereotactic technique, Gy' as section, min(a.list_order) as row_order,
        'dose.' || t.dose_group as row_key, string_agg(distinct a.label, ' and ' order by a.label) as label, count(*) as n,
        median(t.dose_gy) as value, min(t.dose_gy) as value_min, max(t.dose_gy) as value_max, any_value(p.decimals_dose) as decimals
    from treated t
    join study.anatomic_site a on a.code = t.anatomic_site
    cross join study.protocol p
    where t.patient_stereotactic_fl = 'Y'
    group by t.dose_group
    union all
    select 7, 'All irradiated sites', 1, 'dose', 'Dose, Gy', count(*), median(dose_gy), min(dose_gy), max(dose_gy), any_value(p.decimals_dose)
    from treated cross join study.protocol p
    union all
    select 7, 'All irradiated sites', 2, 'fractions', 'Fractions', count(*), median(n_fractions), min(n_fractions), max(n_fractions), 0 from treated
    union all
    select 4, 'Irradiated sites per patient', 0, 'treated_sites', 'Median (range)', count(*), median(n_treated_sites), min(n_treated_sites),
        max(n_treated_sites), 0 from eligible
)
select
    row_number() over (order by section_no, row_order, row_key) as row_no, section, row_key, label, u.n, u.denominator,
    case when u.value is null and u.denominator > 0 then 100.0 * u.n / u.denominator end as pct,
    u.value, u.value_min, u.value_max,
    case
        when u.value is not null then printf(
            '%.' || u.decimals || 'f (%.' || u.decimals || 'f-%.' || u.decimals || 'f)',
            round(u.value::double, u.decimals), round(u.value_min::double, u.decimals), round(u.value_max::double, u.decimals)
        )
        when u.denominator > 0
            then printf('%d (%.' || p.decimals_percent || 'f %%)', u.n, round(100 * u.n::double / u.denominator, p.decimals_percent))
        else printf('%d', u.n)
    end as value_text
from (
    select x.*, t.n as denominator from per_patient x cross join total t
    union all by name
    select * from per_site
    union all by name
    select *, n as denominator from dose where n > 0
) u
cross join study.protocol p
