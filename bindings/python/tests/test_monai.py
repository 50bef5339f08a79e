"""Transforms and the inferer give the masks of a study, where MONAI's own transforms expect them."""

import pickle
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import pytest

import segvol
from segvol._scan import prepared

pytest.importorskip("monai")

import torch
from monai.data import DataLoader, Dataset, MetaTensor, decollate_batch
from monai.metrics import DiceMetric
from monai.transforms import (
    AsDiscrete,
    Compose,
    EnsureChannelFirstd,
    Flipd,
    Invertd,
    LoadImage,
    LoadImaged,
    NormalizeIntensityd,
    Orientationd,
    Rotate90d,
    SaveImaged,
    ScaleIntensityRanged,
    Spacingd,
)

from segvol.monai import Segment, Segmentd, SegVolInferer, _scan

OBJECTS = [{"text": "liver"}, {"name": "kidney", "text": "left kidney"}]
LOAD = (LoadImaged(keys="image"), EnsureChannelFirstd(keys="image"))


@pytest.fixture
def image(scan: Path) -> MetaTensor:
    return Compose(LOAD)({"image": scan})["image"]


def test_results_are_those_of_a_study(model: segvol.Model, scan: Path) -> None:
    study = model.study(scan)
    found = study.segment(OBJECTS)
    of_study = {
        "label_map": study.label_map(found)[None],
        "mask": np.stack([one.mask for one in found]),
        "probabilities": np.stack([one.probabilities for one in found]),
        "logits": np.nan_to_num(np.stack([one.logits for one in found]), nan=-100.0),
    }
    assert {1, 2} <= set(np.unique(of_study["label_map"])) and (of_study["logits"] == -100).any()
    for output, wanted in of_study.items():
        data = Compose([*LOAD, Segmentd("image", model, OBJECTS, output=output)])({"image": scan, "other": 3})
        image, pred = data["image"], data["pred"]
        assert isinstance(pred, MetaTensor) and pred.is_contiguous() and data["other"] == 3
        assert pred.dtype == (torch.uint8 if output in ("label_map", "mask") else torch.float32)
        assert np.array_equal(pred.numpy(), wanted), output
        assert torch.equal(pred.affine, image.affine) and pred.meta["filename_or_obj"] == str(scan)
        pred.meta["filename_or_obj"] = "changed"
        pred.affine = np.eye(4)
        assert image.meta["filename_or_obj"] == str(scan) and np.array_equal(image.affine, study.affine)
    assert (torch.sigmoid(torch.from_numpy(of_study["logits"]))[torch.from_numpy(of_study["logits"]) == -100] == 0).all()


def test_a_saved_file_is_that_of_the_command(bundle: Path, scan: Path, tmp_path: Path) -> None:
    segvol.command("segment", "-i", scan, "-m", bundle, "--provider", "cpu", "--text", "liver", "-o", tmp_path / "ours.nii.gz", "-q")
    save = SaveImaged("pred", output_dir=tmp_path, output_postfix="seg", output_dtype=np.uint8, separate_folder=False, print_log=False)
    Compose([*LOAD, Segmentd("image", bundle, text="liver", provider="cpu"), save])({"image": scan})
    theirs = nib.load(tmp_path / scan.name.replace(".nii.gz", "_seg.nii.gz"))
    ours = nib.load(tmp_path / "ours.nii.gz")
    assert np.asanyarray(theirs.dataobj).dtype == np.uint8 and np.asanyarray(ours.dataobj).any()
    assert np.asanyarray(theirs.dataobj).tobytes() == np.asanyarray(ours.dataobj).tobytes()
    assert np.array_equal(theirs.affine, ours.affine)


@pytest.mark.parametrize("affine_lps_to_ras", [True, False])
def test_the_space_of_an_affine_is_honoured(model: segvol.Model, scan: Path, liver: np.ndarray, affine_lps_to_ras: bool) -> None:
    pytest.importorskip("itk")
    image = LoadImage(reader="ITKReader", affine_lps_to_ras=affine_lps_to_ras, ensure_channel_first=True)(scan)
    assert image.meta["space"] == ("RAS" if affine_lps_to_ras else "LPS")
    assert np.array_equal(Segment(model, text="liver")(image)[0].numpy(), liver)


