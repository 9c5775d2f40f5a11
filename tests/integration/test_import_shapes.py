"""Files as shops' programs write them: each is read, and what was guessed is said, or one sentence says what to do."""

import base64
import gzip
import io
import os
import sys
import zipfile
import zlib
from decimal import Decimal
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from aisle import db
from aisle.db import errors
from aisle.files import import_export
from aisle.files.table_files import Reading
from tests.imports import exists, fault, rows, types


@pytest.fixture
def target(connection: db.Connection) -> db.Connection:
    return connection


def read(target: db.Connection, path: Path, **options: Any) -> tuple[str, list[tuple[Any, ...]]]:
    """Import into a new table t; return what was said on how it was read, and the rows."""
    key = options.pop("key", None)
    target.execute("drop table if exists t")
    result = import_export.import_table(target, path, "t", key=key, reading=Reading(**options))
    return " ".join(filter(None, (result.said, *result.notes))), rows(target)


# ---- encodings ----

KOREAN = "id,이름\n1,녹차 티백\n2,현미 누룽지\n"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (KOREAN.encode(), ""),
        (KOREAN.encode("utf-8-sig"), ""),
        (KOREAN.encode("cp949"), "as CP949"),
        (KOREAN.replace(",", "\t").encode("utf-16"), "as UTF-16"),
        (KOREAN.replace(",", "\t").replace("\n", "\r\n").encode("utf-16-be").join([b"\xfe\xff", b""]), "as UTF-16"),
        (KOREAN.encode("utf-32"), "as UTF-32"),
    ],
    ids=["utf-8", "bom", "cp949", "excel's unicode text", "big endian", "utf-32"],
)
def test_the_encoding_is_said_when_it_is_not_utf_8(target: db.Connection, put: Any, content: bytes, said: str) -> None:
    for path in (put(content, "items.txt"), put(gzip.compress(content), "items.txt.gz")):
        assert read(target, path) == (said, [(1, "녹차 티백"), (2, "현미 누룽지")])


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("id,name\n1,绿茶茶包\n2,咖啡豆\n", "gbk"),
        ("id,name\n1,Thermos 90°C\n", "latin-1"),
        ("id,name\n1,Acme®X mug\n2,plain\n", "latin-1"),
        ("id,name\n1,Äpfel\n", "latin-1"),
        ("id,name\n1,緑茶ティーバッグ\n", "euc_jp"),
    ],
)
def test_what_only_happens_to_be_readable_as_cp949_is_refused(
    target: db.Connection, put: Any, text: str, encoding: str
) -> None:
    path = put(text.encode(encoding))
    assert "is hardly Korean" in fault(target, path)
    assert "--encoding" in fault(target, path)
    assert not exists(target, "t")
    said, found = read(target, path, encoding=encoding)
    assert said.startswith("as ")
    assert [name for _, name in found] == [line.split(",")[1] for line in text.splitlines()[1:]]
    assert read(target, path, encoding="cp949")[0] == "as CP949", "who says so is believed"


def test_korean_beside_other_letters_is_korean(target: db.Connection, put: Any) -> None:
    text = "id,name\n1,똠얌꿍 쌀국수 ½\n2,Å 규격 녹차\n3,뷁 꿻 현미 누룽지 과자\n"
    text = text.replace("½", "㎏").replace("Å", "Ⅱ")
    said, found = read(target, put(text.encode("cp949")))
    assert said == "as CP949"
    assert found[2] == (3, "뷁 꿻 현미 누룽지 과자")


