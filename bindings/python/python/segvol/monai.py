"""SegVol in pipelines of MONAI: the transforms `Segment` and `Segmentd`, and `SegVolInferer`. It needs `pip install 'segvol[monai]'`.

    from monai.transforms import Compose, EnsureChannelFirstd, LoadImaged, SaveImaged
    from segvol.monai import Segmentd

    pipeline = Compose([
        LoadImaged(keys="image"),
        EnsureChannelFirstd(keys="image"),
        Segmentd(keys="image", model="bundle", text="liver"),
        SaveImaged(keys="pred", output_dtype="uint8"),
    ])

Images must be in Hounsfield units, without ScaleIntensityRange and the like before.
"""

import inspect
import json
import os
import threading
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any

import numpy as np

from segvol import _prompts
from segvol._errors import InputError, UsageError
from segvol._model import Model, Segmentation

try:
    import torch  # type: ignore[import-not-found, unused-ignore]
    from monai.data import MetaTensor, decollate_batch  # type: ignore[import-not-found, attr-defined, unused-ignore]
    from monai.inferers import Inferer  # type: ignore[import-not-found, attr-defined, unused-ignore]
    from monai.transforms import MapTransform, Transform  # type: ignore[import-not-found, attr-defined, unused-ignore]
    from monai.utils import ensure_tuple  # type: ignore[import-not-found, attr-defined, unused-ignore]
except ImportError as error:
    raise ImportError(f"segvol.monai: MONAI and PyTorch are needed ({error}): pip install 'segvol[monai]'") from error

__all__ = ["SegVolInferer", "Segment", "SegmentD", "SegmentDict", "Segmentd"]

# Its sigmoid is 0 in float32. Unlike infinity it can be interpolated.
_LOGIT_OUTSIDE = -100.0
_PER_OBJECT: "dict[str, tuple[type[np.generic], Callable[[Segmentation], np.ndarray]]]" = {
    "mask": (np.uint8, lambda one: one.mask),
    "probabilities": (np.float32, lambda one: one.probabilities),
    "logits": (np.float32, lambda one: np.nan_to_num(one.logits, copy=False, nan=_LOGIT_OUTSIDE)),
}
_OF_MODEL = set(inspect.signature(Model).parameters) - {"bundle"}
# The affine and the axes come with the image; the others are for files.
_OF_STUDY = set(inspect.signature(Model.study).parameters) - {
    *("self", "scan", "affine", "spacing", "axes"),
    *("series", "fill_gaps", "affine_form"),
}
_LPS_TO_RAS = np.diag([-1.0, -1.0, 1.0, 1.0])
_IS_LPS = {"RAS": False, "LPS": True, "right-anterior-superior": False, "left-posterior-superior": True}

_opening = threading.Lock()


