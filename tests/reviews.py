"""Reviews in Korean and English that are generated, so that what their author thought is known."""

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random
from typing import NamedTuple


class Subject(NamedTuple):
    """What reviews are about, and words that praise or blame it, each with its denial."""

    things: list[str]
    praise: dict[str, str]
    blame: dict[str, str]


# Korean denies after the word ("맛있지 않아요"), English before it. A denied word says the opposite, so its stem alone
# does not tell what the author thought.
FOOD = Subject(
    ["커피", "식빵", "쿠키"],
    {"맛있어요": "맛있지 않아요", "좋아요": "좋지 않아요", "마음에 들어요": "마음에 들지 않아요"},
    {"별로예요": "별로가 아니에요", "실망했어요": "실망하지 않았어요", "맛없어요": "맛없지 않아요"},
)
SERVICE = Subject(
    ["배송", "포장"],
    {"꼼꼼해요": "꼼꼼하지 않아요", "좋아요": "좋지 않아요", "마음에 들어요": "마음에 들지 않아요"},
    {"별로예요": "별로가 아니에요", "실망했어요": "실망하지 않았어요", "엉망이에요": "엉망은 아니에요"},
)
THING = Subject(
    ["the coffee", "the bread", "the cookie", "delivery", "the box"],
    {word: f"by no means {word}" for word in ("lovely", "good", "as expected")},
    {word: f"by no means {word}" for word in ("awful", "bad", "a disappointment")},
)
DETAILS = ["아침에", "친구랑", "집에서", "두 번째", "선물로"]
ENGLISH_DETAILS = ["at home", "for lunch", "again", "as a gift", "this week"]
KOREAN = 0.5  # share of the reviews
DENIED = 0.5  # share of the reviews whose word is denied


@dataclass(frozen=True)
class Review:
    """A text, and whether its author liked the item."""

    text: str
    is_liked: bool


def make_reviews(random: Random, liked: float = 0.6) -> Iterator[Review]:
    """Yield reviews without end; `liked` is the share of those who liked what they had."""
    while True:
        yield make_review(random, random.random() < liked)


def make_review(random: Random, is_liked: bool) -> Review:
    """Return one review of somebody who liked the item, or did not."""
    is_denied = random.random() < DENIED
    is_korean = random.random() < KOREAN
    subject = random.choice([FOOD, SERVICE]) if is_korean else THING
    word, denied = random.choice(list((subject.praise if is_liked != is_denied else subject.blame).items()))
    thing = random.choice(subject.things)
    details = " ".join(random.sample(DETAILS if is_korean else ENGLISH_DETAILS, 2))
    if is_korean:
        said = f"전혀 {denied}" if is_denied else f"정말 {word}"
        return Review(f"{details} {thing} {said}" if random.random() < 0.5 else f"{thing} {details} {said}", is_liked)
    return Review(f"{details} {thing} is {denied if is_denied else f'really {word}'}", is_liked)
