"""What there is to be found in the internet of the tests, the same for every engine."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Entry:
    title: str
    url: str
    text: str
    publisher: str = "Harbour Post"
    hours_old: int = 5


ENTRIES = (
    Entry(
        "Reefing a mainsail & why",
        "https://sailing.example.org/reefing?step=1&lang=en",
        "How to take in a reef before the wind makes you.",
    ),
    Entry(
        "Fleet <of> small boats",
        "https://boats.example.net/a%20b/50%25%3Fx",
        "Ten boats that two can sail.",
        hours_old=30,
    ),
    Entry(
        "Flottille – eine Übersicht",
        "https://example.de/%C3%BCbersicht#teil-2",
        "Was eine Flottille ist, und was nicht.",
        publisher="Küstenblatt",
    ),
)
NOTHING = "zzqx nothing at all"
"""Words to which no engine knows anything."""


def entries_for(words: str) -> tuple[Entry, ...]:
    return () if words == NOTHING else ENTRIES