class Segment(Transform):  # type: ignore[misc, unused-ignore]
    """Segments an image in Hounsfield units: a MetaTensor of shape (1, i, j, k), channel first, as `LoadImage` and
    `EnsureChannelFirst` make it. The result is a MetaTensor on the same grid and device, with the image's metadata.

    `model`: the path of a bundle, which each process opens when it first needs it, or an open `segvol.Model`, which cannot be sent to
    other processes. Prompts are those of `Study.segment`; points and boxes are voxels of the image as it comes to the transform, unless
    their `space` is "ras" or "lps".

    | `output` | result | shape |
    |---|---|---|
    | "label_map" | 0 is background, 1 the first object; uint8, or int32 for more than 255 objects | (1, i, j, k) |
    | "mask" | 0 and 1 for each object, uint8 | (objects, i, j, k) |
    | "probabilities" | float32; 0 outside the body's box | (objects, i, j, k) |
    | "logits" | float32; -100 outside the body's box | (objects, i, j, k) |

    `options`: those of `segvol.Model` (`provider="cpu"`) and of `Model.study` (`effort="fast"`). Raises InputError, UsageError and
    what these two raise.
    """

    def __init__(
        self,
        model: "Model | str | os.PathLike[str]",
        objects: "Mapping[str, Any] | Sequence[Mapping[str, Any]] | None" = None,
        *,
        text: "str | None" = None,
        points: Any = None,
        box: Any = None,
        name: "str | None" = None,
        space: "str | None" = None,
        output: str = "label_map",
        **options: Any,
    ) -> None:
        super().__init__()
        if output != "label_map" and output not in _PER_OBJECT:
            raise UsageError(f"output: expected label_map, {', '.join(_PER_OBJECT)}; found {output!r}")
        for option in options:
            if option not in _OF_MODEL | _OF_STUDY:
                raise UsageError(f"{option}: not an option of segvol.Model, nor of Model.study for images")
            if option in _OF_MODEL and isinstance(model, Model):
                raise UsageError(f"{option}: the model is open already; give it to segvol.Model")
        single = {"name": name, "text": text, "points": points, "box": box, "space": space}
        has_prompts = objects is not None or any(value is not None for value in single.values())
        self.objects = _objects(objects, single) if has_prompts else None
        self.output = output
        self._of_model = {name: value for name, value in options.items() if name in _OF_MODEL}
        self._of_study = {name: value for name, value in options.items() if name in _OF_STUDY}
        self._bundle = None if isinstance(model, Model) else os.fspath(model)
        self._model = model if isinstance(model, Model) else None

    def __getstate__(self) -> "dict[str, Any]":
        if self._bundle is None:
            raise UsageError("model: an open segvol.Model cannot be copied or sent to another process; give the bundle's path")
        return {**self.__dict__, "_model": None}

    def __call__(self, img: "torch.Tensor", objects: "Mapping[str, Any] | Sequence[Mapping[str, Any]] | None" = None) -> "MetaTensor":
        """Segments `img`. `objects` are other prompts for this image alone."""
        chosen = self.objects if objects is None else _objects(objects, {})
        if chosen is None:
            raise UsageError('nothing to segment: give text="liver", points, box, or a list of objects')
        voxels, affine = _scan(img)
        study = self._opened().study(voxels, affine=affine, axes="ijk", **self._of_study)
        found = study.segment(chosen)
        if self.output == "label_map":
            made = study.label_map(found)[None].astype(np.uint8 if len(found) < 256 else np.int32, order="C")
        else:
            kind, of = _PER_OBJECT[self.output]
            made = np.empty((len(found), *voxels.shape), dtype=kind)
            for channel, one in zip(made, found, strict=True):
                channel[...] = of(one)
        return _like(torch.from_numpy(made), img)

    def _opened(self) -> Model:
        with _opening:
            if self._model is None:
                assert self._bundle is not None
                self._model = Model(self._bundle, **self._of_model)
            return self._model


