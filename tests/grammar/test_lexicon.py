import pytest

from agent.grammar.lexicon import Lexicon, Origin, inventory


@pytest.mark.parametrize(
    ("word", "sounds", "origin"),
    [
        ("conveyor", "K AH N V EY ER", Origin.DICTIONARY),
        ("Conveyor", "K AH N V EY ER", Origin.DICTIONARY),
        ("i'd", "AY D", Origin.DICTIONARY),
        ("X", "EH K S", Origin.DICTIONARY),
        ("A", "EY", Origin.DICTIONARY),
        ("x-ray", "EH K S R EY", Origin.DICTIONARY),
        ("voxline", "V AA K S", Origin.GRAMMAR),
        ("beltbox", "B EH L T B AA K S", Origin.GUESS),
        ("spindles", "S P IH N D AH L Z", Origin.GUESS),
        ("overtemp", "OW V ER T EH M P", Origin.GUESS),
        ("torqued", "T AO R K T", Origin.GUESS),
        ("PLC", "P IY EH L S IY", Origin.GUESS),
        ("启动", "q i d ong", Origin.DICTIONARY),
        ("重启", "ch ong q i", Origin.DICTIONARY),
        ("重量", "zh ong l iang", Origin.DICTIONARY),
        ("绿", "l v", Origin.DICTIONARY),
        ("一", "i", Origin.DICTIONARY),
        ("щит", "", Origin.NOBODY),
    ],
)
def test_first_pronunciation(word: str, sounds: str, origin: Origin) -> None:
    found = Lexicon({"Voxline": ("V AA K S",)})[word]
    assert found.origin is origin
    assert (found.variants[0] if found.variants else ()) == tuple(sounds.split())


def test_an_apostrophe_is_one_however_it_is_written() -> None:
    assert Lexicon({"jog’s": ("JH AA G Z",)})["jog's"].origin is Origin.GRAMMAR


def test_variants() -> None:
    assert Lexicon({})["the"].variants[:2] == (("DH", "AH"), ("DH", "IY"))
    assert Lexicon({})["A"].variants == (("EY",), ("AH",))
    assert Lexicon({})["Z"].variants == (("Z", "IY"), ("Z", "EH", "D"))
    assert Lexicon({})["B"].variants == (("B", "IY"),)
    assert Lexicon({"pump": ("P AH M P", "P UW M P")})["Pump"].variants == (
        ("P", "AH", "M", "P"),
        ("P", "UW", "M", "P"),
    )


def test_every_guess_uses_known_sounds() -> None:
    lexicon = Lexicon({})
    for word in ("zorbulator", "qwzx", "psst", "schnur", "yyy", "e", "ghoti", "llanfair", "eaou", "tchtch"):
        assert inventory().issuperset(lexicon[word].variants[0])