def test_bytes_of_no_encoding_name_the_line_and_the_option(target: db.Connection, put: Any) -> None:
    said = fault(target, put("id,name\n1,café au lait\n".encode("latin-1")))
    assert "line 2: it has bytes that are not UTF-8." in said
    assert "--encoding NAME" in said
    said = fault(target, put("id\tname\n1\t가\n".encode("utf-16") + b"\x00\xd8\x00"))
    assert "line 3: it has bytes that are not UTF-16." in said
    assert "Try: --encoding utf-16-le" in fault(target, put("id,name\n1,tea\n".encode("utf-16-le")))
    assert "Try: --encoding utf-16-be" in fault(target, put("id,name\n1,tea\n".encode("utf-16-be")))
    assert read(target, put("id,name\n1,tea\n".encode("utf-16-le")), encoding="UTF-16LE")[1] == [(1, "tea")]
    assert "line 2" in fault(target, put("id,name\n1,가\n"), reading=Reading(encoding="ascii"))


@pytest.mark.parametrize("name", ["klingon", "hex", "", "a\0b", "undefined"])
def test_an_unknown_encoding(target: db.Connection, put: Any, name: str) -> None:
    with pytest.raises(errors.InvalidArgumentError, match="no encoding"):
        read(target, put("id\n1\n"), encoding=name)


# ---- delimiters ----


def test_a_pipe_between_fields_is_taken_and_said(target: db.Connection, put: Any) -> None:
    said, found = read(target, put("id|name|category\n1|tea|drink\n2|bread|food\n"))
    assert said == "with '|' between fields"
    assert found == [(1, "tea", "drink"), (2, "bread", "food")]
    said, found = read(target, put("id|name, short|category\n1|tea|a, b, c\n2|bread|food\n"))
    assert said == "with '|' between fields"
    assert found == [(1, "tea", "a, b, c"), (2, "bread", "food")]
    assert read(target, put("id,brand|name\n1,a|b\n2,c|d\n")) == ("", [(1, "a|b"), (2, "c|d")])


@pytest.mark.parametrize("mark", ["^|^", "||", "::", "^", "~", ":", "\x1f"])
def test_one_column_that_looks_like_several_is_refused(target: db.Connection, put: Any, mark: str) -> None:
    path = put(f"id{mark}name\n1{mark}tea\n2{mark}bread\n")
    said = fault(target, path)
    assert "it seems to have one column" in said
    assert "--delimiter" in said
    assert not exists(target, "t")
    assert len(read(target, path, delimiter=",")[1]) == 2, "one column it is"
    if len(mark) == 1:
        assert read(target, path, delimiter=mark)[1] == [(1, "tea"), (2, "bread")]


@pytest.mark.parametrize(
    "content", ["name\ntea\nbread, brown\n", "상품명(필수)\n녹차\n", "sku-code\na-b\ny-z\n", "a:b\nx\ny:z\n", "a|b\n"]
)
def test_one_column_is_one_column(target: db.Connection, put: Any, content: str) -> None:
    assert len(read(target, put(content.replace(", ", " ")))[1]) == content.count("\n") - 1


def test_excels_line_on_the_delimiter_is_followed(target: db.Connection, put: Any) -> None:
    for mark, first in ((";", "sep=;"), ("|", '"sep=|"'), (";", "SEP=;\r")):
        assert read(target, put(f"{first}\nid{mark}name\n1{mark}a,b,c\n"))[1] == [(1, "a,b,c")]
    assert "line 4: 1 fields" in fault(target, put("sep=;\nid;name\n1;a\n2\n"))


def test_tabs_without_quoting_are_read_and_said(target: db.Connection, put: Any) -> None:
    said, found = read(target, put('id\tname\n1\t"27형" 모니터\n2\t"tea\n3\t"\n'))
    assert said == "with quotes as text"
    assert found == [(1, '"27형" 모니터'), (2, '"tea'), (3, '"')]
    assert read(target, put('id\tname\n1\t"two\nlines"\n')) == ("", [(1, "two\nlines")])
    assert "a quoted field has no closing quote" in fault(target, put('id\tname\n1\t"tea\n2\n'), "u")


# ---- headers ----

HEADER = "등록상품ID,상품명,가격"
DATA = "1,녹차,1000\n2,커피,2000\n"
FOUND = [(1, "녹차", 1000), (2, "커피", 2000)]


