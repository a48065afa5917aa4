-- one row per: event, as sent by one centre
-- unit: CTCAE grade
-- why: the same event may come from both units; derived.adae joins them
-- source: CDISC SDTM AE
select
    usubjid, aedecod, aetoxgr, aetoxgr_txt, aestdt, aeendt, aerel, aeout, centre, delivery_id, file_sha256,
    source_file, source_row
from staged.adverse_events
where usubjid is not null
