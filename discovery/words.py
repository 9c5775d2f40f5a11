"""Names of tables and columns as words, and the words that shops use for things.

A name is split at underscores, capitals and known words (`OrderItem`, `order_item` and `orderitem` are the same), put
into the singular, and abbreviations and Korean words become English ones.
"""

import functools
import re


def word_set(text: str) -> frozenset[str]:
    """Return the words of a text."""
    return frozenset(text.split())


def _phrases(text: str) -> frozenset[str]:
    return frozenset(phrase.strip() for phrase in text.split(","))


def _pairs(text: str) -> dict[str, str]:
    return dict(pair.split("=") for pair in text.split())


def _weights(text: str) -> dict[str, float]:
    return {word: float(weight) for word, weight in _pairs(text).items()}


# Abbreviations and Korean words. They are written as one English word.
SPELLED_OUT = _pairs(
    """
    statuses=status skus=sku
    cat=category categ=category cate=category ctgr=category ctg=category prod=product prd=product prdt=product
    pdt=product tmpl=template qty=quantity cust=customer ord=order mfr=manufacturer mfg=manufacturer
    desc=description dt=date dtm=date dttm=date nm=name cd=code no=number num=number nbr=number mem=member
    mbr=member dtl=detail stat=status sts=status lang=language cancelled=canceled cancellation=canceled
    cancel=canceled cnt=count seq=sequence usr=user acct=account inv=inventory reg=registered yn=flag 상품=product
    제품=product 품목=product 주문=order 구매=purchase 판매=sale 상세=detail 항목=item 내역=detail 고객=customer
    회원=member 사용자=user 구매자=buyer 카테고리=category 분류=category 제조사=manufacturer 브랜드=brand
    번호=number 아이디=id 코드=code 이름=name 명=name 수량=quantity 재고=stock 일시=date 일자=date 날짜=date 일=date
    상태=status 가격=price 금액=amount 설명=description 상위=parent 부모=parent 삭제=deleted 여부=flag
    등록=registered 생성=created 수정=updated 옵션=option 반품=returned 환불=refunded 취소=canceled 활성=active
    품절=soldout 단종=discontinued 진열=visible 리뷰=review 평점=rating 완료=completed 배송=shipping 결제=payment
    준비=preparing 주문서=order
    """
)

