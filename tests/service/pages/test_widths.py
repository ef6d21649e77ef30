"""How wide pages become in a real browser, whatever people have entered."""

import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.service.pages.site import Browser, Site

LONG = "W" * 300
MEASURE = "<script>document.title = document.documentElement.scrollWidth + ' of ' + innerWidth</script></body>"

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


def _width(page: Path, window: int) -> tuple[int, int]:
    assert CHROMIUM is not None
    command = [CHROMIUM, "--headless=new", "--no-sandbox", "--disable-gpu", f"--window-size={window},900"]
    command += [f"--user-data-dir={page.parent / 'profile'}", "--dump-dom", page.as_uri()]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    found = re.search(r"<title>([0-9]+) of ([0-9]+)</title>", done.stdout)
    assert found is not None, done.stdout[:500]
    return int(found[1]), int(found[2])


@pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium here to measure pages in")
def test_long_values_make_no_page_wider_than_its_window(site: Site, tmp_path: Path) -> None:
    alice = site.catalog.person("alice")
    album = site.catalog.album(admins=(alice,))
    site.catalog.series(
        alice,
        study="1.2.1",
        series="1.2.1.1",
        PatientName=LONG,
        PatientID=LONG,
        StudyDescription=LONG,
        StudyDate="20240131",
        Modality=LONG,
    )
    site.catalog.execute("UPDATE albums SET name = :long, description = :long WHERE kind = 'album'", long=LONG)
    site.catalog.execute("UPDATE users SET name = :long", long=LONG)

    async def use(new: Callable[[], Browser]) -> list[str]:
        browser = new()
        style = (await browser.get("/assets/kheops.css")).text
        site.fake.names = {"alice": LONG}
        await browser.log_in("alice")
        texts = [(await browser.get(path)).text for path in ("/studies", "/albums", f"/albums/{album.id}")]
        link = '<link rel="stylesheet" href="/assets/kheops.css">'
        assert all(link in text for text in texts)
        return [text.replace(link, f"<style>{style}</style>").replace("</body>", MEASURE) for text in texts]

    for number, text in enumerate(site.run(use)):
        page = tmp_path / f"{number}.html"
        page.write_text(text, "utf-8")
        for window in (1200, 500):
            width, inner = _width(page, window)
            assert width <= inner, (number, window)
