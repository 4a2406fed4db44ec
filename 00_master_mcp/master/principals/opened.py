"""The principals of a hub, put together from its files, its database and its provider."""

from collections.abc import Iterable

from flotilla.database.database import Database
from master.principals.first import TokenBook
from master.principals.keys import Keys
from master.principals.known import Principals
from master.principals.people import OpenIdPeople
from master.principals.resource import Resource
from master.principals.seen import Seen
from master.principals.settings import OpenIdSettings
from master.principals.tokens import Tokens
from master.state.seam import News


def open_principals(
    book: TokenBook,
    database: Database,
    settings: OpenIdSettings,
    *,
    profiles: Iterable[str],
    public_url: str | None,
    port: int,
    news: News,
    shared: bool,
) -> tuple[Principals, Resource]:
    """All principals, and how the hub describes itself to who wants to become one."""
    resource = Resource(settings, profiles, public_url=public_url, port=port)
    people = None
    if settings.issuer is not None:
        keys = Keys(settings.issuer, settings.jwks_url)
        people = OpenIdPeople(settings, resource.audiences(), keys, Seen(database))
    principals = Principals(book, Tokens(database), people, news=news, shared=shared)
    return principals, resource
