"""wsidicom, which reads whole-slide images tile by tile."""

import numpy as np
import pytest
from pydicom.uid import JPEGBaseline8Bit
from wsidicom import WsiDicom, WsiDicomWebClient
from wsidicom.errors import WsiDicomNotFoundError

from tests.system.clients import slide
from tests.system.clients.scene import Scene
from tests.system.clients.test_dicomweb_client import WAYS_IN, client_for

# The client itself leaves bulk data in metadata alone, and pydicom warns of each.
pytestmark = pytest.mark.filterwarnings("ignore:No bulk data URI handler:UserWarning")


@pytest.fixture(params=WAYS_IN)
def client(request: pytest.FixtureRequest, scene: Scene) -> WsiDicomWebClient:
    return WsiDicomWebClient(client_for(scene.credentials[request.param]))


def test_a_slide_is_opened_and_its_regions_are_the_picture(scene: Scene, client: WsiDicomWebClient) -> None:
    file = scene.slide[0]
    with WsiDicom.open_web(client, file.study, file.series) as opened:
        assert len(opened.levels) == len(scene.slide)
        assert (opened.size.width, opened.size.height) == (slide.WIDTH, slide.HEIGHT)
        # Across the borders of four tiles.
        region = opened.read_region((200, 200), 0, (390, 190))
        wanted = slide.picture().crop((200, 200, 590, 390))
        assert np.abs(np.asarray(region, dtype=int) - np.asarray(wanted, dtype=int)).max() < 20
        assert opened.read_tile(0, (0, 0)).size == (slide.TILE, slide.TILE)
        assert opened.read_thumbnail((150, 100)).size == (150, 100)


def test_the_transfer_syntax_is_chosen_from_what_the_search_says(scene: Scene) -> None:
    file = scene.slide[0]
    client = WsiDicomWebClient(client_for(scene.credentials["bearer"]))
    found = list(client.get_wsi_instances(file.study, [file.series]))
    assert found
    assert {(series, instance) for series, instance, _ in found} == {
        (each.series, each.instance) for each in scene.slide
    }
    assert all(syntaxes == {JPEGBaseline8Bit} for _, _, syntaxes in found)


def test_a_syntax_that_the_slide_does_not_have_is_told_apart_from_an_error(scene: Scene) -> None:
    file = scene.slide[0]
    client = WsiDicomWebClient(client_for(scene.credentials["bearer"]))
    place = (file.study, file.series, file.instance)
    assert client.is_transfer_syntax_supported(*place, JPEGBaseline8Bit)
    # JPEG-LS: a store that transcodes, as the emulator does, makes none of a baseline JPEG.
    for syntax in ("1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.4.81"):
        assert not client.is_transfer_syntax_supported(*place, syntax), syntax


def test_a_hidden_slide_is_as_one_that_is_not_there(scene: Scene, client: WsiDicomWebClient) -> None:
    with pytest.raises(WsiDicomNotFoundError):
        WsiDicom.open_web(client, scene.hidden[0].study, scene.hidden[0].series)
