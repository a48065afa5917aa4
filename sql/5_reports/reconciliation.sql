-- one row per: published fact
-- why: each printed figure beside the computed one; a misprint is computed, never typed
-- source: PROTOCOL, Reconciliation with the paper
with published as (
    select
        *, try_cast(value as double) as printed_value,
        -- compared at the precision that the paper prints
        case when contains(value, '.') then length(string_split(value, '.')[2])::integer else 0 end as decimals
    from study.published
),
compared as (
    select
        p.*, f.value as computed_value,
        case p.comparator
            when '>' then f.value > p.printed_value
            -- a millionth of the last printed place: what summing in floating point may leave
            else round(f.value + 1e-9, p.decimals) = p.printed_value
        end as agrees,
        exists(
            select 1 from published o
            where o.fact_id = p.consistent_with and (
                round(f.value + 1e-9, o.decimals) = o.printed_value
                or (p.measure = 'pct' and o.measure = 'n'
                    and round(f.value + 1e-9, 0) = round(100 * o.printed_value / try_cast(o.denominator as double) + 1e-9, 0))
            )
        ) as agrees_with_other
    from published p
    left join reports.facts f on f.row_key = p.row_key and f.measure = p.measure
),
judged as (
    select
        fact_id, any_value(kind) as kind, any_value(where_published) as where_published, any_value(statement) as statement,
        string_agg(concat_ws(' ', nullif(measure, ''), nullif(comparator, '='), value), ', ' order by list_order) as published,
        string_agg(measure || ' ' || printf('%g', round(computed_value, decimals + 2)), ', ' order by list_order)
            filter (computed_value is not null) as computed,
        case
            when count(computed_value) < count(*) then 'not_derivable'
            when bool_and(agrees) then 'match'
            when bool_and(agrees or agrees_with_other) then 'misprint'
            else 'differs'
        end as status,
        any_value(consistent_with) as consistent_with,
        string_agg(printf('%s: printed %s, computed %g', measure, value, round(computed_value, decimals + 2)), '; ' order by list_order)
            filter (not agrees) as disagreement,
        min(list_order) as list_order
    from compared
    group by fact_id
)
select
    j.fact_id, j.kind, j.where_published, j.statement, j.published, j.computed, j.status,
    case when j.status = 'misprint' then j.consistent_with end as consistent_with,
    case j.status
        when 'match' then 'printed and computed agree at the printed precision'
        when 'not_derivable' then 'no figure that an export could hold'
        when 'misprint' then j.disagreement || '; consistent with ' || j.consistent_with || ' (' || o.statement || ')'
        else j.disagreement
    end as arithmetic
from judged j
left join judged o on o.fact_id = j.consistent_with
order by j.list_order
