"""A small whole-slide image: two levels of tiles, as PS3.3 section A.32.8 has them."""

import io
import math
from typing import Final

import numpy as np
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import UID, JPEGBaseline8Bit, generate_uid

__all__ = ["HEIGHT", "TILE", "WIDTH", "level", "picture"]

WIDTH: Final = 600
HEIGHT: Final = 400
TILE: Final = 256
_MICROSCOPY: Final = "1.2.840.10008.5.1.4.1.1.77.1.6"
_MILLIMETRES_PER_PIXEL: Final = 0.0005
_FRAME_OF_REFERENCE: Final = generate_uid()
_DIMENSIONS: Final = generate_uid()
_SPECIMEN: Final = generate_uid()


def picture() -> Image.Image:
    """Return what is on the slide: smooth colours, so that JPEG changes little of them."""
    across, down = np.meshgrid(np.linspace(0, 255, WIDTH), np.linspace(0, 255, HEIGHT))
    return Image.fromarray(np.stack([across, down, 255 - across], axis=-1).astype(np.uint8), "RGB")


def level(*, study: str, series: str, instance: str, factor: int) -> bytes:
    """Return one level of the slide as a PS3.10 file.

    Parameters
    ----------
    study, series, instance
        UIDs.
    factor
        How many times smaller than the slide it is.
    """
    image = picture().resize((WIDTH // factor, HEIGHT // factor))
    tiles = _tiles(image)
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = UID(_MICROSCOPY)
    meta.MediaStorageSOPInstanceUID = UID(instance)
    meta.TransferSyntaxUID = JPEGBaseline8Bit
    data = _slide(study, series, instance)
    data.file_meta = meta
    data.InstanceNumber = factor
    data.ImageType = ["ORIGINAL", "PRIMARY", "VOLUME", "NONE"]
    if factor > 1:
        data.ImageType = ["DERIVED", "PRIMARY", "VOLUME", "RESAMPLED"]
    data.NumberOfFrames = len(tiles)
    data.TotalPixelMatrixColumns, data.TotalPixelMatrixRows = image.size
    measures = _item(PixelSpacing=[_MILLIMETRES_PER_PIXEL * factor] * 2, SliceThickness=0.001)
    data.SharedFunctionalGroupsSequence = [
        _item(
            PixelMeasuresSequence=[measures],
            WholeSlideMicroscopyImageFrameTypeSequence=[_item(FrameType=data.ImageType)],
            OpticalPathIdentificationSequence=[_item(OpticalPathIdentifier="1")],
        )
    ]
    data.PixelData = encapsulate(tiles)
    data["PixelData"].VR = "OB"
    data["PixelData"].is_undefined_length = True
    output = io.BytesIO()
    data.save_as(output, enforce_file_format=True)
    return output.getvalue()


def _tiles(image: Image.Image) -> list[bytes]:
    columns, rows = math.ceil(image.width / TILE), math.ceil(image.height / TILE)
    padded = Image.new("RGB", (columns * TILE, rows * TILE), "white")
    padded.paste(image, (0, 0))
    tiles = []
    for row in range(rows):
        for column in range(columns):
            tile = padded.crop((column * TILE, row * TILE, (column + 1) * TILE, (row + 1) * TILE))
            encoded = io.BytesIO()
            tile.save(encoded, "JPEG", quality=90, subsampling=1)
            tiles.append(encoded.getvalue())
    return tiles


def _item(**elements: object) -> Dataset:
    item = Dataset()
    for keyword, value in elements.items():
        setattr(item, keyword, value)
    return item


def _code(value: str, scheme: str, meaning: str) -> Dataset:
    return _item(CodeValue=value, CodingSchemeDesignator=scheme, CodeMeaning=meaning)


def _slide(study: str, series: str, instance: str) -> Dataset:
    return _item(
        SOPClassUID=_MICROSCOPY,
        SOPInstanceUID=instance,
        StudyInstanceUID=study,
        SeriesInstanceUID=series,
        FrameOfReferenceUID=_FRAME_OF_REFERENCE,
        PatientName="Slide^Sara",
        PatientID="S-1",
        PatientBirthDate="",
        PatientSex="O",
        StudyDate="20260101",
        StudyTime="120000",
        ContentDate="20260101",
        ContentTime="120000",
        AcquisitionDateTime="20260101120000",
        AccessionNumber="A-1",
        ReferringPhysicianName="",
        StudyID="1",
        SeriesNumber=1,
        Modality="SM",
        Manufacturer="Tests",
        ManufacturerModelName="Tests",
        DeviceSerialNumber="1",
        SoftwareVersions="1",
        VolumetricProperties="VOLUME",
        ContainerIdentifier="C1",
        IssuerOfTheContainerIdentifierSequence=[],
        ContainerTypeCodeSequence=[],
        SpecimenDescriptionSequence=[
            _item(
                SpecimenIdentifier="S1",
                SpecimenUID=_SPECIMEN,
                IssuerOfTheSpecimenIdentifierSequence=[],
                SpecimenPreparationSequence=[],
            )
        ],
        AcquisitionContextSequence=[],
        SamplesPerPixel=3,
        PhotometricInterpretation="YBR_FULL_422",
        PlanarConfiguration=0,
        BitsAllocated=8,
        BitsStored=8,
        HighBit=7,
        PixelRepresentation=0,
        Rows=TILE,
        Columns=TILE,
        TotalPixelMatrixFocalPlanes=1,
        NumberOfOpticalPaths=1,
        ImagedVolumeWidth=WIDTH * _MILLIMETRES_PER_PIXEL,
        ImagedVolumeHeight=HEIGHT * _MILLIMETRES_PER_PIXEL,
        ImagedVolumeDepth=0.001,
        TotalPixelMatrixOriginSequence=[_item(XOffsetInSlideCoordinateSystem=0.0, YOffsetInSlideCoordinateSystem=0.0)],
        ImageOrientationSlide=[0, -1, 0, -1, 0, 0],
        DimensionOrganizationType="TILED_FULL",
        DimensionOrganizationSequence=[_item(DimensionOrganizationUID=_DIMENSIONS)],
        OpticalPathSequence=[
            _item(
                OpticalPathIdentifier="1",
                IlluminationTypeCodeSequence=[_code("111744", "DCM", "Brightfield illumination")],
                IlluminationColorCodeSequence=[_code("R-102C0", "SRT", "Full Spectrum")],
            )
        ],
        BurnedInAnnotation="NO",
        LossyImageCompression="01",
        LossyImageCompressionRatio=10,
        LossyImageCompressionMethod="ISO_10918_1",
        FocusMethod="AUTO",
        ExtendedDepthOfField="NO",
        PositionReferenceIndicator="SLIDE_CORNER",
        SpecimenLabelInImage="NO",
    )
