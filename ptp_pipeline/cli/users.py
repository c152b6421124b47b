"""`ptp user`: the people of an org, their passwords and tokens. Done by the operator of the installation."""

import sys
from typing import Annotated

import typer

from ptp_pipeline.cli import output
from ptp_pipeline.cli.frame import Json, Org, Reason, command, new_group, open_ledger, operator, require_org
from ptp_pipeline.errors import UsageError

UserName = Annotated[str, typer.Argument(metavar="USER")]
PasswordStdin = Annotated[bool, typer.Option("--password-stdin", help="Read the password from standard input instead of asking.")]


def register(app: typer.Typer) -> None:
    """Add this module's commands."""
    group = new_group("People of an org: roles, passwords, tokens.")
    command(group, "user add mia --org acme --role collector", "user add ada --org acme --role supervisor --password-stdin < secret.txt")(
        add
    )
    command(group, "user list --org acme", name="list")(list_all)
    command(group, "user password mia --org acme")(password)
    command(group, "user token mia --org acme", "user token mia --org acme --days 7")(token)
    command(group, "user deactivate mia --org acme --reason 'left the company'")(deactivate)
    app.add_typer(group, name="user")


def add(
    *,
    user: UserName,
    org: Org,
    role: Annotated[str, typer.Option(help="collector, supervisor, controller, legal, analyst or admin.")],
    email: Annotated[str, typer.Option(help="Where approval requests and alerts go.")] = "",
    password_stdin: PasswordStdin = False,
    as_json: Json = False,
) -> None:
    """Add a user with a role and a password."""
    from ptp_pipeline.ledger import users

    ledger = open_ledger()
    require_org(ledger, org)
    secret = _read_password(user, from_stdin=password_stdin)
    with ledger.operator(operator(), org) as tx:
        users.add_user(tx, user, role, secret, email)
    if as_json:
        output.print_json({"org": org, "user": user, "role": role})
    else:
        print(f"Added {user} as {role} of {org}.")


def list_all(*, org: Org, as_json: Json = False) -> None:
    """List the users of an org."""
    from ptp_pipeline.ledger import users

    ledger = open_ledger()
    require_org(ledger, org)
    with ledger.transaction(org, operator()) as tx:
        rows = users.list_users(tx)
    if as_json:
        output.print_json([{"user": r.user_name, "role": r.role, "email": r.email, "is_active": r.is_active} for r in rows])
    else:
        output.table(["user", "role", "email", "active"], [[r.user_name, r.role, r.email, r.is_active] for r in rows], "No users yet.")


def password(*, user: UserName, org: Org, password_stdin: PasswordStdin = False, as_json: Json = False) -> None:
    """Set a user's password."""
    from ptp_pipeline.ledger import users

    ledger = open_ledger()
    require_org(ledger, org)
    secret = _read_password(user, from_stdin=password_stdin)
    with ledger.operator(operator(), org) as tx:
        users.set_password(tx, user, secret)
    if as_json:
        output.print_json({"org": org, "user": user})
    else:
        print(f"The password of {user} is set.")


def token(
    *,
    user: UserName,
    org: Org,
    days: Annotated[int, typer.Option(min=1, max=366, help="How long it is valid.")] = 90,
    as_json: Json = False,
) -> None:
    """Print a bearer token for a user. It is shown this once; only its hash is kept."""
    from ptp_pipeline.ledger import users

    ledger = open_ledger()
    require_org(ledger, org)
    with ledger.operator(operator(), org) as tx:
        issued = users.issue_token(tx, user, days)
    if as_json:
        output.print_json({"org": org, "user": user, "token": issued, "days": days})
        return
    print(issued)
    print(f"Valid for {days} days, shown this once. Use it: export PTP_TOKEN=…", file=sys.stderr)


def deactivate(*, user: UserName, org: Org, reason: Reason, as_json: Json = False) -> None:
    """Lock a user out at once: password, tokens and approval codes stop working. What they did stays in their name."""
    from ptp_pipeline.ledger import users

    if not reason.strip():
        raise UsageError("This needs a reason.", "Add --reason.")
    ledger = open_ledger()
    require_org(ledger, org)
    with ledger.operator(operator(), org) as tx:
        users.deactivate(tx, user, reason)
    if as_json:
        output.print_json({"org": org, "user": user, "is_active": False})
    else:
        print(f"{user} is deactivated: password, tokens and codes no longer work.")


def _read_password(user: str, *, from_stdin: bool) -> str:
    if from_stdin:
        secret = sys.stdin.readline().rstrip("\r\n")
    elif sys.stdin.isatty():
        secret = typer.prompt(f"Password of {user}", hide_input=True, confirmation_prompt=True)
    else:
        raise UsageError("There is no terminal to ask for the password on.", "Add --password-stdin and pipe it in.")
    if not secret:
        raise UsageError("The password is empty.", "Give one of at least 10 characters.")
    return str(secret)