@pytest.mark.parametrize(
    "above",
    [
        "쿠팡 상품 목록입니다\n",
        "상품목록,,\n",
        "상품목록,,\n,,\n",
        '"필수 항목을 꼭 입력해 주세요, 아래는\n예시입니다"\n\n2024-05-01 기준 자료\n',
    ],
)
def test_a_title_above_the_header_is_passed_over_and_said(target: db.Connection, put: Any, above: str) -> None:
    said, found = read(target, put(f"{above}{HEADER}\n{DATA}"))
    line = above.count("\n") + 1
    assert said.startswith(f"Line {line} is the header; skipped ")
    assert "above it" in said
    assert list(types(target)) == HEADER.split(",")
    assert found == FOUND


@pytest.mark.parametrize(
    "content",
    ["id\n1,tea\n2,bread\n", "상품 목록\n1,tea\n2,bread\n", "안내 문구\n가,나,다\n"],
)
def test_a_header_is_not_guessed_where_it_is_not_sure(target: db.Connection, put: Any, content: str) -> None:
    assert "--header-line N" in fault(target, put(content))
    assert not exists(target, "t")


def test_the_line_of_the_header_can_be_said(target: db.Connection, put: Any) -> None:
    path = put(f"안내 1,안내 2,안내 3\n또,,\n\n{HEADER}\n{DATA}")
    said, found = read(target, path, header_line=4)
    assert said == "Line 4 is the header; skipped 2 lines above it."
    assert found == FOUND
    assert "line 3 has no row" in fault(target, path, reading=Reading(header_line=3))
    assert "line 40 has no row" in fault(target, path, reading=Reading(header_line=40))
    assert "line 4: " in fault(target, put(f"x\n{HEADER}\n1,a,2\n1,b\n"), reading=Reading(header_line=2))


def test_a_column_name_twice_is_numbered_and_said(target: db.Connection, put: Any) -> None:
    said, found = read(target, put("id,아이콘,아이콘,아이콘 2,아이콘\n1,a,b,c,d\n"))
    assert list(types(target)) == ["id", "아이콘", "아이콘 3", "아이콘 2", "아이콘 4"]
    assert "Column 3 becomes '아이콘 3', because an earlier column is '아이콘'" in said
    assert "Column 5 becomes '아이콘 4'" in said
    assert found == [(1, "a", "b", "c", "d")]


def test_columns_are_renamed_by_name_or_position(target: db.Connection, put: Any) -> None:
    path = put(f"id,name,name,a=b,{'가' * 30}\n1,a,b,c,d\n")
    assert "--rename 5=NAME" in fault(target, path)
    said, _ = read(target, path, rename=("2=first", "3=second", "a=b=eq", "5=long", "id=sku"))
    assert list(types(target)) == ["sku", "first", "second", "eq", "long"]
    assert said == ""
    assert "2 columns 'name'" in fault(target, path, reading=Reading(rename=("name=x",)))
    assert "no column 'nothing'" in fault(target, path, reading=Reading(rename=("nothing=x",)))
    assert "no column '6'" in fault(target, path, reading=Reading(rename=("6=x",)))
    for rule in ("id", "id=", "="):
        with pytest.raises(errors.InvalidArgumentError, match="OLD=NEW"):
            read(target, put("id\n1\n"), rename=(rule,))


def test_empty_columns_at_the_end_are_left_out_and_said(target: db.Connection, put: Any) -> None:
    said, found = read(target, put("id,name,,\n1,a,,\n2,b,,\n"))
    assert (said, found) == ("Skipped 2 empty columns at the end.", [(1, "a"), (2, "b")])
    said, found = read(target, put("id,name\n1,a,\n2,b\n"))
    assert (said, found) == ("Skipped 1 empty column at the end.", [(1, "a"), (2, "b")])
    assert "line 3: column 3 has no name, but it has a value" in fault(target, put("id,name,,\n1,a,,\n2,b,x,\n"), "u")
    assert "column 2 has no name" in fault(target, put("id,,name\n1,a,b\n"), "u")


