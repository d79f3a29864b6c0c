"""JSON, YAML, text and SentencePiece."""

from __future__ import annotations

import json

from modelsync.gate.jsontext import check_json
from modelsync.gate.text import check_sentencepiece, check_text
from modelsync.gate.yamltext import check_yaml
from support.formats import CUT, Corrupt, Format, every

PIPER = {
    "audio": {"sample_rate": 22050, "quality": "medium"},
    "espeak": {"voice": "de"},
    "inference": {"noise_scale": 0.667, "length_scale": 1, "noise_w": 0.8},
    "phoneme_id_map": {"_": [0], "^": [1], "$": [2], " ": [3], "ç": [16], "\u02c8": [120], "\u0329": [144]},
    "num_symbols": 256, "num_speakers": 1, "speaker_id_map": {},
}  # fmt: skip

_GOOD_JSON = [
    "null", "true", "1", "-0.5e-7", '""', "[]", "{}", " {} ", "\t[\r\n]", "[1]", "[1,2]", "[[],[[]],{}]",
    '["a",[1],"b"]',
    '{"a":1}', '{"a":{"a":{"a":1}}}', '[{"a":1},{"a":1}]', '{"a":[1,2,{"b":null}],"c":""}', '{"":0}', '"\\u00e9\\n\\/"',
    '"\\ud83d\\ude00"', '"\\ud800"', "[NaN,Infinity,-Infinity]", '{"a":1,"A":2}', '{"é":1,"e\u0301":2}', '"\x7f\u2028"',
    "[1.0,1e5,1E+5,0.1]", '{"a" : 1 , "b" : [ 1 , 2 ] }', "9" * 5000,
]  # fmt: skip

_BAD_JSON = {
    "": "before it is complete", " ": "before it is complete", "{": "before", "[": "before", '{"a"': "before",
    '{"a":': "before", '{"a":1': "before", '{"a":1,': "before", "[1": "before", "[1,": "before", "[[]": "before",
    "[1,]": "']' is out of place", '{"a":1,}': "'}' is out of place", "[,1]": "',' is out", "[1,,2]": "',' is out",
    "[1 2]": "'2' is out", '{"a" 1}': "'1' is out", '{"a",1}': "',' is out", "{1:2}": "'1' is out",
    "{null:1}": "'null' is out", '{"a":1:2}': "':' is out", "[1:2]": "':' is out", "[1}": "'}' is out",
    '{"a":1]': "']' is out", "]": "']' is out", "}": "'}' is out", "1 1": "'1' is out", "{} {}": "'{' is out",
    "[]]": "']' is out", "'a'": "is no JSON", "{a:1}": "is no JSON", "[01]": "'1' is out", "[1.]": "is no JSON",
    "[.5]": "is no JSON", "[+1]": "is no JSON", "[1e]": "is no JSON", "[--1]": "is no JSON", "[0x10]": "is no JSON",
    "nul": "is no JSON", "True": "is no JSON", "nan": "is no JSON", "// a\n1": "is no JSON", "[1] # a": "is no JSON",
    '"a': "is no JSON", '"\\x41"': "is no JSON", '"\\u12"': "is no JSON", '"a\nb"': "is no JSON",
    '"a\tb"': "is no JSON", '"\0"': "is no JSON", "[1]\0": "is no JSON", "\ufeff{}": "is no JSON",
    "\u00a0{}": "is no JSON", '{"a":1,"a":2}': "'\"a\"' twice", '{"a":[],"b":1,"a":{}}': "twice",
    '{"a":1,"\\u0061":2}': "twice", '[{"b":{"c":1,"c":1}}]': "twice", "[" * 65 + "]" * 65: "deeper than 64",
    '{"a":' * 65 + "1" + "}" * 65: "deeper than 64",
}  # fmt: skip


def _json_benign() -> dict[str, bytes]:
    vocabulary = {f"token{n}": n for n in range(20_000)}
    return {text[:40]: text.encode() for text in _GOOD_JSON} | {
        "Piper": json.dumps(PIPER).encode(),
        "Piper, indented": json.dumps(PIPER, indent=2, ensure_ascii=False).encode(),
        "a vocabulary": json.dumps({"model": {"vocab": vocabulary, "merges": list(vocabulary)}}).encode(),
        "a long string": json.dumps("x" * 500_000).encode(),
        "numbers over many blocks": json.dumps([n / 7 for n in range(30_000)]).encode(),
        "much white space": b"[" + b" " * 300_000 + b"1]",
        "64 deep": b"[" * 64 + b"]" * 64,
    }


