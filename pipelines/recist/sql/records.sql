-- one row per: record of TR, with its lesion and what is wrong with it in the end
with placed as (
    select
        t.* exclude (problem), r.read_id, l.node_fl, l.lesion_role,
        -- the axis that counts: the short one of a node, the long one of all else
        case when t.testcd = case l.node_fl when 'Y' then 'LPERP' else 'LDIAM' end then t.size_mm end as counted_mm,
        coalesce(
            t.problem,
            case
                when l.lesion_id is null then 'no record of the tumours file identifies this lesion'
                when t.visit is null then 'VISITNUM is empty, and no other record has this date'
                when t.dt is null then 'TRDTC is empty, and nothing else dates this visit'
            end
        ) as problem
    from raw.results t
    left join raw.reads r on r.usubjid = t.usubjid and r.eval is not distinct from t.eval and r.evalid is not distinct from t.evalid
    left join raw.lesions l on l.read_id = r.read_id and l.lesion_id = t.lesion_id
),
beside as (
    select
        *, max(counted_mm) filter (problem is null) over same_look as largest_mm,
        count(counted_mm) filter (problem is null) over same_look as n_counted
    from placed
    window same_look as (partition by read_id, lesion_id, visit)
)
select
    * exclude (problem),
    coalesce(problem, case
        when size_mm is not null and counted_mm is null and state is null and n_counted = 0 then case node_fl
            when 'Y' then 'a lymph node is measured by its short axis (LPERP)' else 'a lesion is measured by its long axis (LDIAM)'
        end
        when largest_mm > 0 and state = 'absent' and node_fl = 'N' then 'ABSENT, and there is a diameter at the same visit'
        when largest_mm = 0 and state not in ('absent', 'too_small') then 'the diameter is 0, and the lesion is said to be there'
    end) as problem
from beside