def test_empty_rows_are_passed_over_and_counted(target: db.Connection, put: Any) -> None:
    said, found = read(target, put("id,name\n1,a\n,\n2,b\n,\n,\n"))
    assert (said, found) == ("Skipped 3 empty rows.", [(1, "a"), (2, "b")])


GODOMALL = (
    "상품번호,상품명,가격,아이콘 코드,아이콘 코드\ngoods_no,goods_nm,price,icon,icon2\n"
    "10자리 숫자 (등록시에는 자동 생성),필수,숫자만,^|^ 로 구분,\n"
)


def test_rows_that_explain_the_columns_are_refused_or_passed_over(target: db.Connection, put: Any) -> None:
    path = put((GODOMALL + "1000000001,녹차,1000,,\n1000000002,커피,2000,,\n").encode("cp949"))
    said = fault(target, path)
    assert "line 2: the 2 rows below the header seem to explain the columns" in said
    assert "--skip-rows 2" in said
    assert not exists(target, "t")
    said, found = read(target, path, skip_rows=2)
    assert "Skipped 2 rows below the header." in said
    assert found == [(1000000001, "녹차", 1000, None, None), (1000000002, "커피", 2000, None, None)]
    assert types(target)["상품번호"] == "bigint"
    assert len(read(target, path, skip_rows=0)[1]) == 4
    said, found = read(target, path, header_line=2, skip_rows=1)
    assert list(types(target))[:2] == ["goods_no", "goods_nm"]
    assert len(found) == 2


def test_one_odd_first_value_is_a_warning(target: db.Connection, put: Any) -> None:
    data = "".join(f"s{n},tea {n},{n}00\n" for n in range(1, 30))
    said, found = read(target, put(f"sku,name,price\nfirst,tea,문의\n{data}"))
    assert "Without line 2, the column 'price' would be numbers" in said
    assert "--skip-rows 1" in said
    assert len(found) == 30
    assert read(target, put(f"sku,name,price\nfirst,tea,1\n{data}"))[0] == ""


def test_rows_that_explain_the_columns_of_an_existing_table(target: db.Connection, put: Any) -> None:
    target.execute("create table t (id int, price int)")
    assert "--skip-rows 1" in fault(target, put("id,price\n번호,가격\n1,2\n"))
    assert "--skip-rows" not in fault(target, put("id,price\n1,2\n번호,가격\n"))


# ---- kinds of files ----


