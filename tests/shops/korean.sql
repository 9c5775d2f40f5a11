-- The shape of a Korean shop: Korean names of columns, codes of products as keys, yes and no as letters, no foreign keys.
create table "상품" ("상품코드" varchar(20) primary key, "상품명" varchar(200) not null, "분류번호" int, "제조사" varchar(100), "상품설명" text, "판매가격" int, "재고수량" int, "판매여부" char(1), "삭제여부" char(1), "등록일시" timestamp);
create table "상품분류" ("분류번호" int primary key, "분류명" varchar(100), "상위분류번호" int);
create table "회원" ("회원번호" int primary key, "회원명" varchar(50));
create table "주문" ("주문번호" bigint primary key, "회원번호" int, "주문일시" timestamp, "주문상태" varchar(20), "총금액" int);
create table "주문상세" ("주문상세번호" bigint primary key, "주문번호" bigint, "상품코드" varchar(20), "주문수량" int, "반품수량" int, "단가" int);
insert into "상품분류" select n, '대분류 ' || n, null from generate_series(1, 3) n union all select n, '중분류 ' || n, 1 + n % 3 from generate_series(4, 15) n;
insert into "상품" select 'P' || lpad(n::text, 6, '0'), '물건 ' || n, 4 + n % 12, '회사 ' || n % 14, '설명 ' || n, 1000, n % 9, case when n % 15 = 0 then 'N' else 'Y' end, case when n % 31 = 0 then 'Y' else 'N' end, now() from generate_series(1, 140) n;
insert into "회원" select n, '회원 ' || n from generate_series(1, 50) n;
insert into "주문" select n, 1 + n % 50, timestamp '2026-01-01' + n * interval '6 hours', case when n % 9 = 0 then '주문취소' when n % 12 = 0 then '반품완료' else '배송완료' end, 5000 from generate_series(1, 300) n;
insert into "주문상세" select n, 1 + n % 300, 'P' || lpad((1 + (n * 7) % 140)::text, 6, '0'), 1, 0, 1000 from generate_series(1, 900) n;
