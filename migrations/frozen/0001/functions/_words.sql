-- Words of a text: compatibility-composed (NFKC), in lower case, cut at everything that is not a letter or a digit.
-- No locale takes part: the letters that change case and the signs that separate words are written out.
create or replace function aisle._words(text text) returns text[]
language sql immutable parallel safe
as $function$
    select array_remove(regexp_split_to_array(
        translate(lower(normalize(left(coalesce(text, ''), 2000), NFKC) collate "C"),
            'ÀÁÂÃÄÅÆÇÈÉÊËÌÍÎÏÐÑÒÓÔÕÖØÙÚÛÜÝÞĀĂĄĆĈĊČĎĐĒĔĖĘĚĜĞĠĢĤĦĨĪĬĮĴĶĹĻĽŁŃŅŇŌŎŐŒŔŖŘŚŜŞŠŢŤŦŨŪŬŮŰŲŴŶŸŹŻŽΑΒΓΔΕΖΗΘΙΚΛΜΝΞΟΠΡΣΤΥΦΧΨΩАБВГДЕЖЗИЙКЛМНОПРСТУФХЦЧШЩЪЫЬЭЮЯЁЄІЇҐ',
            'àáâãäåæçèéêëìíîïðñòóôõöøùúûüýþāăąćĉċčďđēĕėęěĝğġģĥħĩīĭįĵķĺļľłńņňōŏőœŕŗřśŝşšţťŧũūŭůűųŵŷÿźżžαβγδεζηθικλμνξοπρστυφχψωабвгдежзийклмнопрстуфхцчшщъыьэюяёєіїґ'),
        '[\u0001-/:-@\[-`{-\u00bf×÷\u2000-\u2bff\u3000-\u3004\u3008-\u3020\u3030\ufe00-\ufe0f\uff00-\uff0f\U0001f000-\U0001faff]+'), '')
$function$;