def test_what_can_be_read_only_once_is_refused(target: db.Connection, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.csv")
    assert "is not a file. An import reads its file twice. Write the data" in fault(target, tmp_path / "pipe.csv")


@pytest.mark.parametrize("columns", [1601, 1500])
def test_more_columns_than_a_table_or_a_row_can_have(target: db.Connection, put: Any, columns: int) -> None:
    header = ",".join(f"c{n}" for n in range(columns))
    assert "items.csv" in fault(target, put(f"{header}\n{','.join('1' * columns)}\n"), "new.t")
    assert not exists(target, "new.t")


def xlsx(*sheets: list[list[Any]], names: tuple[str, ...] = ("Sheet1", "Sheet2", "Sheet3")) -> bytes:
    """Return a workbook as Excel would store it; texts are inline, a float keeps its style of a day."""
    spreadsheet = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
    office = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
    package = "http://schemas.openxmlformats.org/package/2006/relationships"

    def cell(value: Any) -> str:
        if value is None:
            return "<c/>"
        if isinstance(value, bool):
            return f'<c t="b"><v>{int(value)}</v></c>'
        if isinstance(value, str):
            return f'<c t="inlineStr"><is><t xml:space="preserve">{escape(value)}</t></is></c>'
        if isinstance(value, tuple):  # a day, or a time
            return f'<c s="1"><v>{value[0]}</v></c>'
        return f"<c><v>{value}</v></c>"

    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        listed = "".join(f'<sheet name="{names[n]}" sheetId="{n + 1}" r:id="r{n}"/>' for n in range(len(sheets)))
        links = (
            "".join(
                f'<Relationship Id="r{n}" Type="{office}/worksheet" Target="worksheets/s{n}.xml"/>'
                for n in range(len(sheets))
            )
            + f'<Relationship Id="rs" Type="{office}/styles" Target="styles.xml"/>'
        )
        archive.writestr(
            "_rels/.rels",
            f'<Relationships xmlns="{package}"><Relationship Id="r" Type="{office}/officeDocument" '
            'Target="xl/workbook.xml"/></Relationships>',
        )
        archive.writestr(
            "xl/workbook.xml",
            f'<workbook xmlns="{spreadsheet}" xmlns:r="{office}"><sheets>{listed}</sheets></workbook>',
        )
        archive.writestr("xl/_rels/workbook.xml.rels", f'<Relationships xmlns="{package}">{links}</Relationships>')
        archive.writestr(
            "xl/styles.xml",
            f'<styleSheet xmlns="{spreadsheet}"><cellXfs count="2"><xf numFmtId="0"/><xf numFmtId="22"/></cellXfs>'
            "</styleSheet>",
        )
        for n, sheet in enumerate(sheets):
            body = "".join(f"<row>{''.join(map(cell, row))}</row>" for row in sheet)
            archive.writestr(
                f"xl/worksheets/s{n}.xml",
                f'<worksheet xmlns="{spreadsheet}"><sheetData>{body}</sheetData></worksheet>',
            )
    return file.getvalue()


def test_an_excel_file_is_read(target: db.Connection, put: Any) -> None:
    sheet: list[list[Any]] = [
        ["상품 목록입니다", None],
        ["id", "이름", "가격", "코드", "날", "때", "판매", ""],
        [1, "녹차\n티백", 1500.5, "00123", (45351,), (45293.5,), True, None],
        [12345678901234, " 커피 & 차 ", 2, "7", (45352,), (45294,), False, None],
    ]
    for name in ("items.xlsx", "items.csv", "items"):
        said, found = read(target, put(xlsx(sheet), name))
        assert said.startswith("Line 2 is the header; skipped 1 line above it")
        assert "Skipped 1 empty column at the end." in said
        assert found[0][:4] == (1, "녹차\n티백", Decimal("1500.5"), "00123")
        assert found[1][:4] == (12345678901234, " 커피 & 차 ", 2, "7")
        assert list(types(target).values()) == [
            "bigint", "text", "numeric", "text", "date", "timestamp without time zone", "boolean",
        ]  # fmt: skip
        assert [str(value) for value in found[0][4:]] == ["2024-02-29", "2024-01-02 12:00:00", "True"]
        assert [str(value) for value in found[1][4:]] == ["2024-03-01", "2024-01-03 00:00:00", "False"]


def test_the_sheet_of_an_excel_file_is_said_and_can_be_chosen(target: db.Connection, put: Any) -> None:
    path = put(xlsx([], [["id"], [1]], [["id"], [2], [3]]), "items.xlsx")
    said, found = read(target, path)
    assert (said, found) == ("Read the sheet 'Sheet2'; there is also 'Sheet3' (--sheet NAME).", [(1,)])
    assert read(target, path, sheet="Sheet3") == ("", [(2,), (3,)])
    assert "there is no sheet 'x'. It has: Sheet1, Sheet2, Sheet3" in fault(target, path, reading=Reading(sheet="x"))
    assert "the file is empty" in fault(target, path, reading=Reading(sheet="Sheet1"))
    assert "Excel file cannot be read" in fault(target, put(path.read_bytes()[:-40], "cut.xlsx"))
    assert "id '1' is already in line 2" in fault(target, put(xlsx([["id"], [1], [1]])), "u")


# Written by Excel 97 to 2003: id, 이름; 1, 녹차; 2, 커피.
XLS = (
    "c-rk)O=wd=5dP*RX_7~pzSLA`g%S$ZT6+;M9&Dcq+LNVvQAE(x=1^Kv3BA;VR@;CVLGYw_DfHr{+KXEB&>ln&#fm=&f{>^;PlAGnHqY6~K22*64QNo=@3FJ<W@d"
    "Ni?aofJ`+PZ3n4W7XVjX%AK*@`uu0lp!qW+5m)_a~}{W`+MGx(<vjqpO&h48R`DXi8|t#=U??gkf`0`Iw;!a4MfW;3Z8;-L7DCgnpnQ^GBl#L+BXH3~f|bc@hCV)"
    ";nuevw=i+Re5FI*DbsuXC@C;uBVz=;BcQ-j_CSMY0=Bc&eiK;x#JUhHxM^lpgsz6|KP-X29##o5^N!>5&4Gynr+K>ZO1${!U#;8F_8x1eSkWD-UlVzitJA33z8D!"
    "1IXVaX@J-T3opDY6Wdzy%Y}4p+Pnpdonf8)%aY;5?3Fe?R#yjq%51*S+j}jCAecu2hkvWLPFf(G`({B^NS+`{qAXzOi1D`r}yp3BY3!^T5#jIXv8V8?G(C8=w<13"
    "oA50{lN^{_xA!+`=J2H0Oo_Ig$Jrxz>F%iDJDAUZI{KhB|H0kK{A_RWd~)`UJI&u8W$#IzNpw*c-MpbN@A@_ARPat{^Dk*3VmaD(PydEBU=_Bo38CdTH9Ms3X`TH"
    "A%NAKe=2h9#kJ(iA)&};L*xTB^Jo{=Ed#py>Q%X)!KViebz`(%3z`(%3pe7*w$3CDB8X<jr2<v;DRW2oSP4eI37)JRS<AdoTWVy~^ysG%wiV*pI(I(sY_k{|_dGs8"
    "HF(7^nR~^56{G-b6*>pqa_idqS$1hdm=N}&bJ6f&BX#"
)


def test_an_old_excel_file_is_read(target: db.Connection, put: Any) -> None:
    path = put(zlib.decompress(base64.b85decode(XLS)), "items.xls")
    assert read(target, path) == ("", [(1, "녹차"), (2, "커피")])
    assert "save it as .xlsx" in fault(target, put(path.read_bytes()[:600], "cut.xls"))


def test_without_calamine_the_error_names_the_extra(
    target: db.Connection, put: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = put(xlsx([["id"], [1]]), "items.xlsx")
    monkeypatch.setitem(sys.modules, "python_calamine", None)
    with pytest.raises(errors.MissingExtraError) as caught:
        read(target, path)
    assert "pip install '.[excel]'" in str(caught.value.hint)


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"<html><body><table><tr><td>id</td></tr></table>", "a web page or XML"),
        (b"\xef\xbb\xbf\r\n  <!DOCTYPE html>\r\n<html>", "a web page or XML"),
        (b"<table border=1><tr><th>id</th></tr></table>", "a web page or XML"),
        (b'<?xml version="1.0"?><Workbook/>', "a web page or XML"),
        (b"%PDF-1.7 ", "a PDF file"),
        (b"7z\xbc\xaf\x27\x1c\0\4", "a 7z archive"),
    ],
)
def test_what_is_no_table_is_called_by_its_name(target: db.Connection, put: Any, content: bytes, kind: str) -> None:
    for name in ("items.xls", "items.csv"):
        said = fault(target, put(content, name))
        assert f"{name} is {kind}, not a table" in said
        assert "CSV" in said


