"""Writes src/text/unicode_tables.cpp: what Hugging Face `tokenizers` believes about every code point.

The Rust crates inside `tokenizers` follow several versions of Unicode, all different from ICU's, so every property is
asked of the library itself, code point by code point. `unicodedata` only proposes candidates; the library's answer decides.

    .venv/bin/python tools/text/make_unicode_tables.py
"""

import pathlib
import unicodedata

import tokenizers
from charsmap import build_charsmap
from tokenizers import AddedToken, Regex, Tokenizer, models, normalizers, pre_tokenizers

OUTPUT = pathlib.Path(__file__).resolve().parents[2] / "src/text/unicode_tables.cpp"
HANGUL = range(0xAC00, 0xD7A4)
CODE_POINTS = [c for c in range(0x110000) if not 0xD800 <= c < 0xE000]

NFD, NFC = normalizers.NFD().normalize_str, normalizers.NFC().normalize_str
NFKD = normalizers.NFKD().normalize_str
LOWER = normalizers.Lowercase().normalize_str


def bert(**options):
    off = dict(clean_text=False, handle_chinese_chars=False, strip_accents=False, lowercase=False)
    return normalizers.BertNormalizer(**{**off, **options}).normalize_str


def pieces(pre_tokenizer, text):
    return [piece for piece, _ in pre_tokenizer.pre_tokenize_str(text)]


def simple_properties():
    """Bit name -> predicate on one character."""
    clean, chinese, strip = bert(clean_text=True), bert(handle_chinese_chars=True), bert(strip_accents=True)
    accents = normalizers.StripAccents().normalize_str
    white, words, punctuation = pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Whitespace(), pre_tokenizers.Punctuation()
    return {
        "kWhiteSpace": lambda c: len(pieces(white, "a" + c + "b")) == 2,
        # BERT's cleaning also drops NUL and U+FFFD by name; they are not of the class.
        "kOther": lambda c: clean("a" + c + "b") == "ab" and c != "\ufffd",
        "kPunctuation": lambda c: len(pieces(punctuation, "a" + c + "b")) == 3,
        "kChinese": lambda c: chinese(c) == " " + c + " ",
        "kNonspacingMark": lambda c: NFD(c) == c and strip("a" + c) == "a",
        "kCombiningMark": lambda c: accents("a" + c) == "a",
        "kWord": lambda c: pieces(words, "a" + c + "b") == ["a" + c + "b"],
        "kLowercases": lambda c: LOWER(c) != c,
    }


def check_white_space(white_space):
    """Every notion of white space in the library is the same set; else one table would not do."""
    onig = normalizers.Replace(Regex(r"\s"), "").normalize_str
    strip = normalizers.Strip().normalize_str
    added = Tokenizer(models.WordLevel({"a": 0}, unk_token="a"))
    added.add_tokens([AddedToken("<x>", rstrip=True, normalized=False)])
    for c in map(chr, CODE_POINTS):
        expected = c in white_space
        assert (onig("a" + c + "b") == "ab") == expected, hex(ord(c))
        assert (strip(c) == "") == expected, hex(ord(c))
        assert (added.encode("<x>" + c).offsets[0][1] == 4) == expected, hex(ord(c))


def combining_classes():
    """ccc of every code point that does not decompose, from the order into which NFD brings it and known marks."""
    references = {}
    for c in map(chr, CODE_POINTS):
        value = unicodedata.combining(c)
        if value and NFD(c) == c and (NFD("a\u0345" + c) != "a\u0345" + c or NFD(c + "\u0334") != c + "\u0334"):
            references.setdefault(value, c)
    classes = {}
    for c in map(chr, CODE_POINTS):
        if NFD(c) != c or (NFD("a\u0345" + c) == "a\u0345" + c and NFD("a" + c + "\u0334") == "a" + c + "\u0334"):
            continue
        equal = [k for k, r in references.items() if NFD("a" + c + r) == "a" + c + r and NFD("a" + r + c) == "a" + r + c]
        assert len(equal) == 1, (hex(ord(c)), equal)
        classes[c] = equal[0]
    return classes