def _json_corrupt() -> dict[str, Corrupt]:
    return (
        {f"{text[:40]!r}": (text.encode(), why) for text, why in _BAD_JSON.items()}
        | {
            "not UTF-8": (b'["\xff"]', "not UTF-8"),
            "UTF-8 cut off": (b'"\xc3', "not UTF-8"),
            "UTF-8 of a surrogate": (b'"\xed\xa0\x80"', "not UTF-8"),
            "UTF-16": ("{}".encode("utf-16"), "not UTF-8"),
            "a page": (b"<!doctype html><title>404</title>", "is no JSON"),
            "too many names": (json.dumps({str(n): 0 for n in range(300_001)}).encode(), "300,000 names"),
            "a string without end": (b'"' + b"x" * (3 << 20), "or longer than"),
        }
        | every(json.dumps(PIPER).encode(), 40, "before it is complete|is no JSON")
    )


_GOOD_YAML = [
    "", "a", "1", "[]", "{}", "a: 1", "a: {b: [1, 2]}", "- a\n- b", "a:\n  - 1\n  - {b: c}", "--- a\n--- b\n",
    "# only a comment",
    "%YAML 1.1\n---\na: 1", "a: |\n  text\n  more", "a: >-\n  folded", "? a\n: b", "? [a, b]\n: c", "'a': \"b\\n\"",
    "a: ~",
    "a: !!str 1", "a: !!float 1", "a: ! x", "a: !!binary aGk=", "a: !!set {b, c}", "a: &x 1\nb: *x",
    "a: &x [1, 2]\nb: [*x, *x]",
    "base: &b {c: 1}\nd:\n  <<: *b\n  e: 2", "a: &x 1\nb: &x 2\nc: *x", "é: ü", "a: 1\nA: 2", "[{a: 1}, {a: 1}]",
    "a: 2026-01-01",
    "{<<: {a: 1}, <<: {b: 2}}", "\ufeffa: 1",
]  # fmt: skip

_LAUGHS = "a0: &a0 [x, x]\n" + "".join(f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]\n" for n in range(1, 30))
_BAD_YAML = {
    "a: !!python/object/apply:os.system [id]": "python/object/apply", "!!python/name:os.system": "python/name",
    "!!python/object/new:subprocess.Popen [[id]]": "python/object/new", "!!python/module:os": "python/module",
    "!!python/tuple [1]": "python/tuple", "a: !!python/str x": "python/str",
    "!<tag:yaml.org,2002:python/none> a": "python/none",
    "!new:torch.nn.Linear {}": "'!new:torch.nn.Linear'", "a: !apply:os.system [id]": "!apply", "a: !ref <b>": "!ref",
    "a: !include /etc/passwd": "!include", "!ruby/object:Gem {}": "!ruby", "%TAG ! tag:x,1:\n---\n!a b": "tag:x,1:a",
    "%TAG !y! tag:yaml.org,2002:python/\n---\n!y!name:os.system x": "python/name", "[!x a]": "'!x'",
    "{!x a: 1}": "'!x'",
    "a: !!js/function x": "js/function", "a: !!unknown x": "unknown",
    "a: 1\na: 2": "'a' twice", "{a: 1, 'a': 2}": "'a' twice", "a: [{b: 1, b: 1}]": "'b' twice",
    "1: a\n1: b": "'1' twice",
    "a: *x": "'x' stands for nothing", "a: &x [*x]": "'x' stands for nothing",
    "--- &x a\n--- *x": "'x' stands for nothing",
    "&x {a: *x}": "'x' stands for nothing", _LAUGHS: "500,000 nodes", "[" * 65 + "]" * 65: "deeper than 64",
    "{a: " * 70 + "1" + "}" * 70: "deeper than 64", "".join(" " * n + "a:\n" for n in range(70)): "deeper than 64",
    "- " * 70 + "a": "deeper than 64", "[": "in line", "{": "in line", "[a": "in line", "a: [b": "in line",
    "a: 'b": "in line",
    'a: "b': "in line", "a: b: c": "in line", "\ta: 1": "in line", "a: @b": "in line", "a: `b": "in line",
    "- a\nb": "in line",
    "a: |\n b\n  c\n d\n- e": "in line", "%YAML 9.9\n---\na": "in line|version", "a: *": "in line", "a: & b": "in line",
    "a\0b": "malformed", "a: \x01": "malformed", "a: \x7f": "malformed", "}": "in line", "]": "in line",
    "a: ]": "in line", "--- [\n}": "in line",
}  # fmt: skip


