"""The shipped model hears strangers who spell."""

import pytest

from agent.acoustics.bundle import Bundle
from agent.audio.file import read_audio
from agent.evaluation.listening import Ear, in_room
from agent.grammar import compile_grammar, load_grammar
from models.recipe.places import SPEECH
from tests.recognition.conftest import REPOSITORY


@pytest.mark.skipif(not SPEECH.is_dir(), reason=f"no recordings at {SPEECH}")
@pytest.mark.parametrize(
    ("file", "slots"),
    [
        ("cen7-fjlp-b", {"digits": "3310188"}),  # with a rest of 0.8 s in the middle
        ("cen2-fjlp-b", {"letters": "JANET"}),  # an A that sounds like the article to the model
        ("an419-fjlp-b", {"prefix": "JPEG", "digits": "4"}),
    ],
)
def test_a_string_is_one(bundle: Bundle, ear: Ear, file: str, slots: dict[str, str]) -> None:
    graph = compile_grammar(load_grammar(REPOSITORY / "tests/grammars/an4.yaml"), bundle.manifest.tokens)
    sound = in_room(read_audio(SPEECH / f"dev/an4/{file}.opus"), None, None, seed=0)
    [heard] = Ear(bundle, ear.engine, graph, ear.calibration).listen(sound)
    assert (heard.reject, heard.slots) == (None, slots)
