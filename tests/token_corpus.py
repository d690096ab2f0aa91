"""Texts of several kinds, for measuring how well tokens are estimated."""

from __future__ import annotations

TEXTS = {
    "english": """\
The harbour was quiet when the ferry came in, and only a few people
were waiting on the pier. An old man with a walking stick asked the captain whether
the storm that had been announced on the radio would reach the island before the
evening. Nobody knew. The captain shrugged, lit his pipe, and said that he had seen
worse weather in forty years at sea, but that he would not leave again until morning.
So the passengers carried their bags up the hill to the only hotel, where the owner's
daughter had already put extra plates on the long wooden table.""",
    "german": """\
Wenn der Zug endlich hielt, war es schon dunkel, und auf dem Bahnsteig
stand niemand mehr außer einem jungen Mädchen mit einem viel zu großen Koffer. Die
Straßenlaternen spiegelten sich in den Pfützen. Man hätte meinen können, die ganze
Kleinstadt sei längst schlafen gegangen; nur aus der Gaststätte gegenüber drangen noch
Stimmen und das Klirren von Gläsern herüber.""",
    "russian": """\
Поезд пришёл поздно вечером, когда на станции уже никого не было, кроме
старого сторожа и его собаки. Снег падал медленно, и фонари едва
освещали дорогу к деревне. Сторож сказал, что до утра лошадей не найти,
и предложил приезжему чаю с вареньем, а собака легла у его ног и сразу
уснула.""",
    "chinese": """\
火车到站的时候已经是晚上了,站台上除了一位老人和他的狗以外没有别人。雪慢慢地下着
,路灯照着通往村子的小路。老人说天亮以前找不到马车,请客人先进屋喝一杯热茶。屋子
里很暖和,桌上放着一本旧书和一盏油灯。客人坐下来,把湿了的大衣挂在火炉旁边,慢慢
地讲起了他在城里的生活。""",
    "japanese": """\
列車が着いたときにはもう夜になっていて、駅のホームには老人と犬のほかに誰もいなか
った。雪が静かに降り、街灯が村へ続く道をぼんやりと照らしていた。老人は、朝まで馬
車は見つからないと言い、旅人に熱いお茶をすすめた。部屋の中は暖かく、机の上には古
い本とランプが置いてあった。""",
    "code": '''\
def merge(left: list[int], right: list[int]) -> list[int]:
    """Return both lists in one, in order."""
    merged = []
    i = j = 0
    while i < len(left) and j < len(right):
        if left[i] <= right[j]:
            merged.append(left[i])
            i += 1
        else:
            merged.append(right[j])
            j += 1
    return merged + left[i:] + right[j:]


class Counter:
    def __init__(self) -> None:
        self._counts: dict[str, int] = {}

    def add(self, name: str, value: int = 1) -> None:
        self._counts[name] = self._counts.get(name, 0) + value
''',
    "json": """\
{"id": "chatcmpl-0f4c1c2b", "object": "chat.completion",
 "created": 1767225600, "choices": [{"index": 0, "message":
 {"role": "assistant", "content": "Red, green."}, "finish_reason": "stop"}],
 "usage": {"prompt_tokens": 34, "completion_tokens": 8}}""",
}
