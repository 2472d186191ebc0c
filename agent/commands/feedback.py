"""Which refusals an operator hears, and how; what nobody asked for stays silent."""

from agent.audio.tones import Tone
from agent.commands.decision import Objection, Reason
from agent.commands.effects import Announce
from agent.commands.wording import Wording
from agent.recognition.hypothesis import Hypothesis, Reject

_TONES: dict[Reason | Reject, Tone | None] = {
    Reason.INHIBITED: Tone.REFUSED,
    Reason.REQUIREMENT: Tone.REFUSED,
    Reason.TOO_SOON: Tone.REFUSED,
    Reason.EXPIRED: Tone.FAILED,
    Reason.UNSETTLED: Tone.FAILED,
    # Shown, not sounded: the first of two went through, noise needs no answer, another station gives it.
    Reason.REPEATED: None,
    Reason.BURST: None,
    Reason.OTHER_STATION: None,
    Reason.NOTHING_ASKED: None,
}


def refusal(objection: Objection, text: str, words: Wording) -> Announce:
    """Tell the operator why what was understood as `text` does not happen."""
    return Announce(words.refusal(objection, text), _TONES.get(objection.reason, Tone.REJECTED))


def addressed(heard: Hypothesis, *, armed: bool, deliberate: bool) -> bool:
    """Tell whether the speaker waits for an answer.

    Args:
        heard: what was said.
        armed: it began while the station was armed.
        deliberate: by a phrase or a button. At an open microphone people also talk to each other.
    """
    named = heard.command is not None and heard.reject not in {Reject.BACKGROUND, Reject.IN_TALK}
    return armed and (deliberate or named)