@pytest.mark.parametrize(
    "spatial",
    [
        Orientationd("image", "RAS", labels=None),
        Orientationd("image", "PIR", labels=None),
        Orientationd("image", "SAL", labels=None),
        Flipd("image", spatial_axis=(0, 2)),
        Rotate90d("image", k=1, spatial_axes=(0, 1)),
    ],
    ids=["RAS", "PIR", "SAL", "Flipd", "Rotate90d"],
)
def test_turned_images_have_the_same_mask(model: segvol.Model, scan: Path, liver: np.ndarray, spatial: Any) -> None:
    before = Compose([*LOAD, spatial])
    data = Compose([before, Segmentd("image", model, text="liver")])({"image": scan})
    affine = data["image"].affine.numpy()
    assert not np.array_equal(affine, nib.load(scan).affine)
    assert not np.array_equal(data["pred"][0].numpy(), liver)
    inverted = Invertd("pred", transform=before, orig_keys="image")(data)["pred"]
    assert np.array_equal(inverted[0].numpy(), liver)
    assert np.allclose(inverted.affine, nib.load(scan).affine)


def test_a_resampled_image_has_its_own_grid(model: segvol.Model, scan: Path, liver: np.ndarray) -> None:
    before = Compose([*LOAD, Spacingd("image", pixdim=(6.0, 7.0, 5.0))])
    data = Compose([before, Segmentd("image", model, text="liver")])({"image": scan})
    assert data["pred"].shape == data["image"].shape != (1, *liver.shape)
    assert torch.equal(data["pred"].affine, data["image"].affine)
    inverted = Invertd("pred", transform=before, orig_keys="image")(data)["pred"][0].numpy() > 0
    assert 2 * np.count_nonzero(inverted & liver) > 0.8 * (np.count_nonzero(inverted) + np.count_nonzero(liver))


def test_voxels_are_read_where_they_lie(model: segvol.Model, image: MetaTensor, liver: np.ndarray) -> None:
    for kind in (torch.float32, torch.int16, torch.float64):
        given = image.to(kind)
        voxels, _ = _scan(given.requires_grad_() if kind.is_floating_point else given)
        assert np.shares_memory(prepared(voxels), given.detach().numpy())
    found = Segment(model, text="liver")(image.requires_grad_())
    assert not found.requires_grad and np.array_equal(found[0].numpy(), liver)
    assert _scan(image.to(torch.bfloat16))[0].dtype == np.float32


