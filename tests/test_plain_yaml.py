import pytest

from tools.plain_yaml import read


def test_blocks_lists_and_scalars_are_read_and_comments_are_not() -> None:
    text = """
    # a comment
    on:
      push: {}
    steps:
      - name: Python ${{ matrix.python }}
        uses: actions/checkout@11bd719 # v4
        with:
          depth: 1
      - run: .ci/run
    versions: ["3.11", "3.13"]
    networks: [inside, out-side]
    url: http://sandbox:9100/a#b
    volumes:
      - data:/data
    ok: true
    """
    assert read(text) == {
        "on": {"push": {}},
        "steps": [
            {"name": "Python ${{ matrix.python }}", "uses": "actions/checkout@11bd719", "with": {"depth": 1}},
            {"run": ".ci/run"},
        ],
        "versions": ["3.11", "3.13"],
        "networks": ["inside", "out-side"],
        "url": "http://sandbox:9100/a#b",
        "volumes": ["data:/data"],
        "ok": True,
    }


@pytest.mark.parametrize(
    "text",
    [
        "a: 1\na: 2",  # a key twice
        "a:",
        "a:\n  b: 1\n c: 2",
        "a: 1\n  b: 2",
        "a: 3.11",
        "a: on",
        "a: 12:30",
        "a: null",
        "a: *b",
        "a: &b c",
        "a: |\n  text",
        "a: 'text'",
        "a: b: c",
        "a: [b, 'c']",
        "a: {b: c}",
        "just words",
    ],
)
def test_what_another_reader_may_take_otherwise_is_an_error(text: str) -> None:
    with pytest.raises(ValueError, match="line "):
        read(text)
