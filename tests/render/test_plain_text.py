"""The text made of an HTML part."""

import css_inline
import pytest
from hypothesis import given
from hypothesis import strategies as st

from notification_sender.render.plain_text import plain


@pytest.mark.parametrize(
    ("html", "text"),
    [
        ("", ""),
        ("one  line\n of   words", "one line of words\n"),
        ("<h1>Open: <b>ZH</b>-012</h1><p>a<p>b", "Open: ZH-012\n\na\n\nb\n"),
        ("<div>a</div><div>b</div>c<br>d<br><br><br>e", "a\nb\nc\nd\n\ne\n"),
        ("<table><tr><td>Since</td><td>09:26</td></tr><tr><th>At<td>HB</table>", "Since  09:26\nAt  HB\n"),
        ("a<ul><li>b<li><li><p>c</p></ul>d", "a\n\n- b\n-\n- c\n\nd\n"),
        ("<pre>\na  b\n\n   c</pre>d", "a  b\n\n   c\n\nd\n"),
        ("a<hr>b<img alt='map' src=x><img src=y>", "a\n\n---\n\nb map\n"),
        ("5 &lt; 6 &amp;&nbsp;7", "5 < 6 & 7\n"),
        ("see <a href='https://e.com/?a=1&amp;b=2'>this</a>.", "see this (https://e.com/?a=1&b=2).\n"),
        ("<a href='https://e.com'>https://e.com</a> <a href='mailto:a@e.com'>a@e.com</a>", "https://e.com a@e.com\n"),
        (
            "<a href='https://e.com'><img src=x></a><a href='#top'>up</a><a href='javascript:x'>x</a>",
            "https://e.comupx\n",
        ),
        ("<head><title>t</title></head><script>x</script><!-- y -->z", "z\n"),
        ("<p style='color:red; display : none'>a<br>b<p>c</p>d<span hidden>e<b>f</b></span>g", "c\n\ndg\n"),
    ],
)
def test_the_text_of_a_page_follows_its_layout(html: str, text: str) -> None:
    assert plain(css_inline.inline(html, load_remote_stylesheets=False)) == text


@given(st.lists(st.sampled_from(["<", ">", "<p>", "</p>", "<a href=", "'", '"', "&", "<!--", "-->", "x", " ", "</a>"])))
def test_any_html_gives_a_text(pieces: list[str]) -> None:
    plain("".join(pieces))
