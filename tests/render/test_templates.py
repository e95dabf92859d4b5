"""Rendering: what a template may do, which names it reads, and what is said when it fails."""

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from notification_sender.model.errors import ConfigurationFault, RenderFault
from notification_sender.model.unit import WorkUnit
from notification_sender.render import MAX_BYTES, Renderer, markup
from notification_sender.render.allowed import ATTRIBUTES
from notification_sender.render.environment import TemplateEnvironment
from notification_sender.render.filters import FILTERS
from notification_sender.render.meter import MAX_BITS, MAX_STEPS, MAX_TEXT, MAX_WIDTH, SECONDS

CHANNELS = {"webhook": {"json": False}, "email": {"subject": False, "txt": False, "html": True}}
UNIT = WorkUnit(work_unit_id="w", organization_id="o", occurred_at=datetime(2026, 3, 6, tzinfo=UTC))
ONE = {"note": {"txt": False}}


def renderer(folder: Path, channels: Any = ONE, **files: str) -> Renderer:
    """Templates from the names and texts of a test: ``kind__note_txt`` is kind/note.txt.j2."""
    for name, text in files.items():
        path = folder / f"{name.replace('__', '/').replace('_', '.')}.j2"
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    return Renderer(folder=folder, channels=channels)


def say(folder: Path, text: str, **facts: Any) -> str:
    return renderer(folder, a__note_txt=text).render("a", "note", facts)["txt"]


# --- which names a template reads -----------------------------------------------------------------------------


def test_each_file_is_parsed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parsed: list[str | None] = []
    parse = TemplateEnvironment._parse

    def counted(environment: TemplateEnvironment, source: str, name: str | None, filename: str | None) -> Any:
        parsed.append(name)
        return parse(environment, source, name, filename)

    monkeypatch.setattr(TemplateEnvironment, "_parse", counted)
    renderer(
        tmp_path, a__note_txt="{% include 'row.j2' %}", b__note_txt="{% include '../a/row.j2' %}", a__row="{{ x }}"
    )
    assert sorted(map(str, parsed)) == ["a/note.txt.j2", "a/row.j2", "b/note.txt.j2"]


def test_names_are_found_in_all_files_that_a_template_refers_to(tmp_path: Path) -> None:
    made = renderer(
        tmp_path,
        a__note_txt="{% extends 'base.j2' %}{% block body %}{{ incident }}{% include '../b/row.j2' %}{% endblock %}",
        a__base="{% import 'macros.j2' as m %}{% block body %}{% endblock %}{{ m.say(organization) }}",
        a__macros="{% macro say(who) %}{{ who.name }}{{ range(3) | list }}{% endmacro %}{% from 'more.j2' import x %}",
        a__more="{% set x = address %}",
        b__row="{% for asset in assets %}{{ asset.name }}{{ zone_of }}{% endfor %}",
    )
    assert made.names("a", "note") == {"incident", "organization", "address", "assets", "zone_of"}


def test_a_version_changes_with_any_file_that_a_template_consists_of_and_with_no_other(tmp_path: Path) -> None:
    files = {"a__note_txt": "{% include '../b/row.j2' %}", "b__row": "{{ x }}", "b__note_txt": "other"}
    version = renderer(tmp_path, **files).version("a", "note")
    assert version == renderer(tmp_path, b__note_txt="changed").version("a", "note") != ""
    assert version != renderer(tmp_path, b__row="{{ x }}!").version("a", "note")
    assert renderer(tmp_path).version("a", "pager") == ""


@pytest.mark.parametrize(
    "text",
    [
        "{% set incident = incident %}",
        "{% if x %}{% set incident = 1 %}{% endif %}{{ incident }}",
        "{% for incident in incident %}{% endfor %}",
        "{% macro m(a=incident) %}{% endmacro %}{{ m() }}",
        "{{ [] | map(attribute=incident) }}",
        "{% with incident = incident %}{% endwith %}",
    ],
)
def test_a_name_that_is_also_set_is_still_read(tmp_path: Path, text: str) -> None:
    assert "incident" in renderer(tmp_path, a__note_txt=text).names("a", "note")


# --- what must be there ---------------------------------------------------------------------------------------

TWO = {"note": {"txt": False}, "page": {"html": True, "txt": False}}


