"""All commands, put together."""

import typer

from flotilla.cli.approvals import app as approvals
from flotilla.cli.audit import app as audit
from flotilla.cli.grants import app as grants
from flotilla.cli.hosts import app as hosts
from flotilla.cli.keys import app as keys
from flotilla.cli.owner import CommandFailed, failed
from flotilla.cli.policy import app as policy
from flotilla.cli.secrets import app as secrets
from flotilla.cli.tokens import app as tokens

app = typer.Typer(
    name="flotilla",
    help="Look after a running fleet. Every command asks the hub, with the owner's token.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(approvals, name="approvals")
app.add_typer(audit, name="audit")
app.add_typer(grants, name="grants")
app.add_typer(hosts, name="hosts")
app.add_typer(keys, name="keys")
app.add_typer(tokens, name="tokens")
app.add_typer(policy, name="policy")
app.add_typer(secrets, name="secrets")


def main() -> None:
    """Run a command; exit code 0, 1 when the hub refused, 2 when the request made no sense."""
    try:
        app()
    except CommandFailed as error:
        raise SystemExit(failed(error).exit_code) from None
