"""One page of a list of Compute's that is not spread over zones: the request, and what is kept."""

from collections.abc import Callable
from typing import Any, TypeVar

from flotilla import Context, Model
from google_cloud.cloud import Aim, Cloud
from google_cloud.listing import Batch, Listing, listed

Item = TypeVar("Item", bound=Model)
Asked = tuple[str, str, dict[str, Any], str]
"""The SDK's client and request by name, the request's members, and the fields that are wanted."""
Shape = Callable[[Any], Item | None]
"""An item of Google's as ours; None for one that is not to be shown."""


async def compute_list(
    cloud: Cloud,
    context: Context,
    aim: Aim,
    kind: str,
    asked: Asked,
    shape: Shape[Item],
    *,
    limit: int,
    cursor: str | None,
) -> Listing[Item]:
    """A page of what `client.list` gives; `kind` is of this very question, for its cursor."""
    client_name, request_name, members, fields = asked

    def work(google: Any, timeout_s: float, token: str, size: int) -> Batch[Item]:
        from google.cloud import compute_v1

        from google_cloud.connections import FIELDS

        client = google.of(getattr(compute_v1, client_name))
        request = getattr(compute_v1, request_name)(**members, max_results=size, page_token=token)
        mask = [(FIELDS, f"items({fields}),nextPageToken")]
        pages = client.list(request, retry=None, timeout=timeout_s, metadata=mask).pages
        page: Any = next(iter(pages))
        shaped = (shape(each) for each in page.items)
        return Batch([each for each in shaped if each is not None], page.next_page_token)

    async def fetch(token: str, size: int) -> Batch[Item]:
        return await cloud.read(
            context.deadline, aim, lambda google, s: work(google, s, token, size)
        )

    return await listed(kind, fetch, limit=limit, cursor=cursor)
