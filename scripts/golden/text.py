"""Token ids of transformers' CLIPTokenizer, for test/golden/text/cases.json.

    python scripts/golden/text.py BPE_GZ test/golden/text/cases.json          # the committed cases
    python scripts/golden/text.py BPE_GZ big.json --big                       # a large corpus, not committed

BPE_GZ is OpenAI CLIP's bpe_simple_vocab_16e6.txt.gz (the open_clip package carries it).
Made with transformers 5.18.0, tokenizers 0.23.2, Python 3.11; seed 7. Tolerance: none, ids are equal or wrong.

Each tokenizer is a folder as a model would have it; `files` says what is in it besides the vocabulary. `merges` counts
CLIP's merges that it keeps (a small vocabulary has other ids for everything). Ids are stored without their padding.
"""
import gzip, json, os, random, sys, tempfile, unicodedata
from transformers import CLIPTokenizer

BPE, OUT = sys.argv[1:3]
BIG = "--big" in sys.argv
rng = random.Random(7)
START, END = "<|startoftext|>", "<|endoftext|>"


def vocabulary(count):
    lines = gzip.open(BPE).read().decode().split("\n")[1:count + 1]
    printable = list(range(33, 127)) + list(range(161, 173)) + list(range(174, 256))
    hidden = [b for b in range(256) if b not in printable]
    chars = [chr(b) for b in printable] + [chr(256 + i) for i in range(len(hidden))]
    tokens = chars + [c + "</w>" for c in chars] + ["".join(line.split()) for line in lines] + [START, END]
    return {t: i for i, t in enumerate(tokens)}, lines


def token(content, **flags):
    return {"content": content, "lstrip": False, "normalized": True, "rstrip": False, "single_word": False, **flags}


def config_token(content):
    return {"__type": "AddedToken", **token(content)}


def named(pad):
    return {"bos_token": token(START), "eos_token": token(END), "pad_token": pad, "unk_token": token(END)}


sd1_config = {"add_prefix_space": False, "bos_token": config_token(START), "do_lower_case": True, "eos_token": config_token(END),
              "errors": "replace", "model_max_length": 77, "pad_token": END, "tokenizer_class": "CLIPTokenizer", "unk_token": config_token(END)}
listed = {"0": token("!", normalized=False, special=True), "2012": token(START, normalized=False, special=True),
          "2013": token(END, special=True), "2014": token("<cat-toy>", normalized=False, special=False),
          "2015": token("[Mask]", lstrip=True, rstrip=True, special=False), "2016": token("WORD", single_word=True, special=False)}
TOKENIZERS = {
    "bare": {"merges": 1500, "files": {}},
    "sd1": {"merges": 48894, "files": {"tokenizerConfig": sd1_config, "specialTokensMap": named(END)}},
    "sd2": {"merges": 48894, "files": {"tokenizerConfig": sd1_config, "specialTokensMap": named("!")}},
    "short": {"merges": 300, "files": {"tokenizerConfig": {"model_max_length": 12, "pad_token": "<|pad|>"}}},
    "listed": {"merges": 1500, "files": {"tokenizerConfig": {"model_max_length": 77, "pad_token": "!", "added_tokens_decoder": listed}, "specialTokensMap": named(END)}},
    "json": {"merges": 1500, "json": True, "files": {"specialTokensMap": named("!")}},
}


def load(spec):
    vocab, merges = vocabulary(spec["merges"])
    with tempfile.TemporaryDirectory() as folder:
        def write(name, value):
            with open(f"{folder}/{name}", "w", encoding="utf-8") as file:
                file.write(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))
        write("vocab.json", vocab)
        write("merges.txt", "#version: 0.2\n" + "\n".join(merges) + "\n")
        if spec.get("json"):  # tokenizer.json is all that is left of the vocabulary
            CLIPTokenizer.from_pretrained(folder).backend_tokenizer.save(f"{folder}/tokenizer.json")
            os.remove(f"{folder}/vocab.json"), os.remove(f"{folder}/merges.txt")
            spec["addedTokens"] = json.load(open(f"{folder}/tokenizer.json"))["added_tokens"]
        for key, name in (("tokenizerConfig", "tokenizer_config.json"), ("specialTokensMap", "special_tokens_map.json")):
            if key in spec["files"]:
                write(name, spec["files"][key])
        return CLIPTokenizer.from_pretrained(folder)


