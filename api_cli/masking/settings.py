"""What shapes a mask and its picture beside the relevance maps: a run can sweep over all of it."""

from __future__ import annotations

from typing import NamedTuple


class Keep(NamedTuple):
    """What is kept of a mask; the rest is 0.

    Attributes:
        share: of the patches, the brightest, in (0, 1].
        regions: connected regions at most; None for all.
    """

    share: float
    regions: int | None = None


class MaskSettings(NamedTuple):
    """The parameters of METHOD.md section 5 that do not touch the model, and those of RECIPES.md.

    Attributes:
        enhance_coe: contrast; None leaves the map as it is.
        kernel_size: odd width of the mean filter, in patches.
        interpolate_method_name: a key of `FILTERS`.
        grayscale: level from 0 to 255 that irrelevant parts fade to.
        relative: to the map of a general question: "none", "ratio" or "difference".
        denoise: how many times its largest neighbour a patch may be; None for whatever it is.
        smooth: of a Gaussian, in shorter sides of the grid, in the mean filter's place; None for
            the mean filter.
        floor: the least that is left of the picture, from 0 to 1.
        keep: the brightest part alone; None for all.
        render: what is made of mask and picture.
    """

    enhance_coe: float | None = 5
    kernel_size: int = 3
    interpolate_method_name: str = "LANCZOS"
    grayscale: int = 0
    relative: str = "none"
    denoise: float | None = None
    smooth: float | None = None
    floor: float = 0
    keep: Keep | None = None
    render: str = "fade"

    @property
    def of_grid(self) -> MaskSettings:
        """What shapes the mask on the patch grid; the rest as by default."""
        usual = MaskSettings()
        return self._replace(
            interpolate_method_name=usual.interpolate_method_name,
            grayscale=usual.grayscale,
            render=usual.render,
        )
