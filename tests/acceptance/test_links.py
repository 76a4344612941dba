"""Links between the pages of the documentation lead somewhere."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")]
LINK = re.compile(r"\]\(([^)#\s]+)(#[^)]*)?\)")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_of_a_page_leads_to_a_file(page: Path) -> None:
    targets = {target for target, _ in LINK.findall(page.read_text(encoding="utf-8")) if "://" not in target}
    assert [target for target in targets if not (page.parent / target).exists()] == []


def test_the_index_names_every_page() -> None:
    docs = ROOT / "docs"
    named = {target for target, _ in LINK.findall((docs / "index.md").read_text(encoding="utf-8"))}
    assert named == {page.relative_to(docs).as_posix() for page in docs.glob("**/*.md")} - {"index.md"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_to_a_heading_finds_it(page: Path) -> None:
    linked = [(target, heading) for target, heading in LINK.findall(page.read_text(encoding="utf-8")) if heading]
    missing: list[str] = []
    for target, heading in linked:
        if "://" not in target:
            text = (page.parent / target).read_text(encoding="utf-8")
            titles = (re.sub(r"[^\w\- ]", "", title).lower() for title in re.findall(r"^#+ (.*)$", text, re.MULTILINE))
            missing += [] if heading[1:] in {title.replace(" ", "-") for title in titles} else [target + heading]
    assert missing == []


def test_every_threat_that_the_code_cites_is_on_the_page() -> None:
    page = set(re.findall(r"^### (T\d+) ", (ROOT / "docs" / "threats.md").read_text(encoding="utf-8"), re.MULTILINE))
    sources = [*ROOT.glob("mcp_hitl/**/*.py"), *ROOT.glob("tests/**/*.py")]
    cited = {f"T{number}" for source in sources for number in re.findall(r"\bT(\d+)\b", source.read_text("utf-8"))}
    assert cited and cited <= page
