-- one row per: record of TU, with what is wrong with it
with text as (
    select
        source_row, nullif(trim(usubjid), '') as usubjid, nullif(trim(tulnkid), '') as lesion_id, upper(trim(tuorres)) as tuorres,
        nullif(upper(trim(tuloc)), '') as tuloc, nullif(trim(visitnum), '') as visit_text, try_cast(trim(visitnum) as decimal(12, 4)) as visit,
        nullif(trim(tudtc), '') as date_text, nullif(trim(tueval), '') as eval, nullif(trim(tuevalid), '') as evalid
    from raw.tu
)
select
    *, case when regexp_full_match(date_text, '\d{4}-\d{2}-\d{2}([T ].*)?') then try_cast(left(date_text, 10) as date) end as dt,
    case tuorres when 'TARGET' then 'target' when 'NON-TARGET' then 'non_target' when 'NEW' then 'new' end as lesion_role,
    case
        when usubjid is null then 'USUBJID is empty'
        when lesion_id is null then 'TULNKID is empty'
        when lesion_role is null then 'TUORRES: TARGET, NON-TARGET or NEW is expected'
        when visit_text is not null and visit is null then 'VISITNUM is not a number'
        when visit <> try_cast(visit_text as decimal(38, 18)) then 'VISITNUM: at most four decimals are expected'
        -- a partial date identifies a lesion all the same
        when dt is null and not regexp_full_match(date_text, '\d{4}(-\d{2}(-\d{2})?)?') then 'TUDTC is not an ISO 8601 date'
        when dt is null and length(date_text) = length('2014-03-02') then 'TUDTC is no day of the calendar'
        when count(*) filter (lesion_role is not null) over same_lesion > 1 and lesion_role <> first_value(lesion_role) over same_lesion
            then 'TUORRES differs from the first record of this lesion'
    end as problem
from text
window same_lesion as (
    partition by usubjid, eval, evalid, lesion_id order by visit nulls last, dt nulls last, tuorres
    rows between unbounded preceding and unbounded following
)
