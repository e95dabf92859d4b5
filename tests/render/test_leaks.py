"""What is said of a template that fails: where, and names; no word of what it was given, whatever it does."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from notification_sender.model.errors import RenderFault
from notification_sender.model.unit import WorkUnit
from tests.render.test_templates import CHANNELS, renderer

FAILING = [
    "{{ nowhere }}",
    "{{ record.nowhere }}",
    "{{ record[word] }}",
    "{{ record[word].further }}",
    "{{ record | attr(word) }}",
    "{{ record[(word, word)] }}",
    "{{ {}[word] ~ '' }}",
    "{{ word.nowhere }}",
    "{{ word['nowhere'] }}",
    "{{ word[word] }}",
    "{{ word() }}",
    "{{ record() }}",
    "{{ record.get(word)() }}",
    "{{ word + 1 }}",
    "{{ 1 + word }}",
    "{{ word - 1 }}",
    "{{ word * word }}",
    "{{ word / 2 }}",
    "{{ word // 0 }}",
    "{{ 1 // 0 }}",
    "{{ number % 0 }}",
    "{{ word % 1 }}",
    "{{ word % (1, 2) }}",
    "{{ '%d' % word }}",
    "{{ '%d' | format(word) }}",
    "{{ '%(x)s' | format(y=word) }}",
    "{{ word | format(word) }}",
    "{{ -word }}",
    "{{ word < 1 }}",
    "{{ [word, 1] | sort }}",
    "{{ [word, 1] | max }}",
    "{{ [record, record] | sort }}",
    "{{ [word] | sum }}",
    "{{ word | round }}",
    "{{ word | abs }}",
    "{{ word | filesizeformat }}",
    "{{ word | batch('x') | list }}",
    "{{ word | batch(word) | list }}",
    "{{ word | dictsort }}",
    "{{ record | dictsort(by=word) }}",
    "{{ record | items | map(word) | list }}",
    "{{ [word] | map(word) | list }}",
    "{{ [word] | select(word) | list }}",
    "{{ [word] | selectattr('x', word) | list }}",
    "{{ [word] | map(attribute=word) | list }}",
    "{{ [record] | groupby(word) }}",
    "{{ [record] | sum(attribute=word) }}",
    "{{ [record] | join(attribute=word, d=1) }}",
    "{{ {word: 1} | xmlattr }}",
    "{{ {(word ~ ' '): 1} | xmlattr }}",
    "{{ word | truncate(1, leeway=word) }}",
    "{{ word | center(word) }}",
    "{{ word | indent(none) }}",
    "{{ word | replace(1) }}",
    "{{ word | wordwrap(0) }}",
    "{{ word | int(base=99) + none }}",
    "{{ word.split('') }}",
    "{{ word.index('nowhere') }}",
    "{{ word.join(1) }}",
    "{{ [1].index(word) }}",
    "{{ moment.strftime(1) }}",
    "{{ moment - word }}",
    "{{ moment < word }}",
    "{{ range(word) }}",
    "{{ range(0, 1, 0) }}",
    "{{ dict(word) }}",
    "{{ dict([word]) }}",
    "{{ [word] | tojson | tojson ~ none.x }}",
    "{{ {1: 2, moment: range} | tojson }}",
    "{{ unit | tojson(word) }}",
    "{{ cycler() }}",
    "{{ {[word]: 1} }}",
    "{% for a, b in [word] %}{% endfor %}",
    "{% for a in number %}{% endfor %}",
    "{% set a, b, c = word, 1 %}{{ c }}",
    "{% set ns = namespace() %}{{ ns[word] }}",
    "{% macro m(a) %}{{ a.x.y }}{% endmacro %}{{ m(record) }}",
    "{% macro m(a) %}{% endmacro %}{{ m(word, word) }}",
    "{% macro m(a) %}{% endmacro %}{{ m(**record) }}",
    "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
    "{% if word is divisibleby(word) %}{% endif %}",
    "{% if word in number %}{% endif %}",
    "{% if word is sameas %}{% endif %}",
    "{{ word if false }}{{ (word if false).x }}",
    "{{ loop.index }}",
    "{{ unit.parse_raw(word) }}",
    "{{ unit[word] }}",
    "{{ (word * 1000) * 1000000 }}",
    "{{ word | pprint }}",
    "{{ word.format }}",
    "{{ word.encode() }}",
    "{{ record.items }}",
    "{{ word | line | in_zone }}",
    "{{ at() }}",
    "{{ word | pick(1, 2) | tojson }}{{ none.x }}",
    "{{ record | picks(1) }}{{ none.x }}",
    '{"a": "{{ word }}',
    '{"a": {{ word }}}',
    "{{ word }}",
    '["{{ word }}"]',
    '{"a": "\\q{{ word }}"}',
    '"{{ word }}"',
]


def fault_text(folder: Path, text: str, channel: str, facts: dict[str, Any]) -> str:
    """What the fault says, nothing where it rendered."""
    files = {"a__webhook_json": text, "a__email_html": text, "a__email_subject": "", "a__email_txt": ""}
    try:
        renderer(folder, CHANNELS, **files).render("a", channel, facts)
    except RenderFault as fault:
        return str(fault)
    return ""


def facts(word: str) -> dict[str, Any]:
    return {
        "word": word,
        "record": {"id": 1, word: word, "nested": {word: [word]}},
        "number": 4_713_271_947,
        "moment": datetime(2026, 3, 6, tzinfo=UTC),
        "unit": WorkUnit(work_unit_id="w", organization_id="o", incident_id=word, event=word),
        "timestamp": word,
    }


@pytest.mark.parametrize("channel", ["webhook", "email"])
@pytest.mark.parametrize("text", FAILING)
def test_an_error_repeats_no_value_of_the_context(tmp_path: Path, text: str, channel: str) -> None:
    said = fault_text(tmp_path, text, channel, facts("canary4711 'quoted' <b>"))
    assert "canary" not in said
    assert "4713271947" not in said
    assert "2026" not in said
    assert said.startswith("a/") == bool(said)


WORDS = st.text(alphabet="abcXYZ09'\"{}<>%\\ \n.:_-é", min_size=12, max_size=40)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(FAILING), WORDS, st.sampled_from(["webhook", "email"]))
def test_no_error_contains_a_value(tmp_path: Path, text: str, word: str, channel: str) -> None:
    said = fault_text(tmp_path, text, channel, facts(f"c4n4ry{word}"))
    assert "c4n4ry" not in said
    assert word not in said.replace(text, "")


def test_an_error_names_file_line_type_and_names_of_the_template(tmp_path: Path) -> None:
    assert fault_text(tmp_path, "\n{{ record.nowhere }}", "webhook", facts("x" * 20)) == (
        "a/webhook.json.j2 line 2: a dict has no 'nowhere'"
    )
    assert fault_text(tmp_path, "{{ [1] | map('nonesuch') | list }}", "webhook", facts("x")) == (
        "a/webhook.json.j2 line 1: TemplateRuntimeError (nonesuch)"
    )
    assert fault_text(tmp_path, "{{ 'x' + 1 }}", "webhook", facts("x")) == "a/webhook.json.j2 line 1: TypeError"
