"""What a profile takes of the catalogue, and that it follows every change of it."""

import json
from typing import Any

import pytest

from flotilla import NotFound, Principal, meta
from master import rpc
from master.catalogue import Catalogue, Origin, View
from master.north.client import Client
from master.north.lists import listed
from master.north.sessions import Outbox
from master.offer import Offer
from master.profiles import CALL, DESCRIBE, FINDERS, SEARCH, Profile, Profiles

FILES = Origin(frozenset(["os.files"]))
READS = {"readOnlyHint": True}
WRITES = {"readOnlyHint": False}


def tool(name: str, annotations: dict[str, Any] = READS, **marks: Any) -> dict[str, Any]:
    return {"name": name, "annotations": annotations, "inputSchema": {}, "_meta": marks}


def offer(*tools: dict[str, Any], **lists: Any) -> Offer:
    return Offer({"tools": tools, **lists})


PROFILES = Profiles(
    {
        "files": Profile(include=("os.files.*",)),
        "reading": Profile(read_only=True),
        "vouched": Profile(read_only=True, include=("ext.notes.*", "ext.notes.look")),
        "notes": Profile(include=("ext.notes.*",)),
        "search": Profile(mode="search", pinned=("os.files.wipe",)),
        "dotted": Profile(naming="dotted", exclude=("os.*",)),
    }
)
NOTES = offer(
    tool("look"),
    tool("scribble", WRITES),
    tool("unmarked", {}),
    prompts=({"name": "remind"},),
    resources=({"uri": "memo://today"}, {"uri": "shared://one"}),
    resourceTemplates=({"uriTemplate": "memo://{day}"},),
)


@pytest.fixture
def catalogue() -> Catalogue:
    origins = {
        "master": Origin(frozenset(["master"])),
        "files": FILES,
        "cmdb": Origin(frozenset(["data.cmdb"])),
    }
    made = Catalogue(origins, PROFILES)
    made.offer("master", offer(tool("master.listServices"), *(tool(name) for name in FINDERS)))
    made.offer(
        "files",
        offer(
            tool("os.files.read"),
            tool("os.files.wipe", WRITES),
            resources=({"uri": "shared://one"},),
        ),
    )
    made.offer("cmdb", offer(tool("data.cmdb.getItem", READS, **{meta.NOT_CONFIGURED: "set it"})))
    made.add("notes", Origin(external=True))
    made.offer("notes", NOTES)
    return made


def names(catalogue: Catalogue, profile: str, kind: Any = "tools") -> list[str]:
    shown = catalogue.listing(View("dotted", profile=profile), kind)
    return [str(each.get("name") or each.get("uri") or each.get("uriTemplate")) for each in shown]


def test_the_default_lists_all_that_can_work_but_for_the_finders(catalogue: Catalogue) -> None:
    assert names(catalogue, "default") == [
        "master.listServices",
        "os.files.read",
        "os.files.wipe",
        "ext.notes.look",
        "ext.notes.scribble",
        "ext.notes.unmarked",
    ]
    for name in FINDERS:
        assert catalogue.find(name, View())


def test_a_profile_lists_and_finds_its_own_tools_alone(catalogue: Catalogue) -> None:
    view = View(profile="files")
    assert names(catalogue, "files") == ["os.files.read", "os.files.wipe"]
    assert catalogue.find("os_files_read", view).name == "os.files.read"
    for outside in ("master.listServices", "ext.notes.look", "ext_notes_look"):
        assert catalogue.known(outside, view) is None
        with pytest.raises(NotFound, match="in profile 'files'"):
            catalogue.find(outside, view)
    with pytest.raises(NotFound) as raised:
        catalogue.find("os_files_raed", view)
    assert raised.value.hint == "Did you mean os_files_read, os_files_wipe?"


def test_the_search_lists_three_and_the_pinned_and_calls_all(catalogue: Catalogue) -> None:
    assert names(catalogue, "search") == [SEARCH, DESCRIBE, CALL, "os.files.wipe"]
    view = View(profile="search")
    assert catalogue.find("os.files.read", view)
    assert catalogue.find("data.cmdb.getItem", view), "what lacks settings says so when called"
    with pytest.raises(NotFound) as raised:
        catalogue.find("something else entirely", view)
    assert raised.value.hint == "master_tools_search finds tools."


