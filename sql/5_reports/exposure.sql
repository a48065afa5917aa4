-- one row per: printed row on the study drug around radiotherapy
-- unit: %, day, mg/day
-- why: kept or interrupted, for how long and why, and at which dose it went on
-- source: Paper, Results (Safety); PROTOCOL, Toxicity
with eligible as (
    select s.trtsdt, s.trtedt, d.*,
        case
            when d.dose_after_mg = d.dose_before_mg then 'same_dose' when d.dose_after_mg < d.dose_before_mg then 'lower_dose'
            when d.dose_after_mg > d.dose_before_mg then 'higher_dose' when d.dose_before_mg is not null then 'no_dose'
        end as dose_change
    from derived.adsl s
    left join derived.drug_around_rt d using (usubjid)
    where s.eligible_fl = 'Y'
),
total as (
    select count(*) as n, count(*) filter (drug_state = 'interrupted') as n_interrupted from eligible
),
share as (
    select 1 as section_no, 'Pazopanib during radiotherapy' as section, c.list_order as row_order, 'drug.' || c.code as row_key, c.label,
        count(e.usubjid) as n, any_value(t.n) as denominator
    from study.drug_state c left join eligible e on e.drug_state = c.code cross join total t group by c.code, c.label, c.list_order
    union all
    select 3, 'Reason of the interruption', c.list_order, 'drug.reason.' || c.code, c.label, count(e.usubjid), any_value(t.n_interrupted)
    from study.dose_reason c left join eligible e on e.reason = c.code and e.drug_state = 'interrupted' cross join total t
    group by c.code, c.label, c.list_order
    union all
    select 5, 'Dose after radiotherapy against before', c.list_order, 'drug.' || c.code, c.label, count(e.usubjid), any_value(t.n)
    from study.dose_change c left join eligible e on e.dose_change = c.code cross join total t
    group by c.code, c.label, c.list_order
),
measured as (
    select 2 as section_no, 'Days without pazopanib' as section, 1 as row_order, 'drug.days_off' as row_key, 'Median (range)' as label,
        case when drug_state = 'interrupted' then days_off end as amount
    from eligible
    union all
    select 4, 'Daily dose, mg, median (range)', 1, 'drug.dose_before', 'Before radiotherapy', dose_before_mg from eligible
    union all
    select 4, 'Daily dose, mg, median (range)', 2, 'drug.dose_after', 'After radiotherapy', dose_after_mg from eligible
    union all
    select 6, 'Days from first to last dose', 1, 'drug.days_on', 'Median (range)', trtedt - trtsdt + 1 from eligible
),
spread as (
    select section_no, section, row_order, row_key, label, count(amount) as n, median(amount) as value, min(amount) as value_min, max(amount) as value_max
    from measured group by all
)
select
    row_number() over (order by section_no, row_order, row_key) as row_no, section, row_key, label, u.n, coalesce(u.denominator, t.n) as denominator,
    case when u.denominator > 0 then 100.0 * u.n / u.denominator end as pct,
    u.value, u.value_min, u.value_max,
    case
        when u.value is not null then printf('%.' || p.decimals_range || 'f (%.' || p.decimals_range || 'f-%.' || p.decimals_range || 'f), n = %d',
            round(u.value::double, p.decimals_range), round(u.value_min::double, p.decimals_range), round(u.value_max::double, p.decimals_range), u.n)
        when u.denominator > 0 then printf('%d (%.' || p.decimals_percent || 'f %%)', u.n, round(100 * u.n::double / u.denominator, p.decimals_percent))
        else printf('%d', u.n)
    end as value_text
from (
    select * from share
    union all by name
    select * from spread
) u
cross join total t
cross join study.protocol p
