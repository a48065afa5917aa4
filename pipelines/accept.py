"""The coordinating data manager accepts a value that its centre has confirmed."""

from contextlib import closing
from dataclasses import replace

from pipelines import warehouse
from pipelines.deliveries import acceptances, ledger
from pipelines.deliveries.acceptances import Acceptance
from pipelines.errors import UsageError
from pipelines.study import sql_literal as lit
from pipelines.warehouse import Home

LIFTS_NOTHING = ("stop", "exclude")
NOT_CONFIRMED = "it is {state}, and no reply `confirmed` of its centre stands for the value that we have now"
WHY_NOT = {
    "answered": "its centre replied `corrected`, and the correction comes with its next export",
    "unobtainable": "its centre replied `cannot_obtain`, so the value stays missing",
    "resolved": "it is resolved, so nothing is wrong any more",
    "cancelled": "it is cancelled, because the rule was withdrawn",
}


def accept(home: Home, query_id: str, by: str, reason: str) -> Acceptance:
    """Enter the decision in the audit trail, one line per query of the same root cause; returns that of `query_id`.

    Reads `validated.queries` (one row per query) and `validated.deliveries`; the next run gives the query its state.
    Raises `UsageError` for a query that nobody asked, that its centre did not answer with `confirmed`, or that decides
    eligibility: ECOG 2 confirmed is still ECOG 2. Source: QUALITY, Findings and the life of a query.
    """
    by, reason = by.strip(), reason.strip()
    if not by or not reason:
        raise UsageError("--by and --reason: who decides, and why, must be told in words.")
    with closing(warehouse.open_read(home)) as con:
        found = con.execute(f"""
            select centre, usubjid, severity, state, site_reply, value_hash, reply_delivery, accepted_by
            from validated.queries where query_id = {lit(query_id)}
        """).fetchall()
        last = con.execute("select max_by(delivery_id, (epoch, delivery_id)) from validated.deliveries").fetchall()[0][
            0
        ]
        alike = con.execute(f"""
            select o.query_id, o.usubjid, o.value_hash from validated.queries q
            join validated.queries o on o.cause_id = q.cause_id and o.query_id <> q.query_id
                and o.state = 'answered' and o.site_reply = 'confirmed'
            where q.query_id = {lit(query_id)} order by all
        """).fetchall()
    if not found:
        raise UsageError(f"{query_id}: no query has this number. Copy it from the centre's list.")
    centre, usubjid, severity, state, reply, value_hash, reply_delivery, accepted_by = found[0]
    if severity in LIFTS_NOTHING:
        raise UsageError(
            f"{query_id}: this rule decides who is in the analysis, and a confirmed value does not change that. "
            "Only another value, from the hospital's own system, can."
        )
    if state == "accepted":
        raise UsageError(f"{query_id}: {accepted_by} has accepted this value already.")
    if state != "answered" or reply != "confirmed":
        raise UsageError(f"{query_id} cannot be accepted: {WHY_NOT.get(state, NOT_CONFIRMED.format(state=state))}.")
    decided = Acceptance(query_id, centre, usubjid, value_hash, by, ledger.now(), reason, reply_delivery, last)
    for query, subject, value in [(query_id, usubjid, value_hash), *alike]:
        acceptances.append(home, replace(decided, query_id=query, usubjid=subject, value_hash=value))
    return decided