def _yaml_corrupt() -> dict[str, Corrupt]:
    return {f"{text[:60]!r}": (text.encode(), why) for text, why in _BAD_YAML.items()} | {
        "not UTF-8": (b"a: \xff", "malformed"),
        "too large": (b"#" * ((4 << 20) + 1), "more than"),
        "a surrogate": (b"a: \xed\xa0\x80", "malformed"),
        "many laughs": (_LAUGHS.encode() + b"b: *a20", "nodes"),
    }


_SCRIPTS = ["tokens a 1", "日本語", "Grüße", "ελληνικά", "العربية", "हिन्दी", "ไทย", "한국어", "русский", "עברית"]


def _text_benign() -> dict[str, bytes]:
    return {text: f"{text}\n".encode() for text in _SCRIPTS} | {
        f"{len(text)} characters, {n} times": (text * n).encode() for n in (1, 9, 30_000) for text in _SCRIPTS[:6]
    } | {"empty": b"", "a mark": b"\xef\xbb\xbfa", "CRLF": b"a\r\nb", "other controls": b"a\x0b\x0c\x1b[0m",
         "no line": b"a", "tabs": b"a\tb"}  # fmt: skip


def _text_corrupt() -> dict[str, Corrupt]:
    noise = {f"byte {value:02x}": (b"text " + bytes([value]), "UTF-8") for value in range(0x80, 0x100, 5)}
    return noise | {f"NUL behind {n}": (b"a" * n + b"\0", "NUL") for n in (0, 1, 100, 300_000)} | {
        "UTF-16": ("text".encode("utf-16"), "UTF-8"),
        "UTF-16 without a mark": ("text".encode("utf-16-le"), "NUL"),
        "UTF-32": ("text".encode("utf-32-le"), "NUL"),
        "Latin-1": ("Grüße".encode("latin-1"), "UTF-8"),
        "GBK": ("拼音".encode("gbk"), "UTF-8"),
        "a surrogate": (b"\xed\xa0\x80", "UTF-8"),
        "an overlong slash": (b"\xc0\xaf", "UTF-8"),
        "beyond Unicode": (b"\xf4\x90\x80\x80", "UTF-8"),
        "cut off": ("é".encode()[:1], "UTF-8"),
        "a program": (b"\x7fELF\2\1\1\0", "NUL"),
        "a pickle": (b"\x80\x04N.", "UTF-8"),
        "an invalid byte far behind": (b"a" * 600_000 + b"\xff", "UTF-8"),
    }  # fmt: skip


def message(number: int, payload: bytes) -> bytes:
    """A field of bytes; up to 16 KiB of them."""
    size = len(payload)
    length = bytes([size]) if size < 0x80 else bytes([size & 0x7F | 0x80, size >> 7])
    return bytes([number << 3 | 2]) + length + payload


def piece(text: str | bytes, kind: int = 1) -> bytes:
    raw = text if isinstance(text, bytes) else text.encode()
    return message(1, message(1, raw) + b"\x15" + bytes(4) + b"\x18" + bytes([kind]))


def _sentencepiece_benign() -> dict[str, bytes]:
    core = piece("<unk>", 2) + piece("<s>", 3) + piece("</s>", 3)
    counts = {f"{n} pieces": core + b"".join(piece(f"▁{i}") for i in range(n)) for n in range(1, 300, 12)}
    return counts | {
        "a trainer": core + message(2, message(1, b"in.txt") + b"\x18\x01") + message(3, message(1, b"nmt")),
        "one piece": piece("a"),
        "bytes": b"".join(piece(f"<0x{n:02X}>", 6) for n in range(256)),
        "no score": message(1, message(1, b"a")),
        "a long piece": piece("a" * 300),
        "unknown fields": core + message(15, b"abc"),
    }


