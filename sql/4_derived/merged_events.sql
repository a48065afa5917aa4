-- one row per: subject, term and onset that is one event with an earlier onset from another unit
-- why: both units follow the patient and date the same event differently; one unit's own episodes stay apart
-- source: PROTOCOL, Toxicity (the same event from two units is one; windows)
with shared as (
    -- only where two units report a term of a subject is there anything to match; other terms are any two things
    select usubjid, aedecod from harmonised.adverse_events
    where aedecod <> 'Other' and aestdt is not null
    group by usubjid, aedecod having min(centre) <> max(centre)
),
episode as (
    -- records of one day are one already
    select
        a.usubjid, a.aedecod, a.aestdt, list(distinct a.centre order by a.centre) as centres,
        case when bool_and(a.aeendt is not null) then max(a.aeendt) else 'infinity'::date end as last_dt,
        -- how many bounds of windows lie before it
        any_value(len([is_past for is_past in [
            a.aestdt >= d.rtstdt, a.aestdt > d.rtendt, a.aestdt > d.rtstdt + p.acute_days,
            a.aestdt > least(d.next_therapy_dt, d.seconddt + p.toxicity_tail_days)
        ] if is_past])) as window_no
    from harmonised.adverse_events a
    semi join shared s on s.usubjid = a.usubjid and s.aedecod = a.aedecod
    left join derived.adsl d on d.usubjid = a.usubjid
    cross join study.protocol p
    where a.aestdt is not null
    group by a.usubjid, a.aedecod, a.aestdt
),
neighbour as (
    -- close to the one before it: it begins within the tolerance, or overlaps and begins in the same windows (else what
    -- grew worse after radiotherapy would have been so before it); and other units sent it
    select
        e.*, e.aestdt - lag(e.aestdt) over following as gap_days,
        coalesce(
            not list_has_any(e.centres, lag(e.centres) over following)
            and (
                e.aestdt <= lag(e.last_dt) over following and e.window_no = lag(e.window_no) over following
                or e.aestdt - lag(e.aestdt) over following <= p.same_event_days
            ), false
        ) as is_close
    from episode e
    cross join study.protocol p
    window following as (partition by e.usubjid, e.aedecod order by e.aestdt)
),
chain as (
    -- broken where the next one, of the same unit as the one before, is closer still
    select
        *, is_close and not coalesce(
            lead(is_close) over following and lead(gap_days) over following < gap_days
            and list_has_any(lead(centres) over following, lag(centres) over following),
            false
        ) as is_linked
    from neighbour
    window following as (partition by usubjid, aedecod order by aestdt)
),
counted as (
    select *, count(*) filter (not is_linked) over (partition by usubjid, aedecod order by aestdt) as chain_no from chain
),
reported as (
    select *, row_number() over (partition by usubjid, aedecod, chain_no, centre order by aestdt) as centre_no
    from (select usubjid, aedecod, chain_no, aestdt, unnest(centres) as centre from counted)
),
numbered as (
    select usubjid, aedecod, chain_no, aestdt, max(centre_no) as centre_no from reported group by all
),
placed as (
    -- along a chain an event ends before the unit that reports again
    select *, max(centre_no) over (partition by usubjid, aedecod, chain_no order by aestdt) as event_no from numbered
),
begun as (
    select *, min(aestdt) over (partition by usubjid, aedecod, chain_no, event_no) as event_dt from placed
)
select usubjid, aedecod, aestdt, event_dt from begun
where aestdt > event_dt
