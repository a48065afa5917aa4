-- one row per: patient and progression
select onc_centre as centre, onc_no as subject_no, usubjid, 1 as progression_no, oligo_progression as pddt, oligo_pattern as pattern
from world.patients
union all
select onc_centre, onc_no, usubjid, 2, second_progression, second_pattern
from world.patients where second_progression is not null
