-- one row per: linked subject and irradiated target
-- unit: Gy; BED and EQD2 always with their alpha/beta
-- why: delivered and planned dose stand side by side; "BED above 100 Gy in all cases" is a computed column, not a rule
-- source: PROTOCOL, Radiotherapy: BED = sum d(1 + d/(a/b)), EQD2 = BED / (1 + 2/(a/b))
with target as (
    select
        t.usubjid, s.siteid, t.centre as rtsiteid, t.target_id, t.course_id, t.anatomic_site,
        coalesce(t.technique, c.technique) as technique,
        c.planned_dose_gy, c.planned_fractions, c.dose_gy, c.n_fractions, c.rtstdt, c.rtendt,
        c.dose_gy + c.sum_square_gy2 / p.alpha_beta_tumour_gy as bed10_gy,
        c.dose_gy + c.sum_square_gy2 / p.alpha_beta_late_gy as bed3_gy,
        c.dose_gy + c.sum_square_gy2 / p.alpha_beta_rcc_gy as bed2_6_gy,
        p.alpha_beta_tumour_gy, p.alpha_beta_late_gy, p.alpha_beta_rcc_gy, p.eqd2_fraction_gy
    from harmonised.targets t
    join harmonised.subjects s using (usubjid)
    join assessed.delivered_courses c on c.usubjid = t.usubjid and c.centre = t.centre and c.course_id = t.course_id
    cross join study.protocol p
    where c.n_fractions > 0 and s.link_state = 'linked'
)
select
    t.usubjid, t.siteid, t.rtsiteid, t.target_id, t.course_id, t.anatomic_site, t.technique, q.stereotactic_fl,
    t.planned_dose_gy, t.planned_fractions, t.dose_gy, t.n_fractions, t.rtstdt, t.rtendt,
    t.bed10_gy, t.bed3_gy, t.bed2_6_gy,
    t.bed10_gy / (1 + t.eqd2_fraction_gy / t.alpha_beta_tumour_gy) as eqd2_10_gy,
    t.bed3_gy / (1 + t.eqd2_fraction_gy / t.alpha_beta_late_gy) as eqd2_3_gy,
    t.bed2_6_gy / (1 + t.eqd2_fraction_gy / t.alpha_beta_rcc_gy) as eqd2_2_6_gy,
    r.restagingdt, r.response, r.finding, r.method, r.reason
from target t
left join study.technique q on q.code = t.technique
left join assessed.srt_responses r on r.usubjid = t.usubjid and r.target_id = t.target_id
