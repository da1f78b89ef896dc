"""The page as text: nothing in the data can become markup, a script or a request."""

import base64
import hashlib
import html
import json
import re
from html.parser import HTMLParser

import pytest

from gmner.reporting.html.page import PARTS, SCRIPTS, build_page, embedded_json
from tests.helpers.made_results import HOSTILE_TOKENS


class Elements(HTMLParser):
    """Collects elements and the text of scripts, as a browser would see them."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attributes)))
        if tag == "script":
            self.scripts.append("")

    def handle_data(self, data: str) -> None:
        if self.cdata_elem == "script":
            self.scripts[-1] += data


@pytest.mark.parametrize("text", [*HOSTILE_TOKENS, "\ud800", "a\udfffb", "<!--", "]]>", "\u2029"])
def test_embedded_json_is_json_and_cannot_end_its_block(text: str) -> None:
    found = embedded_json({"text": text, text: [text]})
    assert not set(found) & set("<>&\u2028\u2029") and not re.search("[\ud800-\udfff]", found)
    found.encode()
    assert json.loads(found)["text"] == re.sub("[\ud800-\udfff]", "\ufffd", text)


def test_the_policy_names_the_one_script_and_the_one_style() -> None:
    page, sizes = build_page("</title><script>", {"x": "</script>"}, ["data:image/webp;base64,AA=="])
    seen = Elements()
    seen.feed(page)
    assert [tag for tag, _ in seen.found].count("script") == 3
    policy = next(a["content"] for tag, a in seen.found if a.get("http-equiv") == "Content-Security-Policy")
    assert policy is not None and "unsafe" not in policy and "default-src 'none'" in policy
    for digest, text in zip(re.findall(r"'(sha256-[^']+)'", policy), [seen.scripts[2], _style(page)], strict=True):
        assert digest == "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    assert abs(sizes.page - len(page.encode())) < 4000


def _style(page: str) -> str:
    return page.split("<style>")[1].split("</style>")[0]


def test_the_page_asks_for_nothing_and_has_no_inline_handlers() -> None:
    page, _ = build_page("report", {}, [])
    seen = Elements()
    seen.feed(page)
    for tag, attributes in seen.found:
        assert not [name for name in attributes if name.startswith("on") or name in {"src", "style"}], (tag, attributes)
        assert tag not in {"link", "iframe", "object", "base"}
        assert (attributes.get("href") or "#").startswith("#")


def test_scripts_never_turn_text_into_markup_or_code() -> None:
    text = "\n".join((PARTS / name).read_text(encoding="utf-8") for name in SCRIPTS)
    for word in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "new Function", "fetch("):
        assert word not in text, word
    assert sorted(SCRIPTS) == sorted(path.name for path in PARTS.glob("*.js"))
    assert html.escape("'") != "'"
