"""Reviews in Korean and English that are generated, so that what their author thought is known."""

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

GOOD = ["맛있어요", "좋아요", "마음에 들어요", "tasty", "good", "fresh"]
BAD = ["별로예요", "실망했어요", "맛없어요", "stale", "awful", "a disappointment"]
THINGS = ["커피", "식빵", "쿠키", "배송", "포장", "the coffee", "the bread", "the cookie", "delivery", "the box"]
DETAILS = ["아침에", "친구랑", "집에서", "두 번째", "선물로", "at home", "for lunch", "again", "as a gift", "this week"]
# A denial turns a word around, so single words do not tell; the last two of either list tell by a denial alone.
LIKED = ["{thing} 정말 {good} {detail}", "{detail} {thing} is really {good}", "{thing} 전혀 안 {bad} {detail}",
         "{detail} {thing} is by no means {bad}"]  # fmt: skip
NOT_LIKED = ["{thing} 정말 {bad} {detail}", "{detail} {thing} is really {bad}", "{thing} 전혀 안 {good} {detail}",
             "{detail} {thing} is by no means {good}"]  # fmt: skip


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
    words = {
        "thing": random.choice(THINGS),
        "good": random.choice(GOOD),
        "bad": random.choice(BAD),
        "detail": " ".join(random.sample(DETAILS, 2)),
    }
    return Review(random.choice(LIKED if is_liked else NOT_LIKED).format(**words), is_liked)
