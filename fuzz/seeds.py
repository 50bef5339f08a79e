"""Writes the seeds of the fuzz targets into corpus/: small files as PyTorch, NumPy, nibabel and imagecodecs write them.

Run it by hand when a format gains something: python3 fuzz/seeds.py (needs torch, nibabel, numpy and imagecodecs). The inputs
that the fuzzer itself found are not here but in the archives of reached/.
"""

import gzip
import io
import json
import pickle
import struct
import zipfile
import zlib
from pathlib import Path

import imagecodecs
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
    name = "image_encoder.patch_embedding.position_embeddings"
    array = numpy.arange(6, dtype="f4").reshape(1, 2, 3)
    turned = numpy.asfortranarray(array[0].astype(">f4"))
    arrays = {name: array, "image_encoder.norm.weight": turned, "image_encoder.norm.bias": numpy.array([1, 2], "f2")}
    write("checkpoint", "numpy_protocol_2", pickle.dumps({"model": arrays}, 2))
    twice = {"best": {name: array}}
    twice["model"] = twice["best"]
    twice["me"] = [twice]
    write("checkpoint", "shared_and_cyclic", pickle.dumps(twice, 5))
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


def rasters() -> None:
    data = (numpy.arange(24) - 12).astype("<i2").tobytes()
    start = b"type: short\ndimension: 3\nsizes: 3 4 2\nendian: little\n"
    space = b"space: LPS\nspace directions: (0.5,0,0) (0,0.7,0.1) (0,0,2)\nspace origin: (1,2,3)\n"
    write("nrrd", "raw", b"NRRD0004\n" + start + space + b"encoding: raw\n\n" + data)
    head = b"ObjectType = Image\nNDims = 3\nDimSize = 3 4 2\nElementType = MET_SHORT\nElementSpacing = 0.5 0.7 2\n"
    place = b"TransformMatrix = 1 0 0 0 0.8 0.6 0 -0.6 0.8\nOffset = 1 2 3\nAnatomicalOrientation = RAI\n"
    write("metaimage", "raw", head + place + b"ElementDataFile = LOCAL\n" + data)


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
    rasters()
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


