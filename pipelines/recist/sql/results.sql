-- one row per: record of TR, with what is wrong with it in itself
-- unit: mm
with text as (
    select
        source_row, nullif(trim(usubjid), '') as usubjid, nullif(trim(trlnkid), '') as lesion_id, upper(trim(trtestcd)) as testcd,
        nullif(trim(trstresn), '') as number_text, nullif(upper(trim(trstresc)), '') as result_text,
        nullif(trim(visitnum), '') as visit_text, try_cast(trim(visitnum) as decimal(12, 4)) as visit, nullif(trim(trdtc), '') as date_text,
        coalesce(upper(trim(trstat)) = 'NOT DONE', false) as is_not_done, nullif(trim(treval), '') as eval,
        nullif(trim(trevalid), '') as evalid
    from raw.tr
),
typed as (
    select
        t.*, s.lesion_state as state,
        -- through an exact number with more digits than a diameter has: no binary fraction is compared anywhere
        case
            when number_text is not null then try_cast(number_text as decimal(18, 9))
            when s.code is null then try_cast(result_text as decimal(18, 9))
        end as number,
        case when regexp_full_match(date_text, '\d{4}-\d{2}-\d{2}([T ].*)?') then try_cast(left(date_text, 10) as date) end as own_dt
    from text t
    left join study.sdtm_state s on s.code = t.result_text
)
select
    * exclude (visit), case when number >= 0 then try_cast(number as decimal(9, 3)) end as size_mm,
    -- a record without a visit number belongs to the visit of its date, one that says NOT DONE needs no date of its own
    coalesce(visit, max(visit) over (partition by usubjid, eval, evalid, own_dt)) as visit,
    coalesce(own_dt, min(own_dt) over (partition by usubjid, eval, evalid, visit)) as dt,
    case
        when usubjid is null then 'USUBJID is empty'
        when lesion_id is null then 'TRLNKID is empty'
        when testcd not in ('LDIAM', 'LPERP', 'TUMSTATE', 'LNSTATE') then 'TRTESTCD: only LDIAM, LPERP, TUMSTATE and LNSTATE are read'
        when testcd is null then 'TRTESTCD is empty'
        when visit_text is not null and typed.visit is null then 'VISITNUM is not a number'
        when typed.visit <> try_cast(visit_text as decimal(38, 18)) then 'VISITNUM: at most four decimals are expected'
        when own_dt is null and not (is_not_done and date_text is null) then 'TRDTC: a complete ISO 8601 date is expected'
        when is_not_done and (number_text is not null or state is not null) then 'TRSTAT is NOT DONE, and there is a result'
        when is_not_done then null
        when number_text is not null and number is null then 'TRSTRESN is not a number'
        when number < 0 then 'TRSTRESN: millimetres are expected, not negative'
        when number is not null and size_mm is null then 'TRSTRESN: millimetres are expected, and no lesion is that large'
        when number is null and state is null and result_text is null then 'neither TRSTRESN nor TRSTRESC holds a result'
        when number is null and state is null then 'TRSTRESC is no state that is read'
    end as problem
from typed