# What things are called.
PRODUCT = word_set("product goods article merchandise ware sku")
MAYBE_PRODUCT = word_set("item listing book title film movie track dish recipe material part store venue")
VARIANT = word_set("variant variation option edition size")
ORDER = word_set("order sale purchase transaction invoice receipt ticket")
LINE = word_set("line item detail entry position row lineitem content product")
CUSTOMER = _weights(
    """
    customer=5 buyer=5 shopper=5 client=4.5 member=4.5 partner=4 user=3.5 consumer=4.5 account=3 contact=2.5
    person=2.5 people=2.5 guest=2 profile=2 email=1
    """
)
NOT_CUSTOMER = word_set(
    """
    sales salesman salesperson agent employee staff admin created updated modified write create update approved
    approver operator shipping billing invoice courier driver cashier note group comment ip address phone name
    agreement locale by canceler
    """
)
CATEGORY = _weights(
    """
    category=5 taxon=5 subcategory=5.5 section=4 department=4 genre=4 aisle=4.5 collection=3 family=3 group=2.5
    class=2.5 kind=2 type=2 term=2
    """
)
# A category, but of something else than products, or for something else than shelves.
NOT_CATEGORY = word_set(
    """
    tax shipping uom unit attribute customer user blog post cms page price account media image file payment
    stock currency measure weight status content barcode
    """
)
BRAND = _weights(
    """
    brand=5 manufacturer=5 maker=4.5 producer=4 make=3.5 publisher=3.5 vendor=3 artist=3 author=3 label=2.5
    supplier=2
    """
)
NAME = _weights("name=3 title=2.9 label=2 value=1.5 caption=1.5 designation=2")
TEXT = word_set(
    """
    description subtitle summary detail specification spec ingredient keyword tag body overview synopsis feature
    blurb abstract content plot
    """
)
TRANSLATION = word_set("translation language description i18n l10n locale localization text localized")
LANGUAGE = word_set("locale language culture")
ID = word_set("id uuid guid key code number ref fk pk sequence sn oid idx")
STATUS = word_set("status state")
STOCK = word_set("stock inventory hand quantity available stocked onhand")
STOCK_TABLE = word_set("stock inventory warehouse quant stockrecord")
QUANTITY = word_set("quantity count unit pieces ordered units")
RETURNED = word_set("return returned refund refunded canceled")
# Tables that look like orders or their lines, and are about something else.
NOT_ORDERS = word_set(
    """
    cart basket wishlist wish quote quotation shipment shipping refund return payment adjustment log history
    audit tax promotion discount coupon supplier draft rma claim exchange fulfillment stock inventory transfer
    procurement subscription menu bom attribute fulfilment delivery credit change event status tag restock
    replenishment forecast report aggregate aggregated sequence work workorder comment note summary
    """
)
NOT_PRODUCTS = word_set(
    """
    category type tag image media attribute price review brand manufacturer collection translation log history
    language description photo video file document vote rule relation tax discount promotion coupon supplier
    vendor stock inventory location question answer rating alert channel class group warehouse shop value index
    """
)
EVENT = word_set(
    """
    review rating view visit click event favorite favourite like wishlist interaction feedback play rental
    reservation checkin impression
    """
)
TIME_WORDS = _weights(
    """
    placed=5 ordered=5 purchased=5 purchase=4.5 order=4.5 sold=4.5 transaction=4.5 completed=4 complete=4 sale=4
    invoice=3.5 registered=3.5 created=3 create=3 inserted=3 added=3 paid=2.5 payment=2.5 submitted=4 event=3
    visited=4 viewed=4 posted=3 rental=3 reviewed=4 time=2 timestamp=2 date=2 at=1
    """
)
NOT_TIME = word_set(
    """
    updated update modified write deleted canceled shipped delivered delivery due expire expired expires ship
    shipping required return returned birth last validity commitment estimated end until approved closed
    archived refunded fulfilled effective synced
    """
)

# States of an order, of a product, and of a category.
NOT_BOUGHT = word_set(
    """
    canceled draft cart basket void voided refused rejected failed failure expired abandoned returned return
    refunded refund checkout incomplete deleted trash declined denied adding arranging quote quotation unpaid
    reversed chargeback fraud inactive 취소 반품 환불 장바구니 미결제
    """
)
CHECKOUT_STEPS = word_set("address delivery payment confirm sent")
NOT_YET_BOUGHT = word_set("pending created waiting awaiting requires hold unconfirmed open 입금대기")
ON_SALE = word_set(
    """
    published active enabled available visible live approved online public sellable normal selling 판매중 정상
    """
)
NOT_ON_SALE = word_set(
    """
    draft archived rejected proposed hidden inactive disabled discontinued deleted unpublished pending trash
    suspended blocked soldout removed private offline obsolete retired 판매중지 품절 단종 삭제
    """
)
NO_CATEGORY = _phrases(
    """
    all, uncategorized, uncategorised, default, none, unassigned, root, unknown, unclassified, home, default
    category, no category, not set, other / uncategorized, n/a, root catalog, 미분류, 전체, 미지정, all products, misc /
    uncategorized, to be classified, to be categorized
    """
)
YES = word_set(
    """
    active enabled published visible available saleable sellable public listed live purchasable approved online
    displayed
    """
)
NO = word_set(
    """
    archived deleted hidden discontinued disabled soldout unavailable blocked retired inactive obsolete removed
    """
)
GONE_AT = word_set("deleted discarded archived removed trashed")
ENDS_AT = word_set("discontinue discontinued end expire expires expired until")
STARTS_AT = word_set("available published publish release launch start")

