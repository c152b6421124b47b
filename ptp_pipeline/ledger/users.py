"""People: their roles, passwords and tokens, and how they sign in.

Credentials are checked inside the database, by functions the app role can only call: signing in yields a proof that the
approval gate asks for, so knowing the app's database password is not being a supervisor. Passwords are stretched with
argon2id first (`passwords`); the database stores and compares the sha256 of the result and never shows it. Who may do what to
whom is decided there too.
"""

import datetime as dt
import hashlib
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field

from ptp_pipeline.domain.policy import is_mail_address
from ptp_pipeline.errors import Refused, UsageError
from ptp_pipeline.ledger import passwords
from ptp_pipeline.ledger.connection import Actor, Ledger, Transaction

ROLES = ("collector", "supervisor", "controller", "legal", "analyst", "admin")
SCOPES = ("read", "log", "approve", "manage")
MAX_TOKEN_DAYS = 366
_LONGEST_NAME = 128


@dataclass(frozen=True)
class SignedIn(Actor):
    """A person whose credential the database has checked. The proof is good for 12 hours at most and is never shown."""

    proof: str = field(repr=False, compare=False)


@dataclass(frozen=True)
class User:
    """A person of an org. `locked_until` is when another password or code is taken after too many wrong ones."""

    user_name: str
    role: str
    email: str
    is_active: bool
    added_by: str
    added_at: dt.datetime
    locked_until: dt.datetime | None


@dataclass(frozen=True)
class Token:
    """What is known of a token; its secret was shown once and is kept nowhere."""

    token_id: str
    user_name: str
    scopes: list[str]
    issued_by: str
    issued_at: dt.datetime
    expires_at: dt.datetime
    revoked_at: dt.datetime | None
    last_used_at: dt.datetime | None


def proof(tx: Transaction) -> str | None:
    """The proof of the transaction's actor; None when nobody has signed in."""
    return tx.actor.proof or None


def add_user(tx: Transaction, name: str, role: str, password: str | None, email: str = "") -> bool:
    """Add a person. Needs the operator (`ledger.operator`) or an admin who signed in; without a password they can only use tokens.

    Returns whether they can sign in at once: whom an admin makes an approver or an admin, somebody else must activate.
    """
    if not re.fullmatch(r"[a-z0-9][a-z0-9._@+-]{0,127}", name) or name in ("policy", "pipeline", "operator", "mailer", "unknown"):
        raise UsageError(f"{name!r} cannot be a user name.", "Use lower-case letters, digits and . _ @ + -.")
    parameters, verifier = ("", "") if password is None else _new_password(tx, name, password)
    row = tx.one(
        "select ptp.add_user(%s, %s, %s, %s, %s, %s) as at_once",
        [proof(tx), name, _known_role(role), _address(email), parameters, verifier],
    )
    return bool(row and row["at_once"])


def set_role(tx: Transaction, name: str, role: str, reason: str) -> bool:
    """Give a person another role, at once. Needs the operator or another person who is an admin; returns as `add_user` does."""
    row = tx.one("select ptp.set_role(%s, %s, %s, %s) as at_once", [proof(tx), name, _known_role(role), reason])
    return bool(row and row["at_once"])


def set_email(tx: Transaction, name: str, email: str) -> None:
    """Change a person's address. Needs the operator or an admin."""
    tx.execute("select ptp.set_email(%s, %s, %s)", [proof(tx), name, _address(email)])


def set_password(tx: Transaction, name: str, password: str) -> None:
    """Give a person a new password. Needs the operator, or the person signed in. Sign-ins made with the old one end."""
    parameters, verifier = _new_password(tx, name, password)
    tx.execute("select ptp.set_password(%s, %s, %s, %s)", [proof(tx), name, parameters, verifier])


def deactivate(tx: Transaction, name: str, reason: str) -> None:
    """Take effect at once: tokens, codes and open sign-ins of the person stop working."""
    tx.execute("select ptp.set_active(%s, %s, false, %s)", [proof(tx), name, reason])


def activate(tx: Transaction, name: str, reason: str) -> None:
    """Let a person in again. Not for the admin who gave them a role that approves or administers."""
    tx.execute("select ptp.set_active(%s, %s, true, %s)", [proof(tx), name, reason])


def unlock(tx: Transaction, name: str) -> None:
    """End the wait after wrong passwords and codes. Needs the operator or an admin."""
    tx.execute("select ptp.unlock(%s, %s)", [proof(tx), name])


