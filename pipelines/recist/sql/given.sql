-- one row: which file says who read, by kind and by name; a column without a word in it says nothing
select
    (select count(nullif(trim(tueval), '')) > 0 from raw.tu) as tu_eval, (select count(nullif(trim(tuevalid), '')) > 0 from raw.tu) as tu_evalid,
    (select count(nullif(trim(treval), '')) > 0 from raw.tr) as tr_eval, (select count(nullif(trim(trevalid), '')) > 0 from raw.tr) as tr_evalid
