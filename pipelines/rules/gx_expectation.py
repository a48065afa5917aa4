"""One rule as Great Expectations knows it: an Expectation whose rows were counted in DuckDB.

A copy of this file lies in `<home>/gx/plugins/restage_rules.py`, so that the folder opens without this repository:
nothing but Great Expectations is imported here.
"""

from typing import Any

from great_expectations.expectations.expectation import BatchExpectation, render_suite_parameter_string
from great_expectations.render import (
    LegacyDiagnosticRendererType,
    LegacyRendererType,
    RenderedStringTemplateContent,
    RenderedTableContent,
)
from great_expectations.render.renderer.renderer import renderer

WORST = ("error", "fail", "pass", "not_applicable")
LOOK = {  # word, colour and picture; the pictures come over the network, so the word says it all
    "pass": ("pass", "text-success", "fas fa-check-circle"),
    "fail": ("fail", "text-danger", "fas fa-times"),
    "not_applicable": ("nothing to check", "text-muted", "far fa-circle"),
    "error": ("could not run", "text-warning", "fas fa-exclamation-triangle"),
}


class RuleCouldNotRun(Exception):
    """DuckDB could not run the rule: nothing is known of its rows, which is not the same as a failure."""


class ExpectRuleToHold(BatchExpectation):
    """No row of the centre's delivery breaks the rule.

    The batch is one row per rule and centre: `rule_id, centre, delivery, checked, failed, status`. Great Expectations
    knows success only as yes or no; `result["details"]["status"]` says pass, fail or not_applicable (nothing was
    checked; no failure, and shown as what it is). A rule in error raises, and its `exception_info` says so.
    """

    rule_id: str
    success_keys = ("rule_id",)
    domain_keys = ("batch_id",)
    metric_dependencies = ()

    def _validate(
        self, metrics: dict[str, Any], runtime_configuration: Any = None, execution_engine: Any = None
    ) -> dict[str, Any]:
        frame = execution_engine.get_domain_records({})
        rows = frame[frame.rule_id == self.rule_id].to_dict("records")
        status = min((row["status"] for row in rows), key=WORST.index, default="error")
        if status == "error":
            where = ", ".join(row["centre"] for row in rows if row["status"] == "error")
            raise RuleCouldNotRun(f"{self.rule_id} could not run ({where or 'it was not counted'}); see the run's log")
        checked, failed = (sum(int(row[word]) for row in rows) for word in ("checked", "failed"))
        by_centre = {r["centre"]: {k: r[k] for k in ("delivery", "checked", "failed", "status")} for r in rows}
        result = {
            "element_count": checked,
            "unexpected_count": failed,
            "details": {"status": status, "by_centre": by_centre},
        }
        share = {"unexpected_percent": 100 * failed / checked} if checked else {}
        return {"success": status != "fail", "result": result | share}

    @classmethod
    @renderer(renderer_type=LegacyRendererType.PRESCRIPTIVE)
    @render_suite_parameter_string
    def _prescriptive_renderer(
        cls, configuration: Any = None, result: Any = None, runtime_configuration: Any = None
    ) -> list[RenderedStringTemplateContent]:
        """The rule's own sentence."""
        config = configuration or result.expectation_config
        return [_text("$sentence", sentence=config.description or config.kwargs["rule_id"])]

    @classmethod
    @renderer(renderer_type=LegacyDiagnosticRendererType.STATUS_ICON)
    def _diagnostic_status_icon_renderer(
        cls, configuration: Any = None, result: Any = None, runtime_configuration: Any = None
    ) -> RenderedStringTemplateContent:
        """The status as a word: Great Expectations has pictures for two of the four."""
        word, colour, picture = LOOK[status_of(result)]
        icon = {"classes": [*picture.split(), colour, "mr-1"], "tag": "i"}
        return _text("$icon $word", {"icon": icon, "word": {"classes": [colour, "text-nowrap"]}}, icon="", word=word)

    @classmethod
    @renderer(renderer_type=LegacyDiagnosticRendererType.OBSERVED_VALUE)
    def _diagnostic_observed_value_renderer(
        cls, configuration: Any = None, result: Any = None, runtime_configuration: Any = None
    ) -> str:
        """Rows failed of rows checked, in words."""
        if status_of(result) in ("not_applicable", "error"):
            return "--"
        return f"{result.result['unexpected_count']:,} of {result.result['element_count']:,} rows fail"

    @classmethod
    @renderer(renderer_type=LegacyDiagnosticRendererType.UNEXPECTED_STATEMENT)
    def _diagnostic_unexpected_statement_renderer(
        cls, configuration: Any = None, result: Any = None, runtime_configuration: Any = None
    ) -> list[Any]:
        """Under the sentence: the rule's id, what it does and where; for a failing one also what to do."""
        config = result.expectation_config
        about = config.meta or {}
        words = " · ".join(filter(None, [config.kwargs["rule_id"], about.get("severity"), about.get("table")]))
        lines = [_text("$about", {"about": {"classes": ["text-muted", "small"], "tag": "div"}}, about=words)]
        what = {
            "fail": about.get("suggestion"),
            "error": "Nothing is known of its rows: the rule could not run. See the run's log.",
        }.get(status_of(result))
        return [*lines, _text("$what", {"what": {"classes": ["small"], "tag": "div"}}, what=what)] if what else lines

    @classmethod
    @renderer(renderer_type=LegacyDiagnosticRendererType.UNEXPECTED_TABLE)
    def _diagnostic_unexpected_table_renderer(
        cls, configuration: Any = None, result: Any = None, runtime_configuration: Any = None
    ) -> list[Any] | None:
        """One line a centre, where the batch holds more than one and something fails."""
        by_centre = (result.result or {}).get("details", {}).get("by_centre", {})
        if len(by_centre) < 2 or status_of(result) != "fail":
            return None
        return [
            RenderedTableContent(
                content_block_type="table",
                table=[[c, f"{v['failed']:,}", f"{v['checked']:,}", v["status"]] for c, v in by_centre.items()],
                header_row=["Centre", "Rows failed", "Rows checked", "Status"],
                styling={"body": {"classes": ["table-sm", "table-bordered", "mt-2", "mb-1"]}},
            )
        ]


def status_of(result: Any) -> str:
    """The status of one result; an exception counts as a plain failure in Great Expectations, so it is looked for
    first."""
    info = result.exception_info or {}
    raised = [info, *(part for part in info.values() if isinstance(part, dict))]
    if any(part.get("raised_exception") or part.get("exception_message") for part in raised):
        return "error"
    said = (result.result or {}).get("details", {})
    return str(said.get("status") or ("pass" if result.success else "fail"))


def _text(template: str, styling: dict[str, Any] | None = None, **params: str) -> RenderedStringTemplateContent:
    return RenderedStringTemplateContent(
        content_block_type="string_template",
        string_template={"template": template, "params": params, "styling": {"params": styling or {}}},
    )
