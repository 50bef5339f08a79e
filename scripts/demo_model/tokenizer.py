"""A small byte-pair tokenizer of CLIP's kind, trained on the prompts of this model."""

import json
from collections.abc import Iterable
from pathlib import Path

import torch
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, processors, trainers

TEMPLATE = "A computerized tomography of a {}."
START, END, WORD_END = "<|startoftext|>", "<|endoftext|>", "</w>"
WORDS = Regex(r"""'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+""")

SYNONYMS: dict[str, tuple[str, ...]] = {
    "liver tumour": ("liver tumor", "hepatic tumour"),
    "lung nodule": ("pulmonary nodule",),
    "spine": ("vertebral column",),
    "bladder": ("urinary bladder",),
    "lungs": ("lung",),
}


def listed(names: Iterable[str]) -> list[str | dict[str, str | list[str]]]:
    """The names with their synonyms, as `config.json` lists them."""
    return [{"name": name, "synonyms": list(SYNONYMS[name])} if name in SYNONYMS else name for name in names]


def splitting() -> pre_tokenizers.PreTokenizer:
    """Words, single digits and runs of punctuation, then bytes as printable characters."""
    words = pre_tokenizers.Split(WORDS, behavior="removed", invert=True)
    return pre_tokenizers.Sequence([words, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])


def normalising() -> normalizers.Normalizer:
    """NFC, single blanks, lower case."""
    return normalizers.Sequence(
        [normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Lowercase()]
    )


def learned_merges(names: list[str], count: int) -> list[tuple[str, str]]:
    """Byte pairs that training on the prompts joins, in order."""
    trainee = Tokenizer(models.BPE(end_of_word_suffix=WORD_END))
    trainee.normalizer, trainee.pre_tokenizer = normalising(), splitting()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(
        vocab_size=2 * len(alphabet) + count, initial_alphabet=alphabet, end_of_word_suffix=WORD_END, show_progress=False
    )
    trainee.train_from_iterator([TEMPLATE.format(name) for name in names], trainer)
    return [tuple(pair) for pair in json.loads(trainee.to_str())["model"]["merges"]]


def train(names: list[str], merges: int = 160) -> Tokenizer:
    """Ids: every byte, every byte ending a word, the merges, start, end; so no text is unknown and end is the largest."""
    pairs = learned_merges(names, merges)
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokens = alphabet + [letter + WORD_END for letter in alphabet]
    tokens += dict.fromkeys("".join(pair) for pair in pairs)
    vocabulary = {token: index for index, token in enumerate([*tokens, START, END])}
    tokenizer = Tokenizer(models.BPE(vocabulary, pairs, end_of_word_suffix=WORD_END, unk_token=END))
    tokenizer.normalizer, tokenizer.pre_tokenizer = normalising(), splitting()
    start, end = vocabulary[START], vocabulary[END]
    tokenizer.post_processor = processors.RobertaProcessing((END, end), (START, start), False, False)
    tokenizer.add_special_tokens([START, END])
    return tokenizer


class PromptTokenizer:
    """Structure names to padded ids."""

    def __init__(self, path: Path) -> None:
        self.tokenizer = Tokenizer.from_file(str(path))
        self.end = self.tokenizer.token_to_id(END)

    def __call__(self, names: list[str]) -> torch.Tensor:
        """Ids `[B, T]` of the prompts about `names`, padded with the end token."""
        rows = [self.tokenizer.encode(TEMPLATE.format(name)).ids for name in names]
        longest = max(map(len, rows))
        return torch.tensor([row + [self.end] * (longest - len(row)) for row in rows])