def _sentencepiece_corrupt() -> dict[str, Corrupt]:
    good = piece("<unk>", 2) + piece("a")
    return {
        "empty": (b"", "no pieces"),
        "no pieces": (message(2, b""), "no pieces"),
        "an empty piece": (good + piece(""), "no text"),
        "a piece without text": (good + message(1, b"\x18\x01"), "no text"),
        "a piece with two texts": (good + message(1, message(1, b"a") * 2), "no text"),
        "a piece not in UTF-8": (good + piece(b"\xff"), "not UTF-8"),
        "a piece of a number": (b"\x08\x01", "not bytes"),
        "a text of a number": (message(1, b"\x08\x01"), "not bytes"),
        "a piece too long": (piece("a" * 5000), "5,000 bytes"),
        "field 0": (b"\x02\x00" + good, "field 0"),
        "a group": (good + b"\x0b", "wire type 3"),
        "bytes beyond the end": (good + b"\x0a\x7f", "are left"),
        "a varint without end": (good + b"\x18" + b"\x80" * 12, "cut off or too large"),
        "a score cut off": (message(1, message(1, b"a") + b"\x15\0"), "are left"),
        "a page": (b"<html>", "no well-formed"),
        "the end of a group": (good + b"\x0c", "wire type 4"),
        "wire type 6": (good + b"\x0e", "wire type 6"),
        "wire type 7": (good + b"\x0f", "wire type 7"),
        "a field beyond the last": (good + b"\xfa\xff\xff\xff\xff\x01\0", "a field"),
        "half a key": (good + b"\x80", "cut off or too large"),
        "a key without a value": (good + b"\x10", "cut off or too large"),
        "a length without bytes": (good + b"\x0a", "cut off or too large"),
        "a length of 65 bits": (good + b"\x0a" + b"\xff" * 9 + b"\x7f", "cut off or too large"),
        "a length of 2**63": (good + b"\x0a" + b"\x80" * 9 + b"\x01", "are left"),
        "32 bits cut off": (good + b"\x7d\0\0", "are left"),
        "64 bits cut off": (good + b"\x79\0\0", "are left"),
        "a piece of 32 bits": (good + b"\x0d" + bytes(4), "not bytes"),
        "a piece of 64 bits": (good + b"\x09" + bytes(8), "not bytes"),
        "a text of 32 bits": (good + message(1, b"\x0d" + bytes(4)), "not bytes"),
        "a text of 64 bits": (good + message(1, b"\x09" + bytes(8)), "not bytes"),
        "a text beyond its piece": (good + message(1, b"\x0a\x05abc") + b"de", "are left"),
        "a piece with field 0": (good + message(1, b"\x02\0"), "field 0"),
        "a piece with a group": (good + message(1, b"\x0b"), "wire type 3"),
        "a piece with half a key": (good + message(1, message(1, b"a") + b"\x80"), "cut off or too large"),
        "a piece with three texts": (good + message(1, message(1, b"a") * 3), "no text"),
        "a piece with two texts, apart": (
            good + message(1, message(1, b"a") + b"\x18\x01" + message(1, b"b")), "no text",
        ),
        "an empty piece among many": (good * 100 + piece("") + good * 100, "no text"),
        "an empty message": (good + message(1, b""), "no text"),
        "a piece of a surrogate": (good + piece(b"\xed\xa0\x80"), "not UTF-8"),
        "a piece of half a character": (good + piece("é".encode()[:1]), "not UTF-8"),
        "a piece with an overlong slash": (good + piece(b"\xc0\xaf"), "not UTF-8"),
        "a type cut off": (good + message(1, message(1, b"a") + b"\x18"), "cut off or too large"),
        "a pickle": (b"\x80\x04N.", "no well-formed"),
        "zeros": (bytes(64), "field 0"),
    } | {f"{CUT} {n}": (piece("abcdefgh" * 6)[:n], "cut off or too large|are left") for n in range(1, 48)}  # fmt: skip


JSON = Format("json", "config.json", check_json, _json_benign(), _json_corrupt())
YAML = Format(
    "yaml", "config.yaml", check_yaml, {each[:40] or "empty": each.encode() for each in _GOOD_YAML}, _yaml_corrupt()
)
TEXT = Format("text", "tokens.txt", check_text, _text_benign(), _text_corrupt())
SENTENCEPIECE = Format(
    "sentencepiece", "bpe.model", check_sentencepiece, _sentencepiece_benign(), _sentencepiece_corrupt()
)  # fmt: skip
