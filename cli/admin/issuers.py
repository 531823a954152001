"""`strongroom issuer`."""

from cli.data import documents
from cli.output import as_json, line, table, told
from cli.session import session


def put(name: str, file: str, *, json: bool, profile: str | None) -> None:
    """Trust an issuer."""
    with session(profile) as client:
        made = client.admin.put_issuer(name, documents.read(file))
        if json:
            as_json(told(made))
        else:
            line(f"{made.name}: {made.trusted.issuer}")


def get(name: str, *, profile: str | None) -> None:
    """Print what an issuer is trusted for."""
    with session(profile) as client:
        as_json(told(client.admin.issuer(name).trusted))


def show_all(*, json: bool, profile: str | None) -> None:
    """List the issuers."""
    with session(profile) as client:
        found = list(client.admin.issuers())
        if json:
            for one in found:
                as_json(told(one))
        else:
            rows = (
                (one.name, one.trusted.issuer, " ".join(one.trusted.audiences), one.updated_at)
                for one in found
            )
            table(("ISSUER", "URL", "AUDIENCES", "UPDATED AT"), rows)


def ask(name: str, *, json: bool, profile: str | None) -> None:
    """Have an issuer asked for its keys."""
    with session(profile) as client:
        found = client.admin.ask_issuer(name)
        if json:
            as_json(told(found))
            return
        table(("KEY", "ALGORITHMS"), ((one.kid, " ".join(one.algorithms)) for one in found.keys))
        for kid in found.exposed:
            line(f"{kid}: its private half is published too, so it is not used")


def delete(name: str, *, json: bool, profile: str | None) -> None:
    """Trust an issuer no more."""
    with session(profile) as client:
        client.admin.delete_issuer(name)
        if json:
            as_json({"name": name, "deleted": True})
        else:
            line(f"{name}: deleted")
