"""Writes the seeds of every fuzz target into corpus/: small files as PyTorch, NumPy and nibabel write them.

Run by hand when a format gains something: python3 fuzz/seeds.py (torch, nibabel, numpy). What the fuzzer found worth
keeping lies beside them under its hash.
"""

import gzip
import io
import json
import struct
from pathlib import Path

import nibabel
import numpy
import torch

CORPUS = Path(__file__).parent / "corpus"


def write(target: str, name: str, data: bytes) -> None:
    folder = CORPUS / target
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(data)


def checkpoints() -> None:
    def tensors(dtype: torch.dtype) -> dict[str, torch.Tensor]:
        return {
            "image_encoder.patch_embedding.position_embeddings": torch.arange(8.0).reshape(1, 2, 4).to(dtype),
            "image_encoder.norm.weight": torch.ones(4).to(dtype),
            "text_encoder.clip_text_model.text_model.embeddings.position_ids": torch.arange(4).reshape(1, 4),
        }

    def saved(contents: object, **options: bool) -> bytes:
        file = io.BytesIO()
        torch.save(contents, file, **options)
        return file.getvalue()

    prefixed = lambda prefix, dtype: {prefix + key: value for key, value in tensors(dtype).items()}
    github = {"model": prefixed("module.", torch.float32), "optimizer": {"state": {0: {"exp_avg": torch.zeros(3)}}}, "epoch": 7}
    write("checkpoint", "github_zip", saved(github))
    write("checkpoint", "github_legacy", saved(github, _use_new_zipfile_serialization=False))
    write("checkpoint", "hugging_face_fp16", saved(prefixed("model.", torch.float16)))
    write("checkpoint", "segfm_bf16", saved({"model_state_dict": tensors(torch.bfloat16)}))
    write("checkpoint", "float64_legacy", saved(tensors(torch.float64), _use_new_zipfile_serialization=False))
    strided = torch.arange(24.0).reshape(2, 3, 4).permute(2, 0, 1)[::2]
    write("checkpoint", "strided", saved({"image_encoder.patch_embedding.position_embeddings": strided}))
    write("checkpoint", "call", b"\x80\x02cposix\nsystem\nX\x07\x00\x00\x00touch x\x85R0}.")

    header = {
        "model.image_encoder.patch_embedding.position_embeddings": {"dtype": "F32", "shape": [1, 2, 4], "data_offsets": [0, 32]},
        "model.image_encoder.norm.weight": {"dtype": "BF16", "shape": [4], "data_offsets": [32, 40]},
        "__metadata__": {"format": "pt"},
    }
    text = json.dumps(header).encode()
    write("checkpoint", "safetensors", struct.pack("<Q", len(text)) + text + bytes(40))
    # The target puts as many bytes of tensors behind a header as the header has.
    shape = [1, 4, 15]
    header = {"image_encoder.patch_embedding.position_embeddings": {"dtype": "U8", "shape": shape, "data_offsets": [0, 60]}}
    size = len(json.dumps(header))
    header = {"image_encoder.patch_embedding.position_embeddings": {"dtype": "U8", "shape": [size], "data_offsets": [0, size]}}
    for _ in range(3):
        size = len(json.dumps(header))
        header = {"image_encoder.patch_embedding.position_embeddings": {"dtype": "U8", "shape": [size], "data_offsets": [0, size]}}
    write("safetensors", "one_tensor", json.dumps(header).encode())
    write("safetensors", "empty", b"{}")
    write("safetensors", "metadata", b'{"__metadata__":{"a":"b"}}')

    key = "image_encoder.patch_embedding.position_embeddings"
    write("keys", "github", f"model.module.{key}\nmodel.module.image_encoder.norm.weight\noptimizer.state\n".encode())
    old = "model.text_encoder.clip_text_model.text_model.final_layer_norm.weight\nmodel.text_encoder.clip_text_model.final_layer_norm.weight"
    write("keys", "two_spellings", f"model.{key}\n{old}\n".encode())
    write("keys", "encoder_only", b"state_dict.model.encoder.patch_embedding.position_embeddings\nstate_dict.model.encoder.norm.weight\n")
    write("keys", "no_prefix", f"{key}\nfc.weight\n".encode())


