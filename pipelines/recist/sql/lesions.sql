-- one row per: read and lesion
-- why: the first record of a lesion says what it is
select * exclude (list_order, eval, evalid) from raw.identified
qualify row_number() over (
    partition by read_id, lesion_id
    order by visit nulls last, dt nulls last, list_order nulls last, lesion_role, tuloc, eval, evalid, source_row
) = 1
