"""Everything that the operating points are fitted on, heard once with nothing refused."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from agent.acoustics.manifest import Calibration
from models.recipe.calibrate import WRONG, Example, Positive, commands, other_sound
from models.recipe.calibration_data import COFFEE, REPOSITORY, Listening
from models.recipe.near_grammars import near_grammars

NEAR_SPOKEN, NEAR_GRAMMAR, TALK = 8.0, 0.5, 16.0
"""Importance: of near misses that synthesizers speak, which are few, of those that strangers speak, which are
many, and of talk."""


@dataclass(frozen=True, slots=True)
class Examples:
    """Readings, by what was said."""

    orders: list[Example]
    """Strangers', clean and in noise: the scale hangs on them."""
    near: list[Example]
    """Of near misses that a synthesizer speaks."""
    near_total: int
    """How many of these there were."""
    other: list[Example]
    """Of sound without a command."""
    hours: float
    """Of that sound, once for each grammar."""
    more: list[Example]
    """All the rest."""


def hear(
    listening: Listening, base: Calibration, orders: Sequence[Positive], clips: Path, talk: Path
) -> Examples:
    """Hear all of it.

    Args:
        listening: with the bundle that is calibrated.
        base: how it hears.
        orders: of strangers.
        clips: commands and near misses, made by `synthesize plan GRAMMAR ...` and `speak`.
        talk: made by `synthesize negatives`; other recordings than those by which false accepts are counted.
    """
    demo = REPOSITORY / "grammars/demo.yaml"
    near_misses = list(listening.near_misses(clips))
    without = list(
        listening.other_sound([listening.speech / "train/libri", listening.speech / "noise"], [COFFEE, demo])
    )
    strangers = near_grammars(COFFEE, orders, draws=2, tokens=listening.bundle.manifest.tokens)
    return Examples(
        orders=list(commands(base, orders, real=True)),
        near=list(other_sound(base, near_misses, NEAR_SPOKEN)),
        near_total=len(near_misses),
        other=list(other_sound(base, without, WRONG)),
        hours=sum(negative.recording.hours for negative in without),
        more=[
            *commands(base, listening.forms(), real=False),
            *commands(base, listening.grammar_clips(clips), real=False),
            *commands(base, listening.grammar_clips(clips, in_rooms=True), real=False),
            *other_sound(base, listening.near_misses(clips, in_rooms=True), NEAR_SPOKEN),
            *other_sound(base, strangers, NEAR_GRAMMAR),
            *other_sound(base, listening.other_sound([talk], [demo]), TALK),
        ],
    )