def volumes() -> None:
    for name, dtype, image in [
        ("int16", numpy.int16, nibabel.Nifti1Image),
        ("uint8", numpy.uint8, nibabel.Nifti1Image),
        ("float32", numpy.float32, nibabel.Nifti2Image),
        ("big_endian", numpy.dtype(">i4"), nibabel.Nifti1Image),
    ]:
        voxels = (numpy.arange(24).reshape(3, 4, 2) * 7 % 19).astype(dtype)
        affine = numpy.array([[-0.8, 0, 0, 40], [0, -0.7, 0.1, 30], [0, 0, 2.5, -20], [0, 0, 0, 1.0]])
        made = image(voxels, affine)
        if name == "big_endian":
            header = made.header.as_byteswapped(">")
            made = image(voxels, affine, header)
        made.header.set_xyzt_units("mm")
        if name == "int16":
            made.header.set_slope_inter(2, -1024)
        file = made.to_bytes()
        write("nifti", name, file)
        write("nifti_header", name, file[:544] if name == "float32" else file[:352])
        write("nifti_gzip", name, gzip.compress(file, mtime=0))
    write("nifti_gzip", "plain", file)
    write("nifti_gzip", "zeros", gzip.compress(file[:544] + bytes(60000), mtime=0))


def texts() -> None:
    write("prompts", "mixed", json.dumps({"schema_version": 1, "space": "ras", "objects": [
        {"text": "liver"},
        {"name": "lesion", "text": "liver tumor", "points": [[211, 160, 47, 1], [190, 150.5, -47, 0]], "space": "lps"},
        {"name": "spleen", "box": [300, 220, 30, 380, 300, 60]}]}).encode())
    write("prompts", "points", json.dumps({"schema_version": 1, "objects": [{"points": [[1, 2, 3]] * 20}]}).encode())
    write("prompts", "numbers", b'{"schema_version":1,"objects":[{"points":[[1e308,-0.0,1e-320]]},{"box":[0,0,0,1e99,1,1]}]}')

    letters = [chr(c) for c in range(ord("a"), ord("z") + 1)] + [".", "{", "}"]
    tokens = [t for letter in letters for t in (letter, letter + "</w>")] + ["li", "liver</w>"]
    vocabulary = {token: index for index, token in enumerate(tokens)}
    vocabulary["<|startoftext|>"], vocabulary["<|endoftext|>"] = 49406, 49407
    merges = "#version: 0.2\nl i\n"
    write("vocabulary", "letters", json.dumps(vocabulary).encode() + b"\0" + merges.encode())
    special = lambda i, c: {"id": i, "content": c, "special": True, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False}
    tokenizer = {
        "version": "1.0", "truncation": None, "padding": None,
        "added_tokens": [special(49406, "<|startoftext|>"), special(49407, "<|endoftext|>")],
        "normalizer": {"type": "Sequence", "normalizers": [{"type": "NFC"}, {"type": "Replace", "pattern": {"Regex": r"\s+"}, "content": " "}, {"type": "Lowercase"}]},
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
            {"type": "Split", "pattern": {"Regex": r"'s|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"}, "behavior": "Removed", "invert": True},
            {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}]},
        "post_processor": {"type": "RobertaProcessing", "cls": ["<|startoftext|>", 49406], "sep": ["<|endoftext|>", 49407], "trim_offsets": False, "add_prefix_space": False},
        "decoder": {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True},
        "model": {"type": "BPE", "dropout": None, "unk_token": "<|endoftext|>", "continuing_subword_prefix": "", "end_of_word_suffix": "</w>",
                  "fuse_unk": False, "byte_fallback": False, "vocab": vocabulary, "merges": ["l i"]},
    }
    write("tokenizer", "clip", json.dumps(tokenizer).encode())
    for kind in ({"type": "WordLevel", "vocab": vocabulary, "unk_token": "<|endoftext|>"},
                 {"type": "WordPiece", "vocab": vocabulary, "unk_token": "<|endoftext|>", "continuing_subword_prefix": "##", "max_input_chars_per_word": 100},
                 {"type": "Unigram", "unk_id": 0, "vocab": [[t, -1.0] for t in tokens], "byte_fallback": False}):
        write("tokenizer", kind["type"].lower(), json.dumps({**tokenizer, "model": kind, "pre_tokenizer": {"type": "Metaspace"}}).encode())