def c_structs() -> None:
    """Recipes for calls of the C library, as tests/src/hostile_c/ reads them; `0` first: the struct's own size."""

    def number(value: int) -> bytes:
        if 0 <= value < 224:
            return bytes([value])
        return bytes([value + 240]) if -16 <= value < 0 else b"\xff" + struct.pack("<q", value)

    def real(value: float) -> bytes:
        quarters = value * 4
        small = quarters in range(-117, 128)
        return struct.pack("b", int(quarters)) if small else b"\x80" + struct.pack("<d", value)

    numbers = lambda *values: b"".join(map(number, values))
    reals = lambda *values: b"".join(map(real, values))
    text = lambda value: bytes([0]) if value is None else bytes([len(value) + 1]) + value

    unit = [1, 0, 0, 0, 1, 0, 0, 0, 1]
    affine = [-0.75, 0, 0, 30, 0, -0.75, 0, 20, 0, 0, 2.5, -100]
    nowhere = [0] * 12
    buffer = lambda element, geometry, shape, strides, affine, scale, more=b"": b"\0\0" + numbers(element, geometry, *shape, *strides) + reals(
        *affine, 1, 1, 2, *unit, -30, 10, 5, *scale) + more
    write("c_buffer", "packed", buffer(2, 4, [4, 3, 2], [0, 0, 0], nowhere, [1, 0], bytes(range(60))))
    write("c_buffer", "k_fastest", buffer(6, 1, [3, 4, 5], [160, 40, 8], affine, [1, 0], b"\0" + bytes(range(99))))
    write("c_buffer", "backwards", buffer(3, 2, [5, 2, 3], [-2, -10, 20], affine, [2, -10.5], b"\0" + bytes(range(99))))
    write("c_buffer", "overlapping", buffer(1, 3, [9, 9, 9], [1, 1, 1], nowhere, [1, 0], b"\0abc"))
    write("c_buffer", "too_long", buffer(4, 3, [3, 3, 3], [4, 2**62, 2**62], nowhere, [1, 0]))
    write("c_buffer", "no_affine", buffer(5, 1, [3, 3, 3], [0, 0, 0], [float("nan")] * 12, [1, 0]))

    point = lambda label, *at: reals(*at) + numbers(label, 0)
    one = lambda name, points=(), box=None, space=0, label=None: b"\0" + numbers(space, 0) + text(name) + text(label) + bytes(
        [len(points)]) + b"".join(points) + (b"\0" if box is None else b"\1" + reals(*box))
    write("c_prompts", "text", b"\0\0\0" + one(b"liver"))
    mixed = one(b"liver", [point(1, 7, 8, 9.5), point(0, 1e9, -3, 2)], [1, 2, 3, 30, 20, 10.5], 2, b"lesion")
    write("c_prompts", "three", b"\0\3\0" + one(None, [point(1, 1, 2, 3)]) + mixed + one(b"spleen"))
    write("c_prompts", "newer", b"\0\2\x0a\0" + one(b"liver") + one(b"spleen"))
    write("c_prompts", "askew", b"\0\2\3\0" + one(b"liver") + one(b"spleen"))
    write("c_prompts", "too_many", b"\0\x09\0\0" + one(b"liver"))
    write("c_prompts", "no_numbers", b"\0\0\0" + one(None, [point(1, float("nan"), float("inf"), 0)]))

    array = lambda *values: bytes([len(values)]) + b"".join(map(text, values))
    options = lambda provider, precision, library, options, stages, overlap=0.5: b"\0\0" + text(provider) + text(precision) + text(
        library) + options + stages + numbers(0, 4096) + reals(overlap) + numbers(1, 0, 0, 0)
    write("c_options", "defaults", options(None, None, None, array(), array()))
    write("c_options", "all", options(b"cpu", b"fp16", b"libonnxruntime.so", array(b"cpu.spin=off", b"cuda.device=1"), array(b"mask_decoder=cpu")))
    write("c_options", "wrong", options(b"gpu", b"fp64", b"\xff", array(b"spin"), array(b"decoder=auto", None), 7))
    write("c_options", "null_array", options(b"auto", b"int8", None, bytes([220]) + number(5), bytes([200])))

    mask = lambda shape, wide, label, len, strides, labels: bytes([0, *(n - 1 for n in shape), wide, 0]) + numbers(label, len) + (
        b"\0" if strides is None else b"\1" + numbers(*strides)) + bytes(labels)
    write("c_mask", "packed", mask([4, 3, 2], 0, 1, 24, None, [n % 2 for n in range(24)]))
    write("c_mask", "gaps", mask([4, 3, 2], 0, 2, 200, [20, 5, 2], range(24)))
    write("c_mask", "two_bytes", mask([3, 3, 3], 1, 256, 27, [9, 3, 1], range(27)))
    write("c_mask", "too_short", mask([3, 3, 3], 0, 1, 26, [9, 3, 1], range(27)))
    write("c_mask", "one_place", mask([5, 5, 5], 0, 1, 13, [1, 1, 1], range(125)))
    write("c_mask", "too_far", mask([2, 2, 2], 0, 1, 99, [2**62, 2**62, 2**62], range(8)))
    write("c_mask", "backwards", mask([2, 2, 2], 0, 1, 99, [-1, 2, 4], range(8)))


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
           "against": agreement, "warnings": [{"code": "prompt_moved", "message": "moved"}]}
    result = {"case": "a", "rows": [row], "too_small": ["spleen"], "warnings": []}
    line = json.dumps({"input_sha256": "00ff", "result": result}).encode() + b"\n"
    write("work_file", "one_case", line)
    write("work_file", "cut_off", line + line[:40])
    write("work_file", "another_header", b'{"kind":"segvol eval","schema_version":1,"tool":"segvol 0"}\n' + line)

    model = {"manifest_sha256": "ab", "provider": "cpu", "precision": "fp32"}
    settings = {"prompts": ["text", "box"], "points": 5, "seed": 0, "tolerance_mm": 2.0, "min_voxels": 1, "together": False}
    header = {"tool": "segvol 0.1.0", "model": model, "against": model, "orientation": "ras", "profile": "default", "zoom_in": True,
              "overlap": 0.25, "settings": settings}
    row = {**row, "windows": {"total": 2, "skipped": 0}}
    better = {**scores, "dice": 0.75, "hausdorff95_mm": 3.5}
    rows = [row, {**row, "prompt": "box", "zoom_in": better}, {**row, "structure": "<b>", "value": 2}]
    evaluated = [{**result, "rows": rows}, {**result, "case": "b", "rows": rows[:2], "windows": {"text": 3}}]
    one = {"header": header, "cases": evaluated, "failures": [{"case": "c", "reason": "no file"}]}
    write("results", "one", json.dumps({"schema_version": 1, **one}).encode())
    other = {**one, "header": {**header, "orientation": "las"}, "cases": evaluated[:1]}
    write("results", "orientations", json.dumps({"schema_version": 1, "orientations": [one, other]}).encode())
    released = {**one, "header": {**header, "profile": "released"}}
    write("results", "runs", json.dumps({"schema_version": 1, "runs": [one, released]}).encode())
    vast = {**row, "zoom_in": {**better, "hausdorff95_mm": 1e12, "volume_error_ml": -1e12, "volume_error_relative": 1e12}}
    write("results", "vast_figures", json.dumps({"schema_version": 1, **one, "cases": [{**result, "rows": [vast]}]}).encode())