NEUTRAL = word_set("entity catalog catalogue info base core master tbl")
_MORE = word_set(
    """
    channel publication attribute relation warehouse record entity catalog inventory language media group message
    is in of at on by out id date created updated deleted parent shipping billing header template model first
    last short long image price address list tree master map mapping link rel xref history primary default main
    sub stock total store units sales shop flag quantity discount head
    """
)
_STAYS = word_set("status goods sales series address is always species bus gas us news pieces basis")
_VOCABULARIES = (
    PRODUCT, MAYBE_PRODUCT, VARIANT, ORDER, LINE, CUSTOMER, CATEGORY, BRAND, NAME, TEXT, TRANSLATION, LANGUAGE,
    STATUS, STOCK, STOCK_TABLE, QUANTITY, RETURNED, EVENT, TIME_WORDS, YES, NO, _MORE, SPELLED_OUT,
)  # fmt: skip
KNOWN = frozenset(word for vocabulary in _VOCABULARIES for word in vocabulary if len(word) > 1 or not word.isascii())


@functools.cache
def words(name: str) -> tuple[str, ...]:
    """Return the words of a name: `words("ProductVariants") == ("product", "variant")`."""
    parted = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()
    found: list[str] = []
    for part in re.findall(r"[a-z]+\d*[a-z]+|[a-z]+|[^\W\d_a-z]+", parted):
        found += [_spelled(word) for word in _split(part)]
    return tuple(found)


def singular(word: str) -> str:
    """Return an English noun in the singular; other words stay as they are."""
    if word in _STAYS or len(word) < 4 or not word.endswith("s") or word.endswith(("ss", "us", "is")):
        return word
    if word.endswith("ies"):
        return word[:-3] + "y"
    return word[:-2] if word.endswith(("sses", "xes", "ches", "shes")) else word[:-1]


@functools.cache
def without_ids(name: str) -> tuple[str, ...]:
    """Return the words of a column without those that only say that it is a key: `id_product` → product."""
    found = list(words(name))
    while found and found[-1] in ID:
        found.pop()
    while found and found[0] in ID:
        found.pop(0)
    return tuple(found)


def score(found: tuple[str, ...], vocabulary: dict[str, float] | dict[str, int]) -> float:
    """Return the weight of the best of the words; 0 without any."""
    return max((float(vocabulary[word]) for word in found if word in vocabulary), default=0.0)


@functools.cache
def similarity(column: tuple[str, ...], table: tuple[str, ...]) -> float:
    """Return how well a column without its `id` names a table: 1 the same words, 0 nothing in common."""
    table = tuple(word for word in table if word not in NEUTRAL) or table
    if not column or not table:
        return 0.0
    if _same(column, table):
        return 1.0
    if len(column) < len(table) and (_same(column, table[-len(column) :])):
        return 0.85
    if len(table) < len(column) and _same(column[-len(table) :], table):
        return 0.7
    if len(column) < len(table) and _same(column, table[: len(column)]):
        return 0.5
    return 0.0


def _same(some: tuple[str, ...], others: tuple[str, ...]) -> bool:
    return len(some) == len(others) and all(map(_alike, some, others))


def _alike(one: str, other: str) -> bool:
    """Return whether two words are the same, or one abbreviates the other, as `categ` does `category`."""
    if one == other:
        return True
    short, long = sorted((one, other), key=len)
    return len(short) >= 3 and long.startswith(short) and len(long) - len(short) >= 3


def _spelled(word: str) -> str:
    word = SPELLED_OUT.get(word, word)
    word = singular(word)
    return SPELLED_OUT.get(word, word)


def _split(part: str) -> list[str]:
    """Split a run of letters into known words, if it consists of them."""
    if part in KNOWN or singular(part) in KNOWN or len(part) < 3:
        return [part]
    best: list[list[str] | None] = [[]] + [None] * len(part)
    for end in range(1, len(part) + 1):
        for start in range(end):
            before, piece = best[start], part[start:end]
            if before is None or not (piece in KNOWN or (len(piece) > 3 and singular(piece) in KNOWN)):
                continue
            now = best[end]
            if now is None or len(before) + 1 < len(now):
                best[end] = [*before, piece]
    return best[-1] or [part]