HAND = [
    "", " ", "a", "A futuristic cityscape at night", "A photo of an astronaut riding a horse on Mars, 4K, high-res!!",
    "it's don't we'll they've I'm you're he'd 's 't ''s '''t 'S 'LL O'Neill rock'n'roll", "tab\tnew\nline\r\n  spaces   \u00a0\u2003\u3000end",
    "1234567890 3.14159 ½ ² Ⅷ ٣٤ 一二三 1st 2nd", "!!! ??? ... --- (((masterpiece))) [x] {y} <z> a,b;c:d/e\\f|g", "naïve café résumé ÀÉÎÕÜ ñ ß ẞ Straße",
    "e\u0301 a\u0308o\u0302 \u212b \u1e9b\u0323 \ufb01 \u0344", "ΣΊΣΥΦΟΣ ὈΔΥΣΣΕΎΣ Σ", "İstanbul I ı IĞDIR", "日本語のプロンプト、富士山。", "中文提示词:一只猫", "한국어 프롬프트 각\u1100\u1161\u11a8",
    "привет мир, Ёлка", "مرحبا بالعالم", "שלום עולם", "नमस्ते दुनिया", "สวัสดีชาวโลก", "😀🎨🖼️👩‍🚀🏳️‍🌈🇫🇷👍🏽", "\U0001d4d0\U0001d4d1 \U00020000\U0002f800 \U0010ffff \ue000",
    "\x00\x01\x1b[31m\x7f\x80\x85\x9f \x1c\x1d\x1e\x1f", "\ufeffbom \u200bzero\u200d\u00adwidth\u2028line\u2029para", "\ufffd \ufffe \uffff",
    f"a {END} b", f"{START}{END}", "<|ENDOFTEXT|> <|StartOfText|>x", f"!{END}!", "<|endoftext|", "<|endoftext|><|ENDOFTEXT|>!?", "wow! ! !! hello!world",
    "<|pad|> a <|PAD|>", "<cat-toy> <CAT-TOY> a<cat-toy>b", "x [Mask] y [MASK]  z[mask]", "word words WORD swordfish password word-word _word", "</w> a</w>b w>",
    "a" * 300, "abc" * 100, "supercalifragilisticexpialidocious pneumonoultramicroscopicsilicovolcanoconiosis", "x " * 74, "x " * 75, "x " * 76, "y, " * 60,
    "in the beginning " * 30, "é" * 90, "🎨" * 40, "word1word2 h3ll0 w0rld a1b2c3", "under_score kebab-case snake_case_name CamelCase", "https://example.com/a?b=c&d=e#f me@mail.org",
    "(painting by Greg Rutkowski:1.3), [cat|dog], <lora:name:0.8>, BREAK", "“curly” ‘quotes’ it’s — en–dash … « guillemets »", "©®™°±×÷€£¥₿", "Ǆ ǅ ǆ Ω K Å ŉ ǰ ΐ ﬃ",
]
WORDS = "cat dog a the of painting Photo PORTRAIT light, dark; 8k 35mm f/1.8 (best quality) masterpiece: it's don't über 猫 🐱 Ω ! ? ... - <|endoftext|>".split(" ")
RANGES = [(0x20, 0x7e), (0x20, 0x7e), (0, 0x17f), (0x180, 0x52f), (0x300, 0x36f), (0x530, 0x1fff), (0x2000, 0x2fff), (0x3000, 0x9fff),
          (0xa000, 0xd7ff), (0xe000, 0xffff), (0x10000, 0x1ffff), (0x20000, 0x3ffff), (0x40000, 0x10ffff)]


def noise():
    low, high = rng.choice(RANGES)
    def pick():
        char = chr(rng.randint(low, high)) if rng.random() < 0.8 else rng.choice(" '!s1")
        # committed cases keep to characters that every supported runtime knows (Python 3.11: Unicode 14)
        return char if BIG or unicodedata.category(char) not in ("Cn", "Cs") else pick()
    return "".join(pick() for _ in range(rng.randint(1, 24)))


def prompt():
    parts = [rng.choice(WORDS) if rng.random() < 0.8 else noise() for _ in range(rng.randint(1, 24))]
    return rng.choice([" ", " ", "", ", ", "\n", "  "]).join(parts)


def corpus():
    if not BIG:
        return HAND + [noise() for _ in range(60)] + [prompt() for _ in range(40)]
    every = [chr(c) for c in range(0x110000) if not 0xd800 <= c < 0xe000]
    one = [f"a{c}B {c}1" for c in every[:0x31000]] + [f"a{c}B {c}1" for c in every[0x31000::997]]
    return HAND + [noise() for _ in range(20000)] + [prompt() for _ in range(10000)] + one


def trimmed(ids, pad):
    end = len(ids)
    while end > 0 and ids[end - 1] == pad:
        end -= 1
    return ids[:end]


texts = corpus()
result = []
for name, spec in TOKENIZERS.items():
    tokenizer = load(spec)
    length = tokenizer.model_max_length if tokenizer.model_max_length < 1e6 else 77
    mine = texts if BIG or name == "sd1" else HAND
    if BIG and name not in ("bare", "sd1", "sd2"):
        continue
    encoded = tokenizer(mine, padding="max_length", max_length=length, truncation=True).input_ids
    whole = tokenizer(mine).input_ids
    removed = [tokenizer.decode(ids[length - 1:-1]) if len(ids) > length else None for ids in whole]
    cases = [[text, trimmed(ids, tokenizer.pad_token_id), cut] for text, ids, cut in zip(mine, encoded, removed)]
    result.append({"name": name, **spec, "maxLength": length, "vocabSize": len(tokenizer), "padId": tokenizer.pad_token_id, "cases": cases})
with open(OUT, "w", encoding="utf-8") as file:
    lines = []
    for entry in result:
        head = json.dumps({k: v for k, v in entry.items() if k != "cases"})[:-1]
        lines.append(head + ', "cases": [\n' + ",\n".join(json.dumps(c) for c in entry["cases"]) + "\n]}")
    file.write("[\n" + ",\n".join(lines) + "\n]\n")
