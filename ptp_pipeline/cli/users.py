"""`ptp user`: the people of an org, their roles, passwords and tokens. Done by the operator, an admin with a token, or for oneself."""

import sys
from typing import Annotated

import typer

from ptp_pipeline.cli import output
from ptp_pipeline.cli.frame import Json, Org, Reason, Token, acting, command, launcher, new_group
from ptp_pipeline.errors import UsageError

UserName = Annotated[str, typer.Argument(metavar="USER")]
PasswordStdin = Annotated[bool, typer.Option("--password-stdin", help="Read the password from standard input instead of asking.")]
Role = Annotated[str, typer.Option(help="collector, supervisor, controller, legal, analyst or admin.")]
_AWAITS = "An admin made this account one that approves or administers: another admin or the operator must activate it."


def register(app: typer.Typer) -> None:
    """Add this module's commands."""
    group = new_group("People of an org: roles, passwords, tokens.")
    command(group, "user add mia --org acme --role collector", "user add ada --org acme --role supervisor --password-stdin < secret.txt")(
        add
    )
    command(group, "user list --org acme", name="list")(list_all)
    command(group, "user role mia supervisor --org acme --reason 'leads the team from June'")(role)
    command(group, "user email mia mia@acme.example --org acme")(email)
    command(group, "user password mia --org acme")(password)
    command(group, "user token mia --org acme", "user token mia --org acme --days 7 --scope read")(token)
    command(group, "user tokens --org acme", "user tokens mia --org acme --json")(tokens)
    command(
        group, "user revoke mia 3f9c21ab77d0 --org acme --reason 'laptop lost'", "user revoke mia --all --org acme --reason 'laptop lost'"
    )(revoke)
    command(group, "user deactivate mia --org acme --reason 'left the company'")(deactivate)
    command(group, "user activate mia --org acme --reason 'back from leave'")(activate)
    command(group, "user unlock mia --org acme")(unlock)
    app.add_typer(group, name="user")


def add(
    *,
    user: UserName,
    org: Org,
    role: Role,
    email: Annotated[str, typer.Option(help="Where approval requests and alerts go.")] = "",
    password_stdin: PasswordStdin = False,
    no_password: Annotated[bool, typer.Option("--no-password", help="Only tokens, until somebody sets a password.")] = False,
    token: Token = "",
    as_json: Json = False,
) -> None:
    """Add a user with a role and a first password, which they change when they use it."""
    from ptp_pipeline.ledger import users

    secret = None if no_password else _read_password(user, from_stdin=password_stdin)
    with acting(org, token) as tx:
        is_active = users.add_user(tx, user, role, secret, email)
    if as_json:
        output.print_json({"org": org, "user": user, "role": role, "is_active": is_active})
        return
    print(f"Added {user} as {role} of {org}.")
    _say_awaits(user, org, is_active=is_active)


def list_all(*, org: Org, token: Token = "", as_json: Json = False) -> None:
    """List the users of an org, and who must wait after wrong passwords."""
    from ptp_pipeline.ledger import users

    with acting(org, token) as tx:
        rows = users.list_users(tx)
    if as_json:
        output.print_json(
            [
                {"user": r.user_name, "role": r.role, "email": r.email, "is_active": r.is_active, "locked_until": r.locked_until}
                for r in rows
            ]
        )
        return
    output.table(
        ["user", "role", "email", "active", "locked until (UTC)"],
        [[r.user_name, r.role, r.email, r.is_active, r.locked_until] for r in rows],
        "No users yet.",
    )


def role(
    *,
    user: UserName,
    new_role: Annotated[str, typer.Argument(metavar="ROLE")],
    org: Org,
    reason: Reason,
    token: Token = "",
    as_json: Json = False,
) -> None:
    """Give a user another role, at once. Nobody changes their own."""
    from ptp_pipeline.ledger import users

    _require(reason)
    with acting(org, token) as tx:
        is_active = users.set_role(tx, user, new_role, reason)
    if as_json:
        output.print_json({"org": org, "user": user, "role": new_role, "is_active": is_active})
        return
    print(f"{user} is {new_role} of {org} from now on.")
    _say_awaits(user, org, is_active=is_active)


def email(
    *, user: UserName, address: Annotated[str, typer.Argument(metavar="ADDRESS")], org: Org, token: Token = "", as_json: Json = False
) -> None:
    """Change a user's mail address; an empty one takes it away."""
    from ptp_pipeline.ledger import users

    with acting(org, token) as tx:
        users.set_email(tx, user, address)
    if as_json:
        output.print_json({"org": org, "user": user, "email": address})
    else:
        print(f"Mail to {user} goes to {address}." if address else f"{user} has no mail address now.")


