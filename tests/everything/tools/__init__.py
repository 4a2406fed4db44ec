"""All tools, those of the conformance suite first: the first page of the list holds them all."""

from ..calls import Offer
from . import answering, asking, changing, content, ending, reporting, schemas, showing


def every_tool() -> dict[str, Offer]:
    """By name, in the order of the list."""
    families = (content, reporting, asking, changing, schemas, answering, showing, ending)
    suite = [offer for family in families for offer in getattr(family, "SUITE", ())]
    ours = [offer for family in families for offer in getattr(family, "OURS", ())]
    return {offer.tool.name: offer for offer in (*suite, *ours)}
