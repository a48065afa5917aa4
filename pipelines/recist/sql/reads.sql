-- one row per: subject and independent reader; each is assessed by itself, as if it were a subject
select usubjid, eval, evalid, (row_number() over (order by usubjid, eval nulls first, evalid nulls first))::varchar as read_id
from (
    select usubjid, eval, evalid from raw.results where usubjid is not null
    union
    -- a TU that does not say which reader is nobody's alone
    select t.usubjid, t.eval, t.evalid from raw.tumours t
    cross join raw.given g
    where t.problem is null and g.tu_eval >= g.tr_eval and g.tu_evalid >= g.tr_evalid
)