def segfm_cases() -> None:
    keys = ["z_min", "z_max", "z_mid", "z_mid_x_min", "z_mid_y_min", "z_mid_x_max", "z_mid_y_max"]
    box = dict(zip(keys, [0, 1, 0, 1, 0, 3, 2]))
    scalars = {key: numpy.int64(value) for key, value in box.items()}

    def case(save: object, **arrays: object) -> bytes:
        file = io.BytesIO()
        save(file, **arrays)
        return file.getvalue()

    image = numpy.arange(24).reshape(2, 3, 4)
    write("segfm", "stored", case(numpy.savez, imgs=image.astype("u1"), boxes=[box, box]))
    write("segfm", "compressed", case(numpy.savez_compressed, imgs=image.astype(">i2"), boxes=[scalars]))
    write("segfm", "fortran", case(numpy.savez, imgs=numpy.asfortranarray(image.astype("f2")), boxes=[box], spacing=[1.0, 2, 3]))
    write("segfm", "no_boxes", case(numpy.savez, imgs=image, boxes=numpy.zeros((1, 6))))


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


def frames() -> None:
    """A frame of 10 rows and 12 columns in each code stream that DICOM uses."""
    i, j = numpy.meshgrid(numpy.arange(12), numpy.arange(10))
    values = 37 * i + 101 * j + 5 * i * j - 1000  # -1000 to 811

    def frame(target: str, name: str, bits: int, signed: bool, stream: bytes) -> None:
        allocated = 8 * -(-bits // 8)
        write(f"dicom_{target}", name, bytes([10, 12, allocated, bits, bits - 1, signed]) + stream)

    low, twelve, sixteen = (values + 1000) // 8, values + 1000, 36 * (values + 1000)
    signed = values.astype("<i2")
    literal = lambda plane: b"".join(b"\x0b" + row.tobytes() for row in plane)
    planes = [(sixteen >> 8).astype("u1"), (sixteen & 255).astype("u1")]
    segments = [literal(plane) for plane in planes]
    start = 64 + len(segments[0])
    frame("rle", "sixteen_bits", 16, False, struct.pack("<16I", 2, 64, start, *13 * [0]) + b"".join(segments))
    frame("rle", "runs", 8, False, struct.pack("<16I", 1, 64, *14 * [0]) + b"\xc1\x07\x80\xcb\x09\x01\x01\x02")

    frame("jpeg", "baseline", 8, False, imagecodecs.jpeg8_encode(low.astype("u1"), level=95))
    frame("jpeg", "lossless_12_bits", 12, False, imagecodecs.ljpeg_encode(twelve.astype("<u2"), bitspersample=12))
    frame("jpeg", "lossless_16_bits", 16, False, imagecodecs.ljpeg_encode(sixteen.astype("<u2"), bitspersample=16))
    frame("jpegls", "lossless_signed", 16, True, imagecodecs.jpegls_encode(signed.view("<u2")))
    frame("jpegls", "near_2", 16, False, imagecodecs.jpegls_encode(sixteen.astype("<u2"), level=2))
    j2k = lambda image, **options: imagecodecs.jpeg2k_encode(image, codecformat="j2k", reversible=True, level=0, **options)
    frame("j2k", "lossless_signed", 16, True, j2k(signed))
    frame("j2k", "lossless_unsigned_12_bits", 12, False, j2k(twelve.astype("<u2"), bitspersample=12))
    frame("j2k", "high_throughput", 16, False, imagecodecs.htj2k_encode(sixteen.astype("<u2")))


def element(group: int, number: int, vr: str, value: bytes) -> bytes:
    value += (b"\0" if vr == "UI" else b" ") * (len(value) % 2)
    tag = struct.pack("<HH", group, number) + vr.encode()
    return tag + struct.pack("<HI" if vr in ("OW", "SQ", "OB") else "<H", *([0] if vr in ("OW", "SQ", "OB") else []), len(value)) + value


def text(group: int, number: int, vr: str, value: str) -> bytes:
    return element(group, number, vr, value.encode())


def word(number: int, value: int) -> bytes:
    return element(0x28, number, "US", struct.pack("<H", value))


def item(body: bytes) -> bytes:
    return struct.pack("<HHI", 0xFFFE, 0xE000, len(body)) + body


def series() -> None:
    """Series of two slices with 2 rows of 3 columns: files with one image, with several frames, deflated, and in archives."""

    position = lambda k: text(0x20, 0x32, "DS", f"1\\-2\\{3 * k}")
    orientation = text(0x20, 0x37, "DS", "1\\0\\0\\0\\0.96\\0.28")
    spacing = text(0x28, 0x30, "DS", "0.5\\0.75")
    pixels = lambda k: struct.pack("<6h", *range(10 * k, 10 * k + 6))

    def image(places: bytes, frames: bytes, groups: bytes, stored: bytes) -> bytes:
        first = text(8, 8, "CS", "ORIGINAL\\PRIMARY\\AXIAL") + text(8, 0x16, "UI", "1.2.840.10008.5.1.4.1.1.2")
        about = first + text(8, 0x60, "CS", "CT") + text(0x18, 0x50, "DS", "3") + text(0x20, 0xE, "UI", "1.2.3")
        shape = word(0x10, 2) + word(0x11, 3) + (b"" if groups else spacing)
        form = word(0x100, 16) + word(0x101, 12) + word(0x102, 11) + word(0x103, 1) + word(0x120, 2048)
        scale = text(0x28, 0x1052, "DS", "-1024") + text(0x28, 0x1053, "DS", "1")
        return about + places + word(2, 1) + frames + shape + form + scale + groups + element(0x7FE0, 0x10, "OW", stored)

    def file(body: bytes, syntax: str) -> bytes:
        return bytes(128) + b"DICM" + text(2, 0x10, "UI", syntax) + body

    plain, deflated = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.1.99"
    slices = [image(position(k) + orientation, b"", b"", pixels(k)) for k in (1, 0)]
    frame = lambda k: item(element(0x20, 0x9113, "SQ", item(position(k))))
    shared = item(element(0x28, 0x9110, "SQ", item(spacing)) + element(0x20, 0x9116, "SQ", item(orientation)))
    groups = element(0x5200, 0x9229, "SQ", shared) + element(0x5200, 0x9230, "SQ", frame(1) + frame(0))
    frames = image(b"", text(0x28, 8, "IS", "2"), groups, pixels(1) + pixels(0))
    pack = zlib.compressobj(wbits=-15)
    write("dicom_file", "one_slice", file(slices[0], plain))
    write("dicom_file", "without_group_2", slices[0])
    write("dicom_file", "two_frames", file(frames, plain))
    write("dicom_file", "deflated", file(pack.compress(frames) + pack.flush(), deflated))
    for name, method in (("stored", zipfile.ZIP_STORED), ("compressed", zipfile.ZIP_DEFLATED)):
        archive = io.BytesIO()
        with zipfile.ZipFile(archive, "w", method) as entries:
            for k, body in enumerate(slices):
                entries.writestr(zipfile.ZipInfo(f"a/{k}"), file(body, plain), method)
            entries.writestr(zipfile.ZipInfo("../notes.txt"), b"text", method)
        write("dicom_zip", name, archive.getvalue())


def objects() -> None:
    """Named objects on 2 slices with 3 rows of 4 columns: as DICOM SEG, RTSTRUCT and .seg.nrrd."""

    def file(group: str, body: bytes) -> bytes:
        uid = f"1.2.840.10008.5.1.4.1.1.{group}"
        meta = text(2, 2, "UI", uid) + text(2, 3, "UI", "1.2.3") + text(2, 0x10, "UI", "1.2.840.10008.1.2.1") + text(2, 0x12, "UI", "1.2.4")
        meta = element(2, 1, "OB", b"\0\1") + meta
        length = element(2, 0, "UL", struct.pack("<I", len(meta)))
        return bytes(128) + b"DICM" + length + meta + text(8, 0x16, "UI", uid) + text(8, 0x18, "UI", "1.2.3") + body

    number = lambda group, at, value: element(group, at, "US", struct.pack("<H", value))
    segment = lambda at, name: item(number(0x62, 4, at) + text(0x62, 5, "LO", name))
    place = lambda k: element(0x20, 0x9113, "SQ", item(text(0x20, 0x32, "DS", f"0\\0\\{2 * k}")))
    shared = item(element(0x20, 0x9116, "SQ", item(text(0x20, 0x37, "DS", "1\\0\\0\\0\\1\\0")))
                  + element(0x28, 0x9110, "SQ", item(text(0x28, 0x30, "DS", "0.75\\0.5"))))

    def seg(kind: str, bits: int, names: dict[int, str], frames: list[tuple[int, int]], stored: bytes) -> bytes:
        shape = word(2, 1) + text(0x28, 8, "IS", str(len(frames))) + word(0x10, 3) + word(0x11, 4)
        form = word(0x100, bits) + word(0x101, bits) + word(0x102, bits - 1) + word(0x103, 0)
        most = number(0x62, 0xE, 255) if kind == "FRACTIONAL" else b""
        segments = element(0x62, 2, "SQ", b"".join(segment(at, name) for at, name in names.items()))
        which = lambda at: b"" if kind == "LABELMAP" else element(0x62, 0xA, "SQ", item(number(0x62, 0xB, at)))
        groups = b"".join(item(place(k) + which(at)) for k, at in frames)
        groups = element(0x5200, 0x9229, "SQ", shared) + element(0x5200, 0x9230, "SQ", groups)
        body = text(8, 0x60, "CS", "SEG") + shape + form + text(0x62, 1, "CS", kind) + segments + most + groups
        return file("66.7" if kind == "LABELMAP" else "66.4", body + element(0x7FE0, 0x10, "OB", stored))

    two = {1: "liver", 2: "liver tumor"}
    write("dicom_seg", "binary", seg("BINARY", 1, two, [(0, 1), (1, 1), (1, 2)], bytes([0x66, 0xF6, 0x6F, 0x20, 0x02])))
    write("dicom_seg", "labelmap", seg("LABELMAP", 8, {0: "background", **two}, [(1, 0)], bytes([0, 1, 1, 2] * 3)))
    write("dicom_seg", "fractional", seg("FRACTIONAL", 8, {1: "liver"}, [(0, 1)], bytes(range(0, 240, 20))))

    roi = lambda at, name: item(text(0x3006, 0x22, "IS", str(at)) + text(0x3006, 0x24, "UI", "1.2.9") + text(0x3006, 0x26, "LO", name))
    corners = lambda low, high, k: "\\".join(f"{x}\\{y}\\{2 * k}" for x, y in [(low, low), (high, low), (high, high), (low, high)])
    contour = lambda kind, low, high, k: item(
        text(0x3006, 0x42, "CS", kind) + text(0x3006, 0x46, "IS", "4") + text(0x3006, 0x50, "DS", corners(low, high, k)))
    of = lambda at, *contours: item(element(0x3006, 0x40, "SQ", b"".join(contours)) + text(0x3006, 0x84, "IS", str(at)))
    ring = of(1, contour("CLOSED_PLANAR", -0.3, 1.7, 0), contour("CLOSED_PLANAR", 0.3, 1.1, 0))
    rest = of(2, contour("CLOSEDPLANAR_XOR", 0.2, 1.3, 1), contour("POINT", 1, 1, 1))
    body = text(8, 0x60, "CS", "RTSTRUCT") + element(0x3006, 0x20, "SQ", roi(1, "ring") + roi(2, "rest"))
    write("rtstruct", "ring", file("481.3", body + element(0x3006, 0x39, "SQ", ring + rest)))

    header = (b"NRRD0004\ntype: uchar\ndimension: 4\nspace: left-posterior-superior\nsizes: 2 2 2 2\n"
              b"space directions: none (0.5,0,0) (0,0.75,0) (0,0,2)\nkinds: list domain domain domain\n"
              b"encoding: raw\nspace origin: (0.5,0.75,0)\n"
              b"Segment0_ID:=Segment_1\nSegment0_Name:=liver\nSegment0_LabelValue:=1\nSegment0_Layer:=0\n"
              b"Segment1_Name:=tumor\nSegment1_LabelValue:=1\nSegment1_Layer:=1\nSegmentation_ReferenceImageExtentOffset:=1 1 0\n\n")
    write("seg_nrrd", "cropped_layers", header + bytes([1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]))


# The seeds of `manifest` are not made here: they are the manifests of the tests' bundles, without their last field.
checkpoints()
volumes()
texts()
c_structs()
evaluations()
segfm_cases()
configs()
records()
frames()
series()
objects()