def test_prompts_may_come_with_the_image(model: segvol.Model, image: MetaTensor, liver: np.ndarray, affine: np.ndarray) -> None:
    point = np.argwhere(liver)[np.count_nonzero(liver) // 2]
    wanted = model.study((image[0].numpy(), affine)).segment(points=[point]).mask
    flipped = Flipd("image", spatial_axis=0)({"image": image, "prompts": {"points": [(affine @ [*point, 1])[:3]], "space": "ras"}})
    found = Segmentd("image", model, prompts_key="prompts", pred_keys="mask")(flipped)["mask"][0].numpy()
    assert wanted.any() and np.array_equal(found[::-1], wanted)
    with pytest.raises(segvol.UsageError, match="nothing to segment"):
        Segment(model)(image)


def test_each_image_of_a_batch_has_its_own_affine(model: segvol.Model, scan: Path, liver: np.ndarray) -> None:
    flip = Flipd("image", spatial_axis=0)
    dataset = Dataset([False, True], lambda is_flipped: Compose([*LOAD, *[flip] * is_flipped])({"image": scan}))
    batch = next(iter(DataLoader(dataset, batch_size=2)))["image"]
    assert batch.affine.shape == (2, 4, 4) and not torch.equal(batch.affine[0], batch.affine[1])
    # Otherwise the liver shares windows with the kidney.
    inferer = SegVolInferer(model, OBJECTS, independent=True)
    found = inferer(batch, network=None)
    assert found.shape == (2, 2, *liver.shape) and found.is_batch and found.dtype == torch.float32
    first, second = decollate_batch(found)
    assert torch.equal(second.affine, batch.affine[1]) and first.meta["filename_or_obj"] == str(scan)
    masks = [AsDiscrete(threshold=0.5)(one) for one in (first, second)]
    assert np.array_equal(masks[0][0].numpy(), liver) and np.array_equal(masks[1][0].numpy()[::-1], liver)
    truth = [Segment(model, OBJECTS, output="mask", independent=True)(one) for one in decollate_batch(batch)]
    assert torch.equal(DiceMetric()(masks, truth).as_tensor(), torch.ones(2, 2))
    alone = inferer(decollate_batch(batch)[1][None], None)
    assert torch.equal(alone[0].as_tensor(), second.as_tensor())
    with pytest.raises(segvol.InputError, match="not their affines"):
        inferer(torch.stack(decollate_batch(batch)), None)
    with pytest.raises(segvol.InputError, match=r"\(B, 1, i, j, k\), found \(2,"):
        inferer(first, None)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (torch.zeros(1, 4, 4, 4), "MetaTensor, found Tensor, which says nothing about the patient"),
        (np.zeros((1, 4, 4, 4)), "MetaTensor, found ndarray"),
        (MetaTensor(torch.zeros(1, 4, 4, 4)), "identity that MONAI gives to tensors without one"),
        (MetaTensor(torch.zeros(2, 4, 4, 4), affine=np.diag([2, 2, 2, 1])), r"one channel, \(1, i, j, k\), found \(2, 4, 4, 4\)"),
        (MetaTensor(torch.zeros(4, 4, 4), affine=np.diag([2, 2, 2, 1])), "EnsureChannelFirst"),
        (MetaTensor(torch.zeros(2, 1, 4, 4, 4), affine=np.diag([2, 2, 2, 1])), "a batch, .* use segvol.monai.SegVolInferer"),
        (MetaTensor(torch.zeros(1, 4, 4, 4), affine=np.diag([2, 2, 2, 1]), meta={"space": "MNI"}), "RAS or LPS, found 'MNI'"),
        (MetaTensor(torch.zeros(1, 4, 4, 4), affine=np.diag([2, 2, 1])), "4 x 4 matrix, found shape"),
        (MetaTensor(torch.zeros(1, 4, 4, 4, dtype=torch.complex64), affine=np.diag([2, 2, 2, 1])), "complex64"),
    ],
)
def test_what_is_no_scan_is_refused(model: segvol.Model, given: Any, message: str) -> None:
    with pytest.raises((segvol.InputError, segvol.UsageError), match=message):
        Segment(model, text="liver")(given)


def test_pending_transforms_are_refused_alone_and_applied_in_a_pipeline(model: segvol.Model, scan: Path, liver: np.ndarray) -> None:
    lazy = Flipd("image", spatial_axis=0, lazy=True)
    image = Compose(LOAD)({"image": scan})
    with pytest.raises(segvol.InputError, match="pending"):
        Segment(model, text="liver")(lazy(image)["image"])
    found = Compose([*LOAD, lazy, Segmentd("image", model, text="liver")], lazy=True)({"image": scan})["pred"]
    assert np.array_equal(found[0].numpy()[::-1], liver)


def test_an_identity_that_is_stated_is_believed(model: segvol.Model, image: MetaTensor) -> None:
    image = MetaTensor(image.as_tensor(), meta={"original_affine": np.eye(4)})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", segvol.SegvolWarning)
        assert Segment(model, text="liver")(image).shape == image.shape


@pytest.mark.parametrize(
    ("scaling", "code"),
    [
        (ScaleIntensityRanged("image", -175, 250, 0, 1, clip=True), "intensity_unit_range"),
        (NormalizeIntensityd("image"), "intensity_not_hounsfield"),
    ],
)
def test_scaled_intensities_are_a_warning(model: segvol.Model, image: MetaTensor, scaling: Any, code: str) -> None:
    with pytest.warns(segvol.SegvolWarning) as found:
        Segmentd("image", model, text="liver")(scaling({"image": image}))
    assert code in [one.message.code for one in found]