def password(*, user: UserName, org: Org, password_stdin: PasswordStdin = False, token: Token = "", as_json: Json = False) -> None:
    """Set a user's password: one's own with a token, anybody's as the operator."""
    from ptp_pipeline.ledger import users

    secret = _read_password(user, from_stdin=password_stdin)
    with acting(org, token) as tx:
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
    scope: Annotated[
        list[str] | None,
        typer.Option(
            metavar="SCOPE", show_default=False, help="read, log, approve or manage; several times for several. Default: all of the role."
        ),
    ] = None,
    token: Token = "",
    as_json: Json = False,
) -> None:
    """Print a bearer token, for oneself with a token or for anybody as the operator. It is shown this once; only its hash is kept."""
    from ptp_pipeline.ledger import users

    with acting(org, token) as tx:
        issued = users.issue_token(tx, user, days, scope or None)
        made = next(t for t in users.list_tokens(tx, user) if t.token_id == issued.split("_")[1])
    if as_json:
        output.print_json({"org": org, "user": user, "token": issued, "token_id": made.token_id, "scopes": made.scopes, "days": days})
        return
    print(issued)
    print(f"For {', '.join(made.scopes)}; valid for {days} days, shown this once. Use it: export PTP_TOKEN=…", file=sys.stderr)


def tokens(
    *,
    org: Org,
    user: Annotated[str, typer.Argument(metavar="[USER]", show_default=False)] = "",
    token: Token = "",
    as_json: Json = False,
) -> None:
    """List tokens: what each is good for, until when, and when it was last used. Their secrets are kept nowhere."""
    from ptp_pipeline.ledger import users

    with acting(org, token) as tx:
        rows = users.list_tokens(tx, user or None)
    if as_json:
        output.print_json([vars(row) for row in rows])
        return
    output.table(
        ["token", "user", "for", "issued by", "expires (UTC)", "last used", "revoked"],
        [
            [
                r.token_id,
                r.user_name,
                ", ".join(r.scopes),
                r.issued_by,
                r.expires_at,
                r.last_used_at,
                r.revoked_at,
            ]
            for r in rows
        ],
        "No tokens yet.",
    )


def revoke(
    *,
    user: UserName,
    org: Org,
    reason: Reason,
    ids: Annotated[
        list[str] | None, typer.Argument(metavar="[TOKEN…]", show_default=False, help="As `ptp user tokens` names them.")
    ] = None,
    all_tokens: Annotated[bool, typer.Option("--all", help="All tokens of the user.")] = False,
    token: Token = "",
    as_json: Json = False,
) -> None:
    """End tokens at once, and what was signed in with them."""
    from ptp_pipeline.ledger import users

    _require(reason)
    if bool(ids) == all_tokens:
        raise UsageError("Name the tokens, or give --all.", f"{launcher()} user tokens {user} --org {org} shows them.")
    with acting(org, token) as tx:
        ended = users.revoke_tokens(tx, user, ids or None, reason)
    if as_json:
        output.print_json({"org": org, "user": user, "revoked": ended})
    else:
        print(f"{ended} of {user}'s tokens ended." if ended else f"None of these tokens of {user} was good any more.")


def deactivate(*, user: UserName, org: Org, reason: Reason, token: Token = "", as_json: Json = False) -> None:
    """Lock a user out at once: password, tokens and approval codes stop working. What they did stays in their name."""
    from ptp_pipeline.ledger import users

    _require(reason)
    with acting(org, token) as tx:
        users.deactivate(tx, user, reason)
    if as_json:
        output.print_json({"org": org, "user": user, "is_active": False})
    else:
        print(f"{user} is deactivated: password, tokens and codes no longer work.")


def activate(*, user: UserName, org: Org, reason: Reason, token: Token = "", as_json: Json = False) -> None:
    """Let a user in again, or for the first time when an admin made them an approver or an admin: a second person does this."""
    from ptp_pipeline.ledger import users

    _require(reason)
    with acting(org, token) as tx:
        users.activate(tx, user, reason)
    if as_json:
        output.print_json({"org": org, "user": user, "is_active": True})
    else:
        print(f"{user} is active.")


def unlock(*, user: UserName, org: Org, token: Token = "", as_json: Json = False) -> None:
    """End a user's wait after too many wrong passwords or approval codes."""
    from ptp_pipeline.ledger import users

    with acting(org, token) as tx:
        users.unlock(tx, user)
    if as_json:
        output.print_json({"org": org, "user": user})
    else:
        print(f"{user} may try again.")


def _require(reason: str) -> None:
    if not reason.strip():
        raise UsageError("This needs a reason.", "Add --reason.")


def _say_awaits(user: str, org: str, *, is_active: bool) -> None:
    if not is_active:
        print(_AWAITS)
        print(f"  {launcher()} user activate {user} --org {org} --reason TEXT")


def _read_password(user: str, *, from_stdin: bool) -> str:
    if from_stdin:
        secret = sys.stdin.readline().rstrip("\r\n")
    elif sys.stdin.isatty():
        secret = typer.prompt(f"Password of {user}", hide_input=True, confirmation_prompt=True)
    else:
        raise UsageError("There is no terminal to ask for the password on.", "Add --password-stdin and pipe it in.")
    if not secret:
        raise UsageError("The password is empty.", "Give one of at least 12 characters.")
    return str(secret)