class Segmentd(MapTransform):  # type: ignore[misc, unused-ignore]
    """`Segment` for dictionaries: segments the images of `keys`, and stores the results as `pred_keys`, one for each key.

    `prompts_key`: the item of the dictionary that has the prompts of this image, as `Study.segment` takes them; without it, all images
    have the prompts of the transform. The other arguments are those of `Segment`.
    """

    def __init__(
        self,
        keys: "Hashable | Sequence[Hashable]",
        model: "Model | str | os.PathLike[str]",
        objects: "Mapping[str, Any] | Sequence[Mapping[str, Any]] | None" = None,
        *,
        pred_keys: "Hashable | Sequence[Hashable]" = "pred",
        prompts_key: "Hashable | None" = None,
        allow_missing_keys: bool = False,
        **options: Any,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.pred_keys = ensure_tuple(pred_keys)
        if len(self.pred_keys) != len(self.keys):
            raise UsageError(f"pred_keys: expected one for each of {len(self.keys)} keys, found {len(self.pred_keys)}")
        self.prompts_key = prompts_key
        self.segment = Segment(model, objects, **options)

    def __call__(self, data: "Mapping[Hashable, Any]") -> "dict[Hashable, Any]":
        """Adds the results to a copy of the dictionary."""
        made = dict(data)
        for key, pred_key in self.key_iterator(made, self.pred_keys):
            made[pred_key] = self.segment(made[key], None if self.prompts_key is None else made[self.prompts_key])
        return made


SegmentD = SegmentDict = Segmentd


class SegVolInferer(Inferer):  # type: ignore[misc, unused-ignore]
    """Segments each image of a batch, (B, 1, i, j, k), with its own affine. The result is (B, channels, i, j, k), with the batch's
    metadata.

    It takes the place of `SlidingWindowInferer` and its network. `output` and the other arguments are those of `Segment`.
    """

    def __init__(
        self,
        model: "Model | str | os.PathLike[str]",
        objects: "Mapping[str, Any] | Sequence[Mapping[str, Any]] | None" = None,
        *,
        output: str = "probabilities",
        **options: Any,
    ) -> None:
        super().__init__()
        self.segment = Segment(model, objects, output=output, **options)

    def __call__(self, inputs: "torch.Tensor", network: Any = None, *args: Any, **kwargs: Any) -> "MetaTensor":
        """Segments `inputs`. `network` and what follows are ignored: the networks are in the bundle."""
        if inputs.ndim != 5:
            raise InputError(f"inputs: expected shape (B, 1, i, j, k), found {tuple(inputs.shape)}")
        if isinstance(inputs, MetaTensor) and inputs.is_batch:
            images: Any = decollate_batch(inputs)
        elif len(inputs) == 1:
            images = inputs
        else:
            raise InputError(
                f"inputs: a batch of {len(inputs)} images, but not their affines; make it with monai.data.DataLoader or list_data_collate"
            )
        return _like(torch.stack([self.segment(image).as_tensor() for image in images]), inputs)


def _objects(objects: Any, single: "dict[str, Any]") -> Any:
    """Prompts as plain lists and dicts, which can be sent to other processes."""
    return json.loads(_prompts.as_json(objects, single)[0])


def _scan(img: Any) -> "tuple[np.ndarray, np.ndarray]":
    """The voxels [i, j, k], where they lie if they are on the CPU, and the affine to RAS+."""
    if not isinstance(img, MetaTensor):
        raise InputError(
            f"img: expected a MetaTensor, found {type(img).__name__}, which says nothing about the patient. LoadImage makes one, unless "
            "monai.data.set_track_meta(False) was called"
        )
    if img.ndim == 5:
        raise InputError(f"img: a batch, {tuple(img.shape)}; use segvol.monai.SegVolInferer, or the transform before the batch is made")
    if img.ndim != 4 or img.shape[0] != 1:
        raise InputError(f"img: expected one channel, (1, i, j, k), found {tuple(img.shape)}; see monai.transforms.EnsureChannelFirst")
    if img.has_pending_operations:
        raise InputError("img: lazy transforms are pending; apply them first, with monai.transforms.ApplyPending")
    affine = np.asarray(img.affine, dtype=np.float64)
    if np.array_equal(affine, np.eye(4)) and "original_affine" not in img.meta:
        raise InputError(
            "img: the affine is the identity that MONAI gives to tensors without one. If it is really that of the scan, set "
            'img.meta["original_affine"] to it'
        )
    space = str(img.meta.get("space", "RAS"))
    if space not in _IS_LPS:
        raise InputError(f'img: expected meta["space"] RAS or LPS, found {space!r}')
    tensor = img.as_tensor().detach().cpu()[0]
    voxels = (tensor.float() if tensor.dtype == torch.bfloat16 else tensor).numpy()
    return voxels, _LPS_TO_RAS @ affine if _IS_LPS[space] else affine


def _like(made: "torch.Tensor", image: "torch.Tensor") -> "MetaTensor":
    """`made` with the metadata of `image`, on its device."""
    found = MetaTensor(made.to(image.device))
    found.copy_meta_from(image)  # type: ignore[no-untyped-call, unused-ignore]
    return found