def issue_token(tx: Transaction, name: str, days: int = 90, scopes: Sequence[str] | None = None) -> str:
    """A bearer token for a person, shown this once. Needs the operator, or the person signed in.

    It is good for all of the role (or of the token the person signed in with), or for less; everything may be read with it.
    """
    if not 1 <= days <= MAX_TOKEN_DAYS:
        raise UsageError(f"A token cannot be good for {days} days.", f"Use 1 to {MAX_TOKEN_DAYS}.")
    if scopes is not None and (unknown := sorted(set(scopes) - set(SCOPES))):
        raise UsageError(f"There is no scope {unknown[0]!r}.", f"Scopes: {', '.join(SCOPES)}.")
    token_id = secrets.token_hex(6)
    token = f"ptp_{token_id}_{secrets.token_hex(24)}"
    until = dt.datetime.now(dt.UTC) + dt.timedelta(days=days)
    tx.execute(
        "select ptp.add_token(%s, %s, %s, %s, %s, %s::text[])",
        [proof(tx), name, token_id, _sha256(token), until, None if scopes is None else list(scopes)],
    )
    return token


def list_tokens(tx: Transaction, name: str | None = None) -> list[Token]:
    """The org's tokens, or one person's, without their secrets."""
    rows = tx.all("select * from ptp.list_tokens() where %(name)s::text is null or user_name = %(name)s", {"name": name})
    return [Token(**row) for row in rows]


def revoke_tokens(tx: Transaction, name: str, token_ids: Sequence[str] | None, reason: str) -> int:
    """End tokens of a person (None: all) and the sign-ins made with them. Needs the operator, an admin, or the person signed in.

    Returns how many were still good.
    """
    ids = None if token_ids is None else list(token_ids)
    row = tx.one("select ptp.revoke_tokens(%s, %s, %s::text[], %s) as ended", [proof(tx), name, ids, reason])
    return int(row["ended"]) if row else 0


def authenticate_token(ledger: Ledger, org: str, token: str, origin: str) -> SignedIn:
    """The person a token belongs to. Raises Refused, without saying why, when it is not good in this org."""
    nobody = Actor(name="unknown", role="none", auth="token", origin=origin)
    with ledger.door(org, nobody) as tx:
        row = tx.one("select * from ptp.sign_in_with_token(%s)", [token])
    if row is None:
        raise Refused("This token is not valid here.", "Check --org, or get a new one: ptp user token USER --org ORG.")
    return SignedIn(row["user_name"], row["role"], "token", origin, row["proof"])


def check_password(ledger: Ledger, org: str, name: str, password: str, origin: str) -> SignedIn:
    """The person, if the password is right. An unknown name takes as long and reads the same as a wrong password.

    The guess is committed before it is checked, and after five wrong ones in a row others wait: a minute, then twice that, up to an hour.
    """
    name = name[:_LONGEST_NAME]
    nobody = Actor(name="unknown", role="none", auth="password", origin=origin)
    with ledger.door(org, nobody) as tx:
        asked = tx.one("select ptp.password_parameters(%s) as parameters", [name]) or {}
    parameters = asked["parameters"] or passwords.new_parameters()
    password = password[: 8 * passwords.MAX_LENGTH]
    stretched = passwords.stretch(password, parameters)
    with ledger.door(org, nobody) as tx:
        wait = tx.one("select ptp.present_password(%s, %s) as seconds", [name, stretched])
    if wait and wait["seconds"]:
        raise Refused(
            f"Too many wrong passwords for {name}.", f"Try again in {wait['seconds']} seconds, or ask an admin to unlock the account."
        )
    newer = None if passwords.are_current(parameters) else passwords.new_parameters()
    verifier = _sha256(passwords.stretch(password, newer)) if newer else None
    with ledger.door(org, nobody) as tx:
        row = tx.one("select * from ptp.sign_in_with_password(%s, %s, %s, %s)", [name, stretched, newer, verifier])
    if row is None:
        raise Refused("User name or password is wrong.", "Try again, or ask an admin or the operator for a new password.")
    return SignedIn(row["user_name"], row["role"], "password", origin, row["proof"])


def list_users(tx: Transaction) -> list[User]:
    """Everybody of the org, by name."""
    rows = tx.all(
        "select user_name, role, email, is_active, added_by, added_at, closed_until as locked_until"
        " from ptp.app_user left join ptp.locked_users() using (user_name) where org_id = ptp.current_org() order by user_name"
    )
    return [User(**row) for row in rows]


def admin_addresses(tx: Transaction) -> tuple[str, ...]:
    """Where the org's active admins get mail. Runs may ask for that, not for who is locked out."""
    rows = tx.all(
        "select distinct email from ptp.app_user"
        " where org_id = ptp.current_org() and role = 'admin' and is_active and email <> '' order by email"
    )
    return tuple(row["email"] for row in rows)


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _known_role(role: str) -> str:
    if role not in ROLES:
        raise UsageError(f"There is no role {role!r}.", f"Roles: {', '.join(ROLES)}.")
    return role


def _address(email: str) -> str:
    if email and not is_mail_address(email):
        raise UsageError(f"{email!r} is not a mail address.", "Write it as name@example.com.")
    return email


def _new_password(tx: Transaction, name: str, password: str) -> tuple[str, str]:
    passwords.check(password, name, tx.org)
    parameters = passwords.new_parameters()
    return parameters, _sha256(passwords.stretch(password, parameters))