def lacking(made: Renderer, kinds: list[str], channels: list[str]) -> list[str]:
    with pytest.raises(ConfigurationFault) as caught:
        made.check(kinds, channels)
    return str(caught.value).splitlines()


def test_a_kind_without_templates_is_a_fault_that_names_the_files_to_make(tmp_path: Path) -> None:
    made = renderer(tmp_path, TWO, a__note_txt="x", a__page_html="x")
    assert made.check(["a"], ["note", "page"]) == []
    for line, channel, file in zip(lacking(made, ["a", "b"], ["note", "page"]), TWO, ("txt", "html"), strict=True):
        assert line.startswith(f"{tmp_path}: kind 'b' has no template for {channel}: make b/{channel}.{file}.j2, or ")


def test_a_kind_that_lacks_one_channel_is_a_fault_where_that_channel_is_used(tmp_path: Path) -> None:
    made = renderer(tmp_path, TWO, a__note_txt="x")
    assert made.check(["a"], ["note"]) == []
    [line] = lacking(made, ["a"], ["note", "page"])
    assert line == (
        f"{tmp_path}: kind 'a' has no template for page: make a/page.html.j2, or an empty a/page.none to leave out page"
    )


def test_a_kind_may_be_left_out_for_a_channel_on_purpose(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "page.none").touch()
    made = renderer(tmp_path, TWO, a__note_txt="x")
    assert made.check(["a"], ["note", "page"]) == ["a/page"]
    assert made.check(["a"], ["note"]) == []
    assert [made.leaves_out("a", it) for it in TWO] == [False, True]
    assert "left out for page" in lacking(made, ["a"], ["page"])[0]


def test_a_none_file_beside_a_template_or_without_a_channel_is_a_fault(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    for name in ("note.none", "mail.none"):
        (tmp_path / "a" / name).touch()
    with pytest.raises(ConfigurationFault) as caught:
        renderer(tmp_path, TWO, a__note_txt="x")
    assert str(caught.value).splitlines() == [
        "a/mail.none: there is no channel 'mail', only note, page",
        "a/note.none leaves out note, and a template for note exists: remove one of them",
    ]


# --- faults ---------------------------------------------------------------------------------------------------


def test_one_error_names_all_faults_of_a_folder(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationFault) as caught:
        renderer(
            tmp_path,
            a__note_txt="one\n{% if %}",
            b__note_txt="{{ x | nonsense }}",
            c__note_txt="{% include 'gone.j2' %}",
            d__note_txt="{% include name %}",
        )
    lines = str(caught.value).splitlines()
    assert [line.split(":")[0] for line in lines] == [
        *("a/note.txt.j2 line 2", "b/note.txt.j2 line 1", "c/note.txt.j2", "d/note.txt.j2")
    ]
    assert "nonsense" in lines[1]
    assert "c/gone.j2" in lines[2]
    assert "computed name" in lines[3]


def test_a_folder_without_templates_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationFault, match="no templates"):
        Renderer(folder=tmp_path / "absent", channels=ONE)


def test_a_channel_needs_all_its_parts_or_none(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationFault, match=r"^a/email\.html\.j2 is missing: .*\na/email\.subject\.j2 is missing"):
        renderer(tmp_path, CHANNELS, a__email_txt="x", b__webhook_json="{}")


def test_a_missing_text_part_is_made_from_the_html(tmp_path: Path) -> None:
    page = "<STYLE>.x { display: none }</STYLE><p class=x>preview<p>{{ x }} <a href='https://e.com/{{ x }}'>more</a>"
    files = {"a__email_subject": "", "a__email_html": page, "b__email_subject": "", "b__email_html": page}
    made = renderer(tmp_path, CHANNELS, **files, b__email_txt="by hand: {{ x }}")
    assert made.render("a", "email", {"x": "<&>"})["txt"] == "<&> more (https://e.com/<&>)\n"
    assert made.render("b", "email", {"x": "<&>"})["txt"] == "by hand: <&>"
    assert made.names("a", "email") == {"x"}