def decompositions(normalize):
    found = {chr(c): normalize(chr(c)) for c in CODE_POINTS if c not in HANGUL and normalize(chr(c)) != chr(c)}
    for c in HANGUL:
        lead, vowel, tail = (c - 0xAC00) // 588, (c - 0xAC00) // 28 % 21, (c - 0xAC00) % 28
        jamo = chr(0x1100 + lead) + chr(0x1161 + vowel) + (chr(0x11A7 + tail) if tail else "")
        assert normalize(chr(c)) == jamo, hex(c)
    return found


def compositions(canonical):
    pairs = {}
    for composed, full in canonical.items():
        if NFC(full) != composed:
            continue  # excluded from composition
        parts = unicodedata.decomposition(composed).split()
        pair = "".join(chr(int(part, 16)) for part in parts)
        assert len(pair) == 2 and NFC(pair) == composed, hex(ord(composed))
        pairs[pair] = composed
    return pairs


def grapheme_properties():
    """Name -> set of the code points that have it, asked through Precompiled. That normalizer looks a cluster of under six
    bytes up whole and then replaces all of it, but a longer cluster character by character: "x" + U+0301 becomes "Q" if
    the two are a cluster of their own, and "QW" if they are the end of a longer one."""
    ka, halant, vowel, tail, copyright_sign = "\u0915", "\u094d", "\u1161", "\u11a8", "\u00a9"
    rules = {key: "Q" for key in ["a", ka, vowel, tail, copyright_sign]} | {"\u0301": "W"}
    normalize = normalizers.Precompiled(build_charsmap(rules)).normalize_str

    def joined(before, last):
        return normalize(before + last + "\u0301").endswith("QW")

    def all_that(predicate):
        return {c for c in map(chr, CODE_POINTS) if ord(c) >= 0x80 and c not in rules and predicate(c)}

    extending = {c for c in map(chr, CODE_POINTS) if ord(c) >= 0x80 and normalize("a" + c) == "Q"}
    prepend = all_that(lambda c: joined(c, "a")) - extending
    others = lambda predicate: all_that(predicate) - extending - prepend
    before_vowel, before_tail = others(lambda c: joined(c, vowel)), others(lambda c: joined(c, tail))
    linker = {c for c in extending if joined(ka + c, ka)}
    extend = {c for c in extending if joined(copyright_sign + c + "\u200d", copyright_sign)} | {"\u0301", "\u200d"}
    classes = {
        "Extend": extend - {"\u200d"},
        "SpacingMark": extending - extend,
        "Prepend": prepend,
        "Control": others(lambda c: normalize(c + "\u0301\u0301").endswith(c + "W")),
        "HangulL": before_vowel - before_tail,
        "HangulV": (before_vowel & before_tail | {vowel}) - set(map(chr, HANGUL)),
        "HangulT": (before_tail - before_vowel | {tail}) - set(map(chr, HANGUL)),
        "InCbConsonant": others(lambda c: joined(c + halant, ka)) | {ka},
        "InCbLinker": linker,
        "InCbExtend": {c for c in extending if joined(ka + halant + c, ka)} - linker,
        "Pictographic": others(lambda c: joined(c + "\u200d", copyright_sign)) | {copyright_sign},
    }
    return classes


# In the order of the enumerators of GraphemeClass and IndicClass in unicode.h.
GRAPHEME_CLASSES = ["Control", "Extend", "SpacingMark", "Prepend", "HangulL", "HangulV", "HangulT"]
INDIC_CLASSES = ["InCbConsonant", "InCbLinker", "InCbExtend"]


