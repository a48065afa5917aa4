-- one row per: laboratory value of a linked subject
-- unit: as sent (lbstresu), as CTCAE prints it (unit); CTCAE grade, 0 = no criterion is met
-- why: CTCAE criteria are data; a value is graded where the laboratory's limit of that direction is there
-- source: CTCAE v4.03, Investigations and Blood disorders; PROTOCOL, Toxicity
with unit as (
    select distinct unit from study.lab_unit
    union all
    select ''
),
criterion as (
    select
        c.lbtestcd, c.direction, u.unit, c.grade::integer as grade, c.reference, c.criterion,
        c.multiple::decimal(4, 1) as multiple, coalesce(c.absolute, '0')::decimal(9, 3) as absolute
    from study.ctcae_lab c
    join unit u on c.unit is null or c.unit = u.unit
    where coalesce(c.multiple, c.absolute) is not null
),
graded_test as (
    -- criteria that apply to a test in a unit, the worst first; and the bound that comes first where it is an absolute one
    select
        lbtestcd, unit,
        list(struct_pack(grade := grade, reference := reference, multiple := multiple, absolute := absolute, criterion := criterion) order by grade desc)
            filter (direction = 'low') as lows,
        list(struct_pack(grade := grade, reference := reference, multiple := multiple, absolute := absolute, criterion := criterion) order by grade desc)
            filter (direction = 'high') as highs,
        max(absolute) filter (direction = 'low' and reference is null) as first_low,
        min(absolute) filter (direction = 'high' and reference is null) as first_high
    from criterion group by lbtestcd, unit
),
baseline as (
    select
        l.usubjid, l.lbtestcd, max(l.lbdt) as lbdt, arg_max(l.lbstresn, l.lbdt) as base, arg_max(lower(coalesce(l.lbstresu, '')), l.lbdt) as unit_text
    from harmonised.labs l
    join assessed.subject_dates d on d.usubjid = l.usubjid and l.lbdt <= d.trtsdt
    -- of the tests that CTCAE compares with it
    where l.lbstresn is not null and l.lbtestcd in (select lbtestcd from study.ctcae_lab where reference like '%BASELINE')
    group by l.usubjid, l.lbtestcd
),
lab_value as (
    select
        l.*, u.unit, b.base, b.lbdt as base_dt, t.lows, t.highs, t.first_low, t.first_high
    from harmonised.labs l
    join assessed.subject_dates d using (usubjid)
    left join study.lab_unit u on u.code = lower(l.lbstresu)
    left join graded_test t on t.lbtestcd = l.lbtestcd and t.unit = coalesce(u.unit, '')
    left join baseline b on b.usubjid = l.usubjid and b.lbtestcd = l.lbtestcd and b.unit_text = lower(coalesce(l.lbstresu, ''))
),
graded as (
    -- the lists are walked through only for values beyond the first bound
    select
        *,
        case when lbstnrlo is not null and lbstresn < greatest(lbstnrlo, first_low) then list_filter(
            lows, lambda c: lbstresn < case c.reference when 'LLN' then c.multiple * lbstnrlo else c.absolute end
        )[1] end as low,
        case when lbstnrhi is not null and lbstresn > least(lbstnrhi, first_high, base) then list_filter(
            highs, lambda c: lbstresn > case c.reference
                when 'ULN' then c.multiple * lbstnrhi
                when 'BASELINE' then c.multiple * base
                when 'ULN/BASELINE' then c.multiple * greatest(lbstnrhi, base) + c.absolute
                else c.absolute
            end
        )[1] end as high
    from lab_value
)
select
    usubjid, lbtestcd, lbdt, lbstresn, lbstresu, unit, lbstnrlo, lbstnrhi, base, case when lbdt = base_dt then 'Y' end as ablfl,
    case when lows is not null and lbstnrlo is not null and lbstresn is not null then coalesce(low.grade, 0) end as grade_low,
    case when highs is not null and lbstnrhi is not null and lbstresn is not null then coalesce(high.grade, 0) end as grade_high,
    low.criterion as criterion_low, high.criterion as criterion_high, centre, source_file, source_row
from graded
