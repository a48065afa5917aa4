-- one row per: patient and operation before pazopanib
select onc_centre as centre, onc_no as subject_no, usubjid, 'nephrectomy' as prtrt, 'kidney' as anatomic_site
from world.patients where nephrectomy = 1
union all
select onc_centre, onc_no, usubjid, 'metastasectomy', 'lung' from world.patients where metastasectomy_lung = 1