def test_an_operator_can_make_mcp_itself_search() -> None:
    profiles = Profiles({"default": Profile(mode="search", pinned=("os.files.read",))})
    made = Catalogue({"master": Origin(frozenset(["master"])), "files": FILES}, profiles)
    made.offer("master", offer(*(tool(name) for name in FINDERS)))
    made.offer("files", offer(tool("os.files.wipe"), tool("os.files.read")))
    listed = [each["name"] for each in made.listing(View())]
    assert listed[3:] == ["os_files_read"]
    assert len(listed) == len(FINDERS) + 1
    assert made.find("os_files_wipe", View())


def test_read_only_takes_a_strangers_word_only_where_the_file_names_the_tool(
    catalogue: Catalogue,
) -> None:
    assert names(catalogue, "reading") == ["master.listServices", "os.files.read"]
    assert names(catalogue, "vouched") == ["ext.notes.look"]


def test_prompts_and_resources_come_with_the_tools_of_their_service(catalogue: Catalogue) -> None:
    assert names(catalogue, "notes", "prompts") == ["ext.notes.remind"]
    assert names(catalogue, "notes", "resources") == ["memo://today", "shared://one"]
    assert names(catalogue, "notes", "resourceTemplates") == ["memo://{day}"]
    for kind in ("prompts", "resourceTemplates"):
        assert names(catalogue, "files", kind) == []
    view = View(profile="files")
    assert catalogue.find_uri("shared://one", view).service == "files"
    for uri in ("memo://today", "memo://tomorrow", "flotilla://servers/notes/memo://today"):
        with pytest.raises(NotFound):
            catalogue.find_uri(uri, view)
    with pytest.raises(NotFound):
        catalogue.find("ext.notes.remind", view, "prompts")
    notes = View(profile="notes")
    assert catalogue.find_uri("memo://tomorrow", notes).service == "notes"
    assert catalogue.find_uri("flotilla://servers/notes/memo://today", notes).given


def test_two_with_the_same_resource_are_told_apart_only_where_both_are_shown(
    catalogue: Catalogue,
) -> None:
    assert names(catalogue, "default", "resources") == [
        "shared://one",
        "memo://today",
        "flotilla://servers/notes/shared://one",
    ]
    assert catalogue.find_uri("shared://one", View(profile="notes")).service == "notes"


def test_a_server_without_tools_is_taken_by_its_namespace(catalogue: Catalogue) -> None:
    catalogue.offer("notes", Offer({"resources": ({"uri": "memo://today"},)}))
    assert names(catalogue, "notes", "resources") == ["memo://today"]
    assert names(catalogue, "default", "resources")[1] == "memo://today"
    assert names(catalogue, "files", "resources") == ["shared://one"]


def test_a_profile_follows_what_services_offer(catalogue: Catalogue) -> None:
    view = View(profile="files")
    catalogue.offer("files", offer(tool("os.files.read"), tool("os.files.copy")))
    assert names(catalogue, "files") == ["os.files.read", "os.files.copy"]
    assert catalogue.known("os.files.wipe", view) is None
    catalogue.mark_stale("files")
    assert meta.STALE in catalogue.listing(view)[0]["_meta"]
    catalogue.forget("files")
    assert names(catalogue, "files") == []
    catalogue.remove("notes")
    assert names(catalogue, "notes") == []


def test_tools_are_the_same_object_until_one_changes(catalogue: Catalogue) -> None:
    view = View(profile="files")
    before = catalogue.tools(view)
    assert [each.name for each in before] == [*FINDERS, "os.files.read", "os.files.wipe"]
    assert catalogue.tools(View("dotted", profile="files")) is before
    catalogue.offer("files", offer(tool("os.files.read"), tool("os.files.wipe", WRITES)))
    assert [each.name for each in catalogue.tools(view)][-1] == "os.files.wipe"
    changed = catalogue.tools(view)
    catalogue.mark_stale("files")
    assert catalogue.tools(view) is changed