def evaluations() -> None:
    case = {"image": "a.nii.gz", "labels": "a_labels.nii.gz"}
    late = {"name": "b, late", "image": "b.nii", "labels": "/c/b.nii.gz", "structures": {"liver": 6}}
    write("cases", "list", json.dumps({"schema_version": 1, "structures": {"spleen": 2, "liver": 1}, "cases": [case, late]}).encode())
    write("cases", "names", json.dumps({"liver": 1, "left kidney": 65535}).encode())
    # Every case has every structure: what is shared is held once.
    many = {"schema_version": 1, "structures": {str(value): value for value in range(1, 1200)},
            "cases": [{"image": f"{n}", "labels": ""} for n in range(800)]}
    write("cases", "memory_of_cases_by_structures", json.dumps(many, separators=(",", ":")).encode())

    scores = {"voxels": 7, "dice": 0.5, "surface_dice": 1e-3, "hausdorff95_mm": None, "volume_error_ml": -2.5, "volume_error_relative": -1}
    agreement = {"zoom_out_dice": 1, "zoom_in_dice": 0.25, "truth_dice": 0}
    row = {"structure": "liver", "value": 1, "prompt": "text", "truth_voxels": 9, "zoom_out": scores, "zoom_in": scores,
           "against": agreement, "warnings": ["moved"]}
    result = {"case": "a", "rows": [row], "too_small": ["spleen"], "warnings": []}
    line = json.dumps({"input_sha256": "00ff", "result": result}).encode() + b"\n"
    write("work_file", "one_case", line)
    write("work_file", "cut_off", line + line[:40])
    write("work_file", "another_header", b'{"kind":"segvol eval","schema_version":1,"tool":"segvol 0"}\n' + line)


def configs() -> None:
    # The sizes of tests' smallest model.
    sizes = {"spatial_size": [8, 32, 48], "patch_size": [4, 16, 16], "hidden": 32, "mlp": 64, "layers": 2, "heads": 4, "dec_heads": 8,
             "dec_mlp": 48, "clip": {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 4,
                                     "vocab_size": 320, "max_position_embeddings": 77}}
    write("config", "micro", json.dumps(sizes).encode())
    write("config", "window_and_heads", b'{"spatial_size":[8,32,48],"heads":4,"clip":{"num_attention_heads":4},"_name":[]}')
    write("config", "transformers", b'{"architectures":["SegVolModel"],"spatial_size":[32,256,256],"test_mode":true,"torch_dtype":"float32"}')


def records() -> None:
    def packed(tensors: dict[str, torch.Tensor], metadata: dict[str, str]) -> bytes:
        names = {torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16", torch.int64: "I64", torch.uint8: "U8"}
        header: dict[str, object] = {"__metadata__": metadata} if metadata else {}
        data = b""
        for name, tensor in tensors.items():
            more = tensor.contiguous().view(torch.uint8).numpy().tobytes()
            header[name] = {"dtype": names[tensor.dtype], "shape": list(tensor.shape), "data_offsets": [len(data), len(data) + len(more)]}
            data += more
        text = json.dumps(header).encode()
        text += b" " * (-len(text) % 8)
        return struct.pack("<Q", len(text)) + text + data

    places = {"input_ids": torch.tensor([[319, 7]]), "box.sparse@index": torch.tensor([1, 5]),
              "box.sparse@value": torch.tensor([0.25, 0.75]), "ct/mask.liver": torch.tensor([0, 1, 1], dtype=torch.uint8)}
    prompts = {"points": torch.tensor([[1.0, 2.0, 3.0]]), "labels": torch.tensor([1.0]), "box": torch.arange(6.0)}
    halves = {"ct/window": torch.ones(4, dtype=torch.float16), "text_embedding": torch.ones(2, 3, dtype=torch.bfloat16)}
    write("records", "places", packed(places, {"provider": "cpu"}))
    write("records", "prompts", packed(prompts, {}))
    write("records", "halves", packed(halves, {}))
    write("records", "gzip", gzip.compress(packed({**prompts, **halves}, {"tool": "x"}), mtime=0))


# The seeds of `manifest` are those of tests' bundles, without their last field.
checkpoints()
volumes()
texts()
evaluations()
configs()
records()
