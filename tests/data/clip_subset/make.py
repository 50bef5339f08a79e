#!/usr/bin/env python3
"""Cuts CLIP's byte-pair tokenizer down to the words that the tests use.

    python3 tests/data/clip_subset/make.py [open_clip_torch-3.3.0-py3-none-any.whl]

Writes tokenizer.json, vocab.json and merges.txt beside itself; without an argument pip fetches the wheel.
Only the standard library is needed. The result has

- the 256 byte symbols, the same with `</w>`, and the two special tokens;
- of CLIP's 48894 merges those that some word of WORDS needs, in CLIP's order and with CLIP's ids.

Ids are therefore exactly CLIP's for every text made of WORDS. The byte-pair rule always takes the first
merge that applies; every merge that it takes for these words was kept, so dropping others changes nothing.

Source of the merges: `bpe_simple_vocab_16e6.txt.gz` of OpenAI CLIP (MIT licence, see LICENSE here), as the PyPI
package open_clip_torch carries it. CLIP counts its ids in this order: byte symbols, byte symbols with
`</w>`, merges, `<|startoftext|>`, `<|endoftext|>`.
"""

import gzip
import hashlib
import json
import pathlib
import subprocess
import sys
import tempfile
import zipfile

WHEEL = "open_clip_torch==3.3.0"
BPE_FILE = "open_clip/bpe_simple_vocab_16e6.txt.gz"
BPE_SHA256 = "924691ac288e54409236115652ad4aa250f48203de50a9e4722a6ecd48d6804a"
START, END = "<|startoftext|>", "<|endoftext|>"

# Lower-cased, as CLIP sees them; a digit and a mark are words of their own.
WORDS = set(
    """
    a computerized tomography of . , - 0 1 2 3 4 5 6 7 8 9
    liver spleen kidney left right pancreas aorta gallbladder esophagus stomach duodenum colon bladder
    prostate uterus rectum heart lung trachea bone femur head rib vertebra vertebrae spine sacrum hip
    adrenal gland inferior vena cava portal vein and splenic hepatic vessel artery pulmonary iliac
    tumor tumour lesion cyst cancer nodule upper lower middle lobe brain small bowel intestine
    air body fat muscle skin box ball sphere
    """.split()
)


def byte_symbols():
    """CLIP's printable stand-in for every byte, in its order: printable Latin-1 first, then the rest."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    rest = [byte for byte in range(256) if byte not in printable]
    symbols = {byte: chr(byte) for byte in printable}
    symbols.update({byte: chr(256 + i) for i, byte in enumerate(rest)})
    return symbols


def merges_for(word, rank, symbols):
    """The merges that byte-pair encoding takes for one word, and the tokens that it ends with."""
    parts = [symbols[byte] for byte in word.encode()]
    parts[-1] += "</w>"
    taken = []
    while len(parts) > 1:
        pair = min(zip(parts, parts[1:]), key=lambda pair: rank.get(pair, len(rank)))
        if pair not in rank:
            break
        taken.append(pair)
        joined, i = [], 0
        while i < len(parts):
            here = tuple(parts[i : i + 2]) == pair
            joined.append("".join(pair) if here else parts[i])
            i += 2 if here else 1
        parts = joined
    return taken, parts


def read_merges(wheel):
    packed = zipfile.ZipFile(wheel).read(BPE_FILE)
    found = hashlib.sha256(packed).hexdigest()
    if found != BPE_SHA256:
        sys.exit(f"{BPE_FILE}: expected sha256 {BPE_SHA256}, found {found}")
    lines = gzip.decompress(packed).decode().split("\n")
    # The first line is a header; CLIP stops where the vocabulary has 49152 - 256 + 256 entries and its two ends.
    return [tuple(line.split()) for line in lines[1 : 49152 - 256 - 2 + 1]]


def main():
    here = pathlib.Path(__file__).parent
    with tempfile.TemporaryDirectory() as temp:
        if len(sys.argv) > 1:
            wheel = sys.argv[1]
        else:
            pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--dest", temp, WHEEL]
            subprocess.run(pip, check=True)
            (wheel,) = pathlib.Path(temp).glob("*.whl")
        merges = read_merges(wheel)

    symbols = byte_symbols()
    rank = {pair: i for i, pair in enumerate(merges)}
    kept = {pair for word in WORDS for pair in merges_for(word, rank, symbols)[0]}
    kept = sorted(kept, key=rank.__getitem__)

    vocab = {symbol: i for i, symbol in enumerate(symbols.values())}
    vocab.update({symbol + "</w>": 256 + i for i, symbol in enumerate(symbols.values())})
    vocab.update({"".join(pair): 512 + rank[pair] for pair in kept})
    vocab.update({START: 512 + len(merges), END: 513 + len(merges)})

    def special(token):
        flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": token == START, "special": True}
        return {"id": vocab[token], "content": token, **flags}

    tokenizer = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [special(START), special(END)],
        "normalizer": {
            "type": "Sequence",
            "normalizers": [
                {"type": "NFC"},
                {"type": "Replace", "pattern": {"Regex": r"\s+"}, "content": " "},
                {"type": "Lowercase"},
            ],
        },
        "pre_tokenizer": {
            "type": "Sequence",
            "pretokenizers": [
                {
                    "type": "Split",
                    "pattern": {"Regex": r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"},
                    "behavior": "Removed",
                    "invert": True,
                },
                {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True},
            ],
        },
        "post_processor": {
            "type": "RobertaProcessing",
            "sep": [END, vocab[END]],
            "cls": [START, vocab[START]],
            "trim_offsets": False,
            "add_prefix_space": False,
        },
        "decoder": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True},
        "model": {
            "type": "BPE",
            "dropout": None,
            "unk_token": END,
            "continuing_subword_prefix": "",
            "end_of_word_suffix": "</w>",
            "fuse_unk": False,
            "vocab": vocab,
            "merges": [" ".join(pair) for pair in kept],
        },
    }
    (here / "tokenizer.json").write_text(json.dumps(tokenizer, ensure_ascii=False, indent=1) + "\n")
    (here / "vocab.json").write_text(json.dumps(vocab, ensure_ascii=False) + "\n")
    (here / "merges.txt").write_text("#version: 0.2\n" + "".join(f"{a} {b}\n" for a, b in kept))


if __name__ == "__main__":
    main()