def test_a_zip_archive_is_to_be_unpacked(target: db.Connection, put: Any) -> None:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("items.csv", "id\n1\n")
    assert "is a ZIP archive, not a table. Unpack it" in fault(target, put(file.getvalue(), "items.csv"))


def test_a_compressed_file_needs_no_ending(target: db.Connection, put: Any) -> None:
    assert read(target, put(gzip.compress(b"id\n1\n"), "items.csv"))[1] == [(1,)]


def test_an_option_that_means_nothing_to_a_file_is_refused(target: db.Connection, put: Any, tmp_path: Path) -> None:
    pq.write_table(pa.table({"id": [1]}), tmp_path / "a.parquet")
    for path, reading in (
        (put(xlsx([["id"], [1]]), "a.xlsx"), Reading(encoding="cp949")),
        (tmp_path / "a.parquet", Reading(header_line=1)),
        (put("id\n1\n"), Reading(sheet="x")),
    ):
        with pytest.raises(errors.InvalidArgumentError, match="does not apply to a file"):
            import_export.import_table(target, path, "t", reading=reading)


# ---- Parquet ----


def test_a_parquet_file_with_a_damaged_page_is_refused(target: db.Connection, tmp_path: Path) -> None:
    path = tmp_path / "in.parquet"
    table = pa.table({"id": list(range(2000)), "name": [f"tea {n}" for n in range(2000)]})
    pq.write_table(table, path, write_page_checksum=True, compression="none", use_dictionary=False)
    data = bytearray(path.read_bytes())
    at = data.index(b"tea 1234")
    data[at : at + 3] = b"sea"
    path.write_bytes(data)
    said = fault(target, path)
    assert "the file is damaged" in said
    assert "CRC" in said
    assert not exists(target, "t")
    pq.write_table(pa.table({"id": [1, 2], "name": ["tea", None]}), path)
    path.write_bytes(b"\0\0" + path.read_bytes()[4:])
    assert "the file is damaged" in fault(target, path)
    assert not exists(target, "t")