def test_external_servers_stand_last_by_name_whenever_they_came(catalogue: Catalogue) -> None:
    for name in ("zeta", "alpha", "mid"):
        catalogue.add(name, Origin(external=True))
        catalogue.offer(name, offer(tool("do")))
    assert [name for name in names(catalogue, "default") if name.endswith(".do")] == [
        "ext.alpha.do",
        "ext.mid.do",
        "ext.zeta.do",
    ]
    assert list(catalogue) == ["master", "files", "cmdb", "alpha", "mid", "notes", "zeta"]
    assert catalogue.find("ext.notes.look", View()), "who came first keeps what it offers"


def test_one_service_alone_is_shown_whole_whatever_the_profiles_say(catalogue: Catalogue) -> None:
    shown = catalogue.listing(View("dotted", "master"))
    assert [each["name"] for each in shown] == ["master.listServices", *FINDERS]
    assert catalogue.listing(View("dotted", "notes"))[0]["name"] == "look"
    assert catalogue.find("look", View("dotted", "notes")).name == "ext.notes.look"


def test_a_client_that_looks_at_a_server_that_has_gone_is_told_so(catalogue: Catalogue) -> None:
    view = View("dotted", "notes")
    catalogue.remove("notes")
    assert catalogue.listing(view) == []
    assert catalogue.ttl_ms(view, 30_000) == 30_000
    with pytest.raises(NotFound):
        catalogue.find("look", view)


@pytest.mark.parametrize(
    ("profile", "service", "tools", "prompts"),
    [
        ("default", "files", True, True),
        ("default", "newcomer", True, True),
        ("files", "files", True, True),
        ("files", "notes", False, False),
        ("notes", "notes", True, True),
        ("notes", "gone", False, False),
        ("search", "files", True, True),
        ("search", "notes", False, True),
        ("dotted", "cmdb", True, True),
    ],
)
def test_only_who_may_see_a_change_is_told_of_it(
    catalogue: Catalogue, profile: str, service: str, tools: bool, prompts: bool
) -> None:
    view = View(profile=profile)
    found = catalogue.touched(view, service, ("tools", "prompts", "resourceTemplates"))
    others = ["prompts", "resources"] if prompts else []
    assert found == [*others, *(["tools"] if tools else [])]
    assert catalogue.sees(view, service) is prompts


@pytest.mark.parametrize(
    ("include", "space", "may"),
    [
        ("*", "ext.notes.", True),
        ("ext.*", "ext.notes.", True),
        ("ext.n*es.*", "ext.notes.", True),
        ("ext.notes.look", "ext.notes.", True),
        ("ext.note", "ext.notes.", False),
        ("ext.[mn]otes.*", "ext.notes.", True),
        ("os.*", "ext.notes.", False),
        ("ext.notesplus.*", "ext.notes.", False),
    ],
)
def test_whether_a_pattern_may_match_errs_on_that_side(include: str, space: str, may: bool) -> None:
    assert Profile(include=(include,)).may_take(space) is may


def client_of(profile: str) -> Client:
    return Client(
        principal=Principal("ann"),
        view=View(profile=profile),
        era="handshake",
        correlation_id="c",
        traceparent=None,
        capabilities={},
        info=None,
        log_level=None,
        teller=Outbox(),
    )


def page(catalogue: Catalogue, profile: str, **params: Any) -> dict[str, Any]:
    message = rpc.Message("tools/list", 1, params, {})
    return json.loads(listed(catalogue, message, client_of(profile), page=1))


def test_a_cursor_of_one_profile_is_none_of_another(catalogue: Catalogue) -> None:
    first = page(catalogue, "files")
    second = page(catalogue, "files", cursor=first["nextCursor"])
    assert [each["name"] for each in (*first["tools"], *second["tools"])] == [
        "os_files_read",
        "os_files_wipe",
    ]
    assert "nextCursor" not in second
    with pytest.raises(rpc.RpcError) as raised:
        page(catalogue, "default", cursor=first["nextCursor"])
    assert raised.value.code == rpc.INVALID_PARAMS