def test_unescaped_text_does_not_enter_html(tmp_path: Path) -> None:
    files = {
        "a__email_subject": "",
        "a__email_txt": "",
        "a__email_html": "{% from 'words.j2' import say %}{{ say(x) }}",
    }
    with pytest.raises(ConfigurationFault, match=r"a/email\.html\.j2: one of it and a/words\.j2 is HTML"):
        renderer(tmp_path, CHANNELS, a__words="{% macro say(x) %}{{ x }}{% endmacro %}", **files)


def test_a_file_included_by_html_is_escaped(tmp_path: Path) -> None:
    files = {"a__email_subject": "{{ x }}", "a__email_txt": "", "a__email_html": "{% include 'row.html.j2' %}{{ x }}"}
    made = renderer(tmp_path, CHANNELS, a__row_html="{{ x }}", **files)
    parts = made.render("a", "email", {"x": "<b>"})
    assert (parts["subject"], parts["html"]) == ("<b>", "&lt;b&gt;&lt;b&gt;")


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("\n{{ incidnet }}", r"a/note\.txt\.j2 line 2: 'incidnet' is undefined"),
        ("\n\n{{ incident.stauts }}", r"a/note\.txt\.j2 line 3: .*'stauts'"),
        ("{{ incidnet | at('status') }}", "'incidnet' is undefined"),
        ("{{ incidnet | pick('status') }}", "'incidnet' is undefined"),
        ("{{ incidnet | picks('status') }}", "'incidnet' is undefined"),
        ("{{ incidnet | tojson }}", "'incidnet' is undefined"),
        ("{{ 1 / 0 }}", "line 1: division by zero"),
        ("{% include 'b.j2' %}", r"a/b\.j2 line 2: 'deep' is undefined"),
        ("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}", "recursion"),
    ],
)
def test_a_fault_names_file_line_and_variable(tmp_path: Path, text: str, fault: str) -> None:
    made = renderer(tmp_path, a__note_txt=text, a__b="\n{{ deep }}")
    with pytest.raises(RenderFault, match=fault):
        made.render("a", "note", {"incident": {}, "deep": None} if "b.j2" not in text else {})


def test_an_unknown_template_is_named(tmp_path: Path) -> None:
    made = renderer(tmp_path, intel__note_txt="")
    for asked in (lambda: made.render("intle", "note", {}), lambda: made.names("intle", "note")):
        with pytest.raises(RenderFault, match=r"no template 'intle' for note in .* \(there are: intel\)"):
            asked()


@pytest.mark.parametrize(
    "text",
    [
        *("", "{", "[1]", '"x"', "null", '{"a": NaN}', '{"a": 1,}', "{'a': 1}", r'{"a": "\ud83d"}', '{"a": Infinity}'),
        *("[" * 5000, '{"a": {{ x }}}', '{"a": "{{ x }}"}', '{"a": 1} {"b": 2}', "{{ x }}"),
    ],
)
def test_a_webhook_part_that_is_no_json_object_is_refused(tmp_path: Path, text: str) -> None:
    made = renderer(tmp_path, {"hook": {"json": False}}, a__hook_json=text)
    with pytest.raises(RenderFault, match=r"a/hook\.json\.j2: (not JSON|a JSON object)"):
        made.render("a", "hook", {"x": 'say "x"\\', "unit": UNIT, "timestamp": "t"})


def test_the_payload_keeps_the_bytes_of_the_template(tmp_path: Path) -> None:
    made = renderer(tmp_path, {"hook": {"json": False}}, a__hook_json='{"a": {{ x }}, "b": "\\u00e4"}')
    text = made.render("a", "hook", {"x": "12345678901234567890123", "unit": UNIT, "timestamp": 't"'})["json"]
    written = '{"a": 12345678901234567890123, "b": "\\u00e4"}'
    assert text == f'{{"type":"incident.updated","timestamp":"t\\"","data":{written}}}'


def test_json_has_no_nan(tmp_path: Path) -> None:
    assert say(tmp_path, "{{ [x, -x] | tojson }}", x=float("nan")) == "[null,null]"


# --- what a template may not do ---------------------------------------------------------------------------------

