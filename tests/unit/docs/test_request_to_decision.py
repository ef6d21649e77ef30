"""``docs/request-to-decision.md`` and the README point at files that are there."""

import re

import pytest

from tests.unit.docs.tables import ROOT, rows, text_of

_PAGE = "docs/request-to-decision.md"
_PACKAGE = ROOT / "shared" / "kheops"
_PAGES = ["README.md", "CHANGELOG.md", *sorted(str(page.relative_to(ROOT)) for page in ROOT.glob("docs/**/*.md"))]


def test_every_concept_has_files_that_are_there() -> None:
    listed = {name for row in rows(_PAGE, "Concepts and files") for name in re.findall(r"[\w/]+\.\w+", row[1])}
    assert sorted(name for name in listed if not (_PACKAGE / name).is_file()) == []


def test_concepts_are_listed_once() -> None:
    concepts = [row[0] for row in rows(_PAGE, "Concepts and files")]
    assert len(concepts) == len(set(concepts))


def test_every_package_has_a_concept() -> None:
    packages = {page.parent.relative_to(_PACKAGE) for page in _PACKAGE.rglob("*.py") if page.name != "__init__.py"}
    listed = "".join(row[1] for row in rows(_PAGE, "Concepts and files"))
    missing = [str(each) for each in packages if each.name not in {"", "migrations"} and f"{each}/" not in listed]
    assert missing == []


def test_every_folder_of_the_map_is_there() -> None:
    folders = [row[0] for row in rows("README.md", "A map of the tree")]
    assert [folder for folder in folders if not (ROOT / folder).is_dir()] == []
    packages = {f"shared/kheops/{each.name}/" for each in _PACKAGE.iterdir() if (each / "__init__.py").is_file()}
    assert packages <= set(folders)


@pytest.mark.parametrize("page", _PAGES)
def test_links_between_pages_lead_somewhere(page: str) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", text_of(page)):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, fragment = target.partition("#")
        file = (ROOT / page).parent / path if path else ROOT / page
        assert file.exists(), f"{page} points at {target}"
        if fragment:
            assert fragment in _anchors(file.read_text("utf-8")), f"{page} points at {target}"


def _anchors(text: str) -> set[str]:
    """Return the fragments of a page's headings, as GitHub makes them."""
    titles = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}
