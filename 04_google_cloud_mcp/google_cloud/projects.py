"""Where there is something to look at: listProjects, over one account or all of them."""

from datetime import datetime
from typing import Annotated, Any

from pydantic import Field

from flotilla import Context, Cursor, Limit, Model, Tool, reads
from flotilla.paging import DEFAULT_LIMIT
from google_cloud.cloud import AccountName, Cloud
from google_cloud.listing import Batch, Listing, listed
from google_cloud.settings import GoogleAccount


class ProjectItem(Model):
    """A project; `account` and `projectId` are what other tools take."""

    account: str
    project_id: str
    name: str
    number: str
    state: str
    labels: dict[str, str]
    parent: str
    created_at: datetime | None
    default: bool
    """It is the one of calls that name none."""


class ProjectListing(Listing[ProjectItem]):
    """Also the aliases of all accounts, as `account` takes them."""

    accounts: list[str] = Field(default_factory=list[str])


class Projects:
    """cloud.gcp.listProjects."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud

    def tools(self) -> tuple[Tool, ...]:
        return (
            reads(
                "cloud.gcp.listProjects",
                self.list_projects,
                title="List projects",
                open_world=True,
                untrusted=True,
            ),
        )

    async def list_projects(
        self,
        context: Context,
        account: AccountName = None,
        query: Annotated[
            str | None,
            Field(
                max_length=200,
                pattern=r"^[\w .:*-]+$",
                description="In Google's words: `displayName:web*`, `labels.env:prod`.",
            ),
        ] = None,
        limit: Limit = DEFAULT_LIMIT,
        cursor: Cursor = None,
    ) -> ProjectListing:
        """List the projects that an account may be used for, and the aliases of all accounts.

        One account at a time: the default one, or the one that `account` names.
        """
        aliases = [alias for alias, _ in self._cloud.accounts]
        alias, entry = self._cloud.accounts.chosen(account)
        wanted = " AND ".join(part for part in (query, _only(entry)) if part)

        async def fetch(token: str, size: int) -> Batch[ProjectItem]:
            return await self._cloud.signed_in(
                context.deadline,
                alias,
                entry,
                lambda google, s: page_of_projects(google, s, alias, entry, wanted, token, size),
                sdk="resourcemanager_v3",
            )

        found = await listed(f"projects:{alias}:{query}", fetch, limit=limit, cursor=cursor)
        return ProjectListing(
            items=found.items,
            returned=found.returned,
            next_cursor=found.next_cursor,
            truncated=found.truncated,
            accounts=aliases,
        )


def page_of_projects(
    google: Any,
    timeout_s: float,
    alias: str,
    entry: GoogleAccount,
    wanted: str,
    token: str,
    size: int,
) -> Batch[ProjectItem]:
    """One page of Resource Manager's, without what the account is not to be used for."""
    from google.cloud import resourcemanager_v3

    client = google.of(resourcemanager_v3.ProjectsClient)
    asked = resourcemanager_v3.SearchProjectsRequest(query=wanted, page_size=size, page_token=token)
    pages = client.search_projects(asked, retry=None, timeout=timeout_s).pages
    page: Any = next(iter(pages))
    default = entry.project or google.own_project
    items = [
        ProjectItem(
            account=alias,
            project_id=each.project_id,
            name=each.display_name,
            number=each.name.rsplit("/", 1)[-1],
            state=each.state.name,
            labels=dict(each.labels),
            parent=each.parent,
            created_at=each.create_time or None,
            default=each.project_id == default,
        )
        for each in page.projects
        if not entry.projects or each.project_id in entry.projects
    ]
    return Batch(items, page.next_page_token)


def _only(entry: GoogleAccount) -> str | None:
    """A query for the account's own list of projects, while it is short enough to be one."""
    if not entry.projects or len(entry.projects) > 20:
        return None
    return f"({' OR '.join(f'projectId:{name}' for name in entry.projects)})"