ESCAPES = [
    "{{ ''.__class__.__mro__ }}",
    "{{ x.__class__ }}",
    "{{ x['__class__'] }}",
    "{{ x | attr('__class__') }}",
    "{{ '{0.__class__}'.format(x) }}",
    "{{ '{0.__class__}'.format_map({'0': x}) }}",
    "{{ ('{0.__class__}' | attr('format'))(x) }}",
    "{{ self.__init__.__globals__ }}",
    "{{ cycler.__init__.__globals__ }}",
    "{{ range.__globals__ }}",
    "{{ joiner.__init__ }}",
    "{{ namespace.__init__.__builtins__ }}",
    "{{ d.update({'a': 2}) }}",
    "{{ d.clear() }}",
    "{{ d.pop('a') }}",
    "{{ l.append(1) }}",
    "{{ l.sort() }}",
    "{% do l.append(1) %}",
    "{{ lipsum() }}",
    "{{ l | random }}",
    "{{ t.now() }}",
    "{{ t.utcnow() }}",
    "{{ t.today() }}",
    "{{ unit.occurred_at.now() }}",
    "{{ unit.__dict__ }}",
    "{{ unit.__pydantic_fields__ }}",
    "{{ range(1000000) | list }}",
    "{{ open('/etc/passwd') }}",
    "{{ import os }}",
    "{% include '/etc/passwd' %}",
    "{% include '../../../etc/passwd' %}",
    "{{ loop }}",
    "{% for a in range(99999) %}{{ 'x' * 100 }}{% endfor %}",
    "{{ 'x' * 2000000 }}",
]


@pytest.mark.parametrize("text", ESCAPES)
def test_a_template_cannot_reach_the_interpreter(tmp_path: Path, text: str) -> None:
    facts = {"x": "x", "d": {"a": 1}, "l": [1], "t": UNIT.occurred_at, "unit": UNIT}
    with pytest.raises((RenderFault, ConfigurationFault)):
        say(tmp_path, text, **facts)
    assert (facts["d"], facts["l"]) == ({"a": 1}, [1])


def test_the_parts_together_have_a_limit(tmp_path: Path) -> None:
    made = renderer(tmp_path, {"note": {"txt": False, "more": False}}, a__note_txt="{{ x }}", a__note_more="{{ x }}")
    half = "ä" * (MAX_BYTES // 4)
    assert made.render("a", "note", {"x": half})["txt"] == half
    with pytest.raises(RenderFault, match="at most"):
        made.render("a", "note", {"x": half + "ä"})


def test_a_lone_surrogate_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RenderFault, match="surrogate"):
        say(tmp_path, "{{ x }}", x="\ud83d")


def test_the_page_about_templates_lists_the_allowlist_and_the_bounds() -> None:
    page = (Path(__file__).parents[2] / "docs" / "reference" / "templates.md").read_text()
    words = set(re.findall(r"\w+", page))
    named = set().union(*(ATTRIBUTES[kind] for kind in (str, dict, list, datetime)))
    assert {name for name in named if not name.startswith("is")} <= words
    assert set(FILTERS) <= words
    limits = (MAX_STEPS, MAX_TEXT, MAX_BITS, MAX_WIDTH, markup.MAX_OPEN, markup.MAX_ELEMENTS, markup.LONGEST_TAG)
    for limit in (*(f"{it:,}" for it in limits), f"{SECONDS:g} s"):
        assert limit in page


@pytest.mark.parametrize(
    "text", ["{{ {}|tojson }} x", "{{ {}|tojson }}{{ {}|tojson }}", "{{ [1]|tojson }}", "{{ ({}|tojson)[:1] }}"]
)
def test_a_part_that_is_more_or_less_than_the_object_tojson_wrote_is_refused(tmp_path: Path, text: str) -> None:
    made = renderer(tmp_path, {"hook": {"json": False}}, a__hook_json=text)
    with pytest.raises(RenderFault, match=r"a/hook\.json\.j2: (not JSON|a JSON object)"):
        made.render("a", "hook", {"unit": UNIT, "timestamp": "t"})


def test_the_object_of_an_earlier_notification_vouches_for_no_later_one(tmp_path: Path) -> None:
    made = renderer(tmp_path, {"hook": {"json": False}}, a__hook_json="{{ {}|tojson if whole else x }}")
    names = {"unit": UNIT, "timestamp": "t"}
    assert made.render("a", "hook", {"whole": True, "x": "", **names})
    with pytest.raises(RenderFault, match="not JSON"):
        made.render("a", "hook", {"whole": False, "x": "{", **names})
