"""Finds the encoding of a text file: from a byte order mark, else the first one that can read the whole file."""

import codecs
from collections import Counter

from aisle.db import errors

GUESSED = ("utf-8-sig", "cp949")  # in this order; the first also reads UTF-8 without a byte order mark
NAMES = {"utf-8-sig": "UTF-8", "utf-8": "UTF-8", "cp949": "CP949", "utf-16": "UTF-16", "utf-32": "UTF-32"}
BYTE_ORDER_MARKS = {  # UTF-32 first, because its mark begins with that of UTF-16
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
OTHERS = "gbk (Chinese), big5, cp932 (Japanese), latin-1 (Western Europe), cp949 (Korean)"
HALF = 0.5  # of Korean text, 96 % of the letters are among those below; of other text read as CP949, at most a third

# The usual syllables of Korean, out of 11,172 possible ones.
_USUAL = frozenset(
    "가각간갈감갑값강같개객거건걸검것게겠겨견결겹경계고곡곧골곱곳공과관광괜교구국궁권귀규균귤그극근글금급기긴길김깁깃"
    "깅까깐깨껌껍께꼬꼭꽁꽃꾀꾸꾼꿀뀔끈끝끼낀낌나낙낚난날남내낵냄냅냉냐너넉널넘넛넣네년념노녹놀농놓뇨누눌뉘뉴늄느는늘"
    "능늦늬니닌닐닙닝다닥닦단닫달닭담답당대댄댕더덕덜덤덮데덱덴델뎀도독돌동됐되된될됨됩두둔둘둥뒤듀듈드든들듬듭등디딩"
    "따딸때떤떼또뚝띄띠라락란람랍랐랑래랙랜랩랫량러럭런럴럼레렉렌렛려력련렬렸령로록론롤롬료루룩룰룸룹룽류르른를름릅리"
    "릭린릴림립릿링마막만많말맑맙맛맞매맨맵머먹먼멀멍메멕멘멜며면명몇모목몬몰못몽무문묻물뮤므믈미믹민밀밍및바박밖반받"
    "발밝밥방배백밴뱅버번범법베벡벤벨벼변별볍병보복볶본볼봅봉부북분불뷰브븐블비빈빌빗빙빠빨뻐뽀뿌쁘삐사삭산살삼상새색"
    "샐샘생샤샴섀서석선설섬섭섯성세섹센셀셈셉셔션셨셸소속손솔송솥쇠쇼수순숨숫숲쉬슈슐슘스슨슬슴습시식신실심십싱싶싸쌀"
    "쌈쌓썬쏘쑥쓰씁씨아안않알았앞애액앰야약얀얄양어억언얼업없엇었에엔엘엠여연열염였영예오옥온올옳옴옵와완외요용우운움"
    "웃워웍원월웨웹위유육으은을음의이인일읽잃임입있잊자작잔잘잡장재잭저적전절점접정젖제젝젤져젼조존종좋죄주죽준줄줍중"
    "즈즉즐즘즙증지직진질집짜짧짱째쨈쩨쪽쭈쯤찌차착찬찮찰참찹창찾채챔챠처척천철청체첼쳇쳐초촉촘총최추축춘출충춰취츄츠"
    "측치칩카칸칼캄캇캐캔캠캡캣커컨컬컴컵컷케켜켰코콕콘콜콤콧콩쿠쿨쿼퀸큐큘크큰클키킥킨킵킹타탁탄탈탐탕태택탠탬탭터턴"
    "텀테텍텐텔템토톡톤톰톱통투툴튀튜트특튼틀티틱틴틸팀팁팅파판팔팝팟패팩팬팸팽퍼펀펄페펜펠펫편평폐포폴폼퐁표푸푼품풋"
    "풍퓨퓸프픈플피픽핀필핏핑하학한할함합항해핵핸햄햇했행향허헌헝헤헨헬혁현형호혹혼홀홈홍화확환활회효후훅훈휠휴흐흑흔"
    "흥히힌힐힙"
)


def check(encoding: str) -> str:
    """Return Python's name of a text encoding; raises InvalidArgumentError if it has none."""
    try:
        "a".encode(encoding)  # fails for a codec that is not for text
        name = codecs.lookup(encoding).name
    except (LookupError, ValueError) as error:
        raise errors.InvalidArgumentError(
            f"There is no encoding {encoding!r}.", hint=f"Try: utf-8, utf-16, {OTHERS}"
        ) from error
    return GUESSED[0] if name == "utf-8" else name


def marked(start: bytes) -> str | None:
    """Return the encoding of a file that starts with a byte order mark; else None."""
    return next((name for mark, name in BYTE_ORDER_MARKS.items() if start.startswith(mark)), None)


def looks_like_utf16(start: bytes) -> str | None:
    """Return the byte order of UTF-16 text without a byte order mark; None if it seems to be no UTF-16.

    In UTF-16, every second byte of an ASCII text is 0.
    """
    even, odd = start[::2].count(0), start[1::2].count(0)
    if max(even, odd) * 4 < len(start) or not start or min(even, odd) * 4 > max(even, odd):
        return None
    return "utf-16-le" if odd > even else "utf-16-be"


def display(encoding: str) -> str:
    return NAMES.get(encoding, encoding)


class Letters:
    """The non-ASCII letters of a text. They distinguish Korean from other text that CP949 can decode."""

    def __init__(self) -> None:
        self._counts = Counter[str]()

    def add(self, line: str) -> None:
        if not line.isascii():
            self._counts.update(line)

    def sample(self) -> str:
        """Return the most frequent letters."""
        found = (character for character, _ in self._counts.most_common() if _is_letter(character))
        return "".join(character for character, _ in zip(found, range(10), strict=False))

    def are_korean(self) -> bool:
        """Return whether at least half of the letters are usual Korean syllables; True if there are no letters."""
        letters = {character: count for character, count in self._counts.items() if _is_letter(character)}
        usual = sum(count for character, count in letters.items() if character in _USUAL)
        return usual >= HALF * sum(letters.values())


def _is_letter(character: str) -> bool:
    return not character.isascii() and character.isalpha()
