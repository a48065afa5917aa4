"""`restage send`: the reports that wait in the outboxes, by mail, encrypted."""

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipelines.cli.console import DEFAULT_HOME, HomeOption, JsonOption, alone, answering, home_of, progress
from pipelines.errors import UsageError
from pipelines.warehouse import Home

if TYPE_CHECKING:
    from pipelines.outbox.send import Post


def send(
    home: HomeOption = DEFAULT_HOME,
    centre: Annotated[str | None, typer.Option(help="Only this centre.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be sent, and send nothing.")] = False,
    again: Annotated[
        bool, typer.Option("--again", help="Also to who has it already, or may have it. Needs --centre.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Send each centre the newest report in its outbox, encrypted, to the people whom mail.yaml in the home names.

    Nothing is sent twice to the same address, and nothing at all without mail.yaml. What was sent to whom stands in
    sent.jsonl in the home. Exit 1 where a mail could not be sent; the others are sent all the same.

    Examples:
      restage send --dry-run
      restage send --centre ID --home /srv/study
    """
    with answering(as_json) as answer:
        _send(home_of(home), centre, dry_run, again, answer)


def _send(place: Home, centre: str | None, dry_run: bool, again: bool, answer: dict[str, Any]) -> None:
    from pipelines.centres import load_all
    from pipelines.orchestration.plan import CENTRES
    from pipelines.outbox import log, send, settings

    centres = load_all(CENTRES)
    if not place.reports.exists():
        raise UsageError(f"{place.root}: no reports here. Name the study's home with --home, or run the study first.")
    if centre is not None and centre not in centres:
        raise UsageError(f"{centre!r} is not a centre of this study: {', '.join(centres)}.")
    if again and centre is None:
        raise UsageError("--again needs --centre: say whom.")
    mail = settings.load(place, centres)
    if mail is None:
        raise UsageError(f"{place.root}: no mail.yaml here, so nothing is sent. See docs/how-to/sending-reports.md.")
    meant = {name: about for name, about in centres.items() if centre in (None, name)}
    if dry_run:
        with progress("Packing"):
            waiting = list(send.posts(place, mail, meant, log.read(place), again))
        answer["would_be_sent"] = [_row(post) for post in waiting]
        faults = [_show(post) for post in waiting]
    else:
        with alone(place), log.opened(place) as events:  # no run writes an outbox meanwhile
            done = []
            for told in send.send(mail, events, send.posts(place, mail, meant, events, again)):
                done.append(told)
                print(f"{told.centre}: {told.text}", flush=True)
        answer["sent"] = [asdict(told) for told in done]
        faults = [told.fault for told in done]
    if any(faults):
        raise typer.Exit(1)


def _row(post: "Post") -> dict[str, Any]:
    """What is shown of a post, without the packed report itself."""
    shown = ("centre", "to", "unsure", "attachment", "lock", "hindrance", "fault")
    return {key: getattr(post, key) for key in shown} | {
        "edition": post.folder.name if post.folder else None, "subject": post.said[0], "text": post.said[1],
        "bytes": len(post.content),
    }  # fmt: skip


def _show(post: "Post") -> bool:
    """What would be sent to one centre."""
    where = f" ({post.folder.name})" if post.folder else ""
    if post.unsure:
        print(f"{post.centre}: not known whether it reached {', '.join(post.unsure)}{where}")
    if post.hindrance:
        print(f"{post.centre}: {post.hindrance}{where}")
    elif post.to:
        subject, text = post.said
        print(f"{post.centre}: would be sent{where}")
        print(f"  To: {', '.join(post.to)}\n  Subject: {subject}")
        print(f"  Attachment: {post.attachment}, {len(post.content)} bytes, encrypted ({post.lock})")
        print("".join(f"  | {line}\n" for line in text.rstrip().splitlines()))
    elif not post.unsure:
        print(f"{post.centre}: has it already{where}")
    return post.fault or bool(post.unsure)
