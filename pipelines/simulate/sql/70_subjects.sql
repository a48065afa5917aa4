-- one row per: patient
select onc_centre as centre, onc_no as subject_no, usubjid, sex, age as age_years, histology, ecog from world.patients