def test_arguments_that_are_wrong_are_refused(model: segvol.Model, bundle: Path) -> None:
    for options, message in [
        ({"output": "labels"}, "label_map, mask, probabilities, logits; found 'labels'"),
        ({"efort": "fast"}, "efort: not an option"),
        ({"affine": np.eye(4)}, "affine: not an option"),
        ({"provider": "cpu"}, "the model is open already"),
        ({"objects": OBJECTS}, "not both"),
    ]:
        with pytest.raises(segvol.UsageError, match=message):
            Segment(model, text="liver", **options)
    with pytest.raises(segvol.UsageError, match="one for each of 2 keys, found 1"):
        Segmentd(["image", "other"], bundle, text="liver")
    with pytest.raises(segvol.BundleError):
        Segment(bundle / "nowhere", text="liver")._opened()


def test_a_transform_is_sent_without_its_model(model: segvol.Model, bundle: Path, image: MetaTensor, liver: np.ndarray) -> None:
    transform = Segmentd("image", bundle, objects=[{"text": "liver"}], provider="cpu", effort="balanced")
    assert np.array_equal(transform({"image": image})["pred"][0].numpy(), liver)
    again = pickle.loads(pickle.dumps(transform))
    assert again.segment._model is None
    assert np.array_equal(again({"image": image})["pred"][0].numpy(), liver)
    with pytest.raises(segvol.UsageError, match="give the bundle's path"):
        pickle.dumps(Segmentd("image", model, text="liver"))


WORKERS = """
import sys, numpy as np, torch
from monai.data import DataLoader, Dataset
from monai.transforms import Compose, EnsureChannelFirstd, LoadImaged
from segvol.monai import Segmentd, SegVolInferer
torch.set_num_threads(1)
bundle, scan, how = sys.argv[1:]

def main():
    load = [LoadImaged("image"), EnsureChannelFirstd("image")]
    segment = Segmentd("image", bundle, text="liver", provider="cpu", threads=1)
    inferer = SegVolInferer(bundle, text="liver", provider="cpu", threads=1, output="label_map")

    def preds(steps, start):
        loader = DataLoader(Dataset([{"image": scan}] * 2, Compose(steps)), num_workers=2, multiprocessing_context=start, timeout=60)
        return [batch["pred"] if "pred" in batch else inferer(batch["image"]) for batch in loader]

    early = preds([*load, segment], "fork") if how == "before" else []
    wanted = segment(Compose(load)({"image": scan}))["pred"].numpy()
    late = preds([*load, segment], "spawn") if how == "spawn" else preds(load, "fork")
    assert wanted.any() and len(late) == 2 and all(np.array_equal(one[0].numpy(), wanted) for one in early + late)
    print("equal", len(early), flush=True)
    if how == "after":
        preds([*load, segment], "fork")

if __name__ == "__main__":
    main()
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="forks")
@pytest.mark.parametrize(("how", "early"), [("before", 2), ("spawn", 0), ("after", 0)])
def test_workers_open_their_own_model(how: str, early: int, bundle: Path, scan: Path, tmp_path: Path) -> None:
    script = tmp_path / "workers.py"
    script.write_text(WORKERS)
    done = subprocess.run([sys.executable, script, bundle, scan, how], capture_output=True, text=True, timeout=90)
    assert done.stdout == f"equal {early}\n", done.stderr
    if how == "after":
        assert done.returncode == 1 and "RunError: " in done.stderr and '"spawn"' in done.stderr
    else:
        assert done.returncode == 0, done.stderr


def test_without_monai_the_error_says_what_to_install() -> None:
    code = "import sys; sys.modules['monai'] = None; import segvol; import segvol.monai"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 1 and "pip install 'segvol[monai]'" in done.stderr.splitlines()[-1]