def all_properties(canonical, compatibility, pairs):
    """One 32-bit word a code point, laid out as unicode.h says."""
    predicates = simple_properties()
    sets = {name: {c for c in map(chr, CODE_POINTS) if holds(c)} for name, holds in predicates.items()}
    check_white_space(sets["kWhiteSpace"])
    sets["kDecomposes"] = set(canonical)
    sets["kDecomposesCompatibly"] = set(compatibility)
    sets["kComposesBackward"] = {pair[1] for pair in pairs} | set(map(chr, [*range(0x1161, 0x1176), *range(0x11A8, 0x11C3)]))
    graphemes = grapheme_properties()
    sets["kPictographic"] = graphemes["Pictographic"]
    for name, pattern in (("kLetter", r"\p{L}"), ("kNumber", r"\p{N}")):
        removed = normalizers.Replace(Regex(pattern), "").normalize_str
        sets[name] = {c for c in map(chr, CODE_POINTS) if removed(c) == ""}

    words = [0] * 0x110000
    for c, value in combining_classes().items():
        words[ord(c)] |= value
    for bit, name in enumerate(sets, start=8):
        for c in sets[name]:
            words[ord(c)] |= 1 << bit
    for shift, names in ((24, GRAPHEME_CLASSES), (28, INDIC_CLASSES)):
        for value, name in enumerate(names, start=1):
            for c in graphemes[name]:
                assert words[ord(c)] >> shift == 0 or shift == 28 and words[ord(c)] >> 28 == 0, hex(ord(c))
                words[ord(c)] |= value << shift
    for c in [*range(0x20), 0x7F]:
        words[c] |= (GRAPHEME_CLASSES.index("Control") + 1) << 24
    return list(sets), words


def print_array(out, declaration, values, per_line):
    print(f"{declaration} = {{", file=out)
    for i in range(0, len(values), per_line):
        print("    " + ", ".join(values[i : i + per_line]) + ",", file=out)
    print("};\n", file=out)


def print_mappings(out, name, mappings, pool):
    rows = []
    for source, target in sorted(mappings.items()):
        offset = pool.find(target)
        if offset < 0:
            offset = len(pool)
            pool += target
        rows.append(f"{{{ord(source):#x}, {offset}, {len(target)}}}")
    print_array(out, f"constexpr Mapping {name}[]", rows, 6)
    return pool


def main():
    canonical, compatibility = decompositions(NFD), decompositions(NFKD)
    lowercase = {chr(c): LOWER(chr(c)) for c in CODE_POINTS if LOWER(chr(c)) != chr(c)}
    pairs = compositions(canonical)
    names, words = all_properties(canonical, compatibility, pairs)
    runs = [c for c in range(0x110000) if c == 0 or words[c] != words[c - 1]]
    with OUTPUT.open("w") as out:
        print(f"// Written by tools/text/make_unicode_tables.py from tokenizers {tokenizers.__version__}. Do not edit.", file=out)
        print('// clang-format off\n#include "text/unicode_tables.h"\n', file=out)
        print("namespace laconic::text {\nnamespace {\n", file=out)
        print("// Bits 8 and up:", file=out)
        for i in range(0, len(names), 8):
            print("// " + " ".join(names[i : i + 8]), file=out)
        print_array(out, "constexpr PropertyRun kPropertyRunValues[]", [f"{{{c:#x}, {words[c]:#x}}}" for c in runs], 6)
        pool = ""
        pool = print_mappings(out, "kCanonicalValues", canonical, pool)
        pool = print_mappings(out, "kCompatibilityValues", compatibility, pool)
        pool = print_mappings(out, "kLowercaseValues", lowercase, pool)
        rows = [f"{{{ord(p[0]):#x}, {ord(p[1]):#x}, {ord(c):#x}}}" for p, c in sorted(pairs.items())]
        print_array(out, "constexpr Composition kCompositionValues[]", rows, 5)
        print_array(out, "constexpr char32_t kPoolValues[]", [f"{ord(c):#x}" for c in pool], 12)
        print("}  // namespace\n", file=out)
        for kind, name in (("PropertyRun", "PropertyRun"), ("Mapping", "Canonical"), ("Mapping", "Compatibility"),
                           ("Mapping", "Lowercase"), ("Composition", "Composition"), ("char32_t", "Pool")):
            print(f"std::span<const {kind}> {name}Table() noexcept {{ return k{name}Values; }}", file=out)
        print("\n}  // namespace laconic::text", file=out)


if __name__ == "__main__":
    main()