def test_a_complete_parquet_file_with_an_unusable_schema(target: db.Connection, tmp_path: Path) -> None:
    path = tmp_path / "in.parquet"
    pq.write_table(pa.table({"id": [1], "tags": [[("a", 1)]]}, pa.schema(
        {"id": pa.int64(), "tags": pa.map_(pa.string(), pa.int64())})), path)  # fmt: skip
    assert "column 'tags' has the type map" in fault(target, path)
    whole = path.read_bytes()
    path.write_bytes(whole[:-8] + (2**31 - 1).to_bytes(4, "little") + b"PAR1")
    assert "is complete, but its schema is unreadable" in fault(target, path)
    pq.write_table(pa.table({}), path)
    assert "the file has no columns" in fault(target, path)
    path.write_bytes(whole[:-30])
    assert "not a complete Parquet file" in fault(target, path)


def test_bytes_that_are_text_become_text_and_it_is_said(target: db.Connection, tmp_path: Path) -> None:
    path = tmp_path / "in.parquet"
    names = pa.array(["녹차".encode(), None, b""])
    table = {"id": [1, 2, 3], "name": names, "raw": [b"\xff", b"a", None], "none": pa.nulls(3, pa.binary())}
    pq.write_table(pa.table(table), path)
    said, found = read(target, path)
    assert said == "Read as text, because the bytes are UTF-8: name."
    assert list(types(target).values()) == ["bigint", "text", "bytea", "bytea"]
    assert [name for _, name, *_ in found] == ["녹차", None, ""]
    target.execute("create table e (id int, name text, raw bytea, none text)")
    target.execute("create table f (id int, name bytea, raw bytea, none text)")
    import_export.import_table(target, path, "e")
    import_export.import_table(target, path, "f")
    assert rows(target, "select name from e order by id") == [("녹차",), (None,), ("",)]
    assert rows(target, "select name from f order by id") == [("녹차".encode(),), (None,), (b"",)]
