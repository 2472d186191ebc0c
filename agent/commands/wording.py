"""What the operator reads on a panel or hears from a voice: one line, in the grammar's language."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from agent.commands.decision import Detail, Objection, Reason
from agent.commands.effects import InhibitChanged
from agent.commands.events import Answer, Fate
from agent.grammar.schema import Grammar
from agent.recognition.hypothesis import Reject

_PLAIN = re.compile(r"[^(){}<>|;\[\]]+")
"""A sentence template that is a sentence."""


@dataclass(frozen=True, slots=True)
class _Phrases:
    question: str
    refusals: Mapping[Reason | Reject, str]
    fates: Mapping[Fate, str]
    answers: Mapping[Answer, str]
    details: Mapping[str, str]
    sending: str
    armed: str
    inhibited: str
    free: str
    aside: str
    colon: str


_PHRASES = {
    "en": _Phrases(
        question='{text}? Say "{confirm}" or "{cancel}".',
        refusals={
            Reject.BACKGROUND: "Not understood",
            Reject.WEAK_WORD: "One word was not clear, please repeat",
            Reject.AMBIGUOUS: "That could mean two things, please repeat",
            Reject.TOO_SHORT: "Too short, please repeat",
            Reject.TOO_QUIET: "Too quiet, please speak up",
            Reject.CLIPPED: "Too loud, please step back",
            Reject.IN_TALK: "Pause before a command, please repeat",
            Reject.INCOMPLETE: "The sentence was not finished",
            Reason.UNSURE: "Not sure, please repeat",
            Reason.UNARMED: "Not listening",
            Reason.EXPIRED: "Too late, not sent, please repeat",
            Reason.INHIBITED: "Locked out",
            Reason.REQUIREMENT: "Not possible now",
            Reason.REPEATED: "Said already",
            Reason.TOO_SOON: "Too soon after the one before, please repeat",
            Reason.BURST: "Too many commands, not listening for a moment",
            Reason.OTHER_STATION: "Another station answers",
            Reason.UNSETTLED: "Not agreed with the other stations, please repeat",
            Reason.CANCELLED: "Cancelled",
            Reason.NOT_CONFIRMED: "Cancelled, not confirmed",
            Reason.INTERRUPTED: "Cancelled, something else was said",
            Reason.CHANGED: "Cancelled, the machine changed meanwhile",
            Reason.NOTHING_ASKED: "Nothing was asked",
            Reason.UNKNOWN: "The grammar has just changed, please repeat",
        },
        fates={
            Fate.ACKNOWLEDGED: "Sent",
            Fate.NOT_SENT: "Failed, not sent",
            Fate.UNCONFIRMED: "Failed, delivery not confirmed",
            Fate.REFUSED: "Failed, the broker refuses it",
        },
        answers={
            Answer.ACCEPTED: "Accepted",
            Answer.REFUSED: "Refused by the machine",
            Answer.DONE: "Done",
            Answer.NO_ANSWER: "The machine does not answer",
        },
        details={detail: detail for detail in Detail},
        sending="Understood",
        armed="Listening",
        inhibited="Commands locked out",
        free="Commands are free",
        aside="{text} ({aside})",
        colon=": ",
    ),
    "zh": _Phrases(
        question="{text}？请说“{confirm}”或“{cancel}”。",
        refusals={
            Reject.BACKGROUND: "没有听懂",
            Reject.WEAK_WORD: "有一个词不清楚，请重说",
            Reject.AMBIGUOUS: "可能有两种意思，请重说",
            Reject.TOO_SHORT: "太短，请重说",
            Reject.TOO_QUIET: "声音太小，请大声一点",
            Reject.CLIPPED: "声音太大，请离远一点",
            Reject.IN_TALK: "请先停顿，再说命令",
            Reject.INCOMPLETE: "话没有说完",
            Reason.UNSURE: "没有听清，请重说",
            Reason.UNARMED: "未在听",
            Reason.EXPIRED: "已超时，未发送，请重说",
            Reason.INHIBITED: "已锁定",
            Reason.REQUIREMENT: "现在不能执行",
            Reason.REPEATED: "刚才已说过",
            Reason.TOO_SOON: "离上一条命令太近，请稍后重说",
            Reason.BURST: "命令太多，暂停接收",
            Reason.OTHER_STATION: "由另一个站响应",
            Reason.UNSETTLED: "未能与其他站协调，请重说",
            Reason.CANCELLED: "已取消",
            Reason.NOT_CONFIRMED: "未确认，已取消",
            Reason.INTERRUPTED: "被打断，已取消",
            Reason.CHANGED: "机器状态已变，已取消",
            Reason.NOTHING_ASKED: "没有待确认的命令",
            Reason.UNKNOWN: "语法刚更新，请重说",
        },
        fates={
            Fate.ACKNOWLEDGED: "已发送",
            Fate.NOT_SENT: "失败，未发送",
            Fate.UNCONFIRMED: "失败，未确认送达",
            Fate.REFUSED: "失败，服务器拒绝",
        },
        answers={
            Answer.ACCEPTED: "已接受",
            Answer.REFUSED: "机器拒绝",
            Answer.DONE: "已完成",
            Answer.NO_ANSWER: "机器没有回应",
        },
        details={
            Detail.UNKNOWN: "锁定状态不明",
            Detail.OUTDATED: "锁定状态已过时",
            Detail.UNREADABLE: "有一条消息无法读取",
            Detail.UNHEEDED: "之前的解锁无效",
        },
        sending="听到",
        armed="请讲",
        inhibited="命令已锁定",
        free="命令已解锁",
        aside="{text}（{aside}）",
        colon="：",
    ),
}


class Wording:
    """The lines for one grammar."""

    def __init__(self, grammar: Grammar) -> None:
        self._phrases = _PHRASES[grammar.language]
        self._confirm = _plain(grammar.confirm)
        self._cancel = _plain(grammar.cancel)

    def question(self, text: str) -> str:
        """Read back what was understood, and say how to answer."""
        return self._phrases.question.format(text=text, confirm=self._confirm, cancel=self._cancel)

    def refusal(self, objection: Objection, text: str = "") -> str:
        """Say why nothing happens; `text` is what was understood."""
        detail = self._detail(objection.detail, objection.aside)
        return self._line(self._phrases.refusals[objection.reason], detail, text)

    def fate(self, fate: Fate, text: str) -> str:
        """Say how far an order came."""
        return self._line(self._phrases.fates[fate], text)

    def answer(self, answer: Answer, text: str, reason: str) -> str:
        """Say what the machine says."""
        return self._line(self._phrases.answers[answer], reason, text)

    def sending(self, text: str) -> str:
        """Say what was understood and is on its way."""
        return self._line(self._phrases.sending, text)

    def armed(self) -> str:
        """Say that the station listens."""
        return self._phrases.armed

    def inhibit(self, change: InhibitChanged) -> str:
        """Say that commands are locked out or free, by whom and why."""
        if change.aside is Detail.OUTDATED:
            return self._line(self._phrases.inhibited, self._detail(change.aside, None))
        said = self._phrases.inhibited if change.active else self._phrases.free
        return self._line(said, self._detail(change.detail, change.aside))

    def _detail(self, detail: str, aside: Detail | None) -> str:
        details = self._phrases.details
        text = details.get(detail, detail)
        return self._phrases.aside.format(text=text, aside=details[aside]) if aside else text

    def _line(self, *parts: str) -> str:
        return self._phrases.colon.join(filter(None, parts))


def _plain(templates: tuple[str, ...]) -> str:
    """Choose a phrase that can be said as it is written."""
    return next((t for t in templates if _PLAIN.fullmatch(t)), templates[0] if templates else "-")
