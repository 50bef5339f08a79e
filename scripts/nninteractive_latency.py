"""Measures what a point costs with nnInteractive's client, on any server of its protocol: `segvol serve`, or nnInteractive's own.

    pip install nninteractive-client==2.6.0 nibabel numpy
    nninteractive_latency.py time http://127.0.0.1:8787 [--runs N] [--look SECONDS]

    pip install nninteractive==2.6.0                  # with PyTorch
    nninteractive_latency.py model random             # a model for nnInteractive's own server
    nninteractive-server --model-dir random --fold 0 --device cpu --torch-n-threads 2 --no-torch-compile --no-autozoom

`model` writes nnU-Net's large residual encoder network ("ResEnc L", 102 million weights) with a patch of 192³ voxels, which nnInteractive's
released model has, too, and with random weights: its masks mean nothing, its time is that of one run of the network. `--no-autozoom`
keeps it at one run, whatever the mask.
"""

import argparse
import json
import statistics
import time
from pathlib import Path

SCAN = Path(__file__).resolve().parents[1] / "demo/phantom.nii.gz"
# Voxels [k, j, i] of the array, in the liver: a first point, and a second one beside it.
FIRST, NEXT = [33, 47, 36], [33, 50, 40]
# The network as the plans of nnU-Net describe it.
STAGES = 6
NETWORK = {
    "network_class_name": "dynamic_network_architectures.architectures.unet.ResidualEncoderUNet",
    "arch_kwargs": {
        "n_stages": STAGES,
        "features_per_stage": [32, 64, 128, 256, 320, 320],
        "n_blocks_per_stage": [1, 3, 4, 6, 6, 6],
        "n_conv_per_stage_decoder": [1] * (STAGES - 1),
        "kernel_sizes": [[3, 3, 3]] * STAGES,
        "strides": [[1, 1, 1], *[[2, 2, 2]] * (STAGES - 1)],
        "conv_op": "torch.nn.modules.conv.Conv3d",
        "conv_bias": True,
        "norm_op": "torch.nn.modules.instancenorm.InstanceNorm3d",
        "norm_op_kwargs": {"eps": 1e-5, "affine": True},
        "dropout_op": None,
        "dropout_op_kwargs": None,
        "nonlin": "torch.nn.LeakyReLU",
        "nonlin_kwargs": {"inplace": True},
    },
    "_kw_requires_import": ["conv_op", "norm_op", "dropout_op", "nonlin"],
}
CONFIGURATION = "3d_fullres"


def plans() -> dict:
    """The plans of a network with one image channel, whose voxels are as large as the scan's."""
    resample = "resample_data_or_seg_to_shape"
    configuration = {
        "data_identifier": CONFIGURATION,
        "preprocessor_name": "DefaultPreprocessor",
        "batch_size": 2,
        "patch_size": [192, 192, 192],
        "median_image_size_in_voxels": [192, 192, 192],
        "spacing": [1, 1, 1],
        "normalization_schemes": ["ZScoreNormalization"],
        "use_mask_for_norm": [False],
        **{f"resampling_fn_{what}": resample for what in ("data", "seg", "probabilities")},
        **{f"resampling_fn_{what}_kwargs": {} for what in ("data", "seg", "probabilities")},
        "architecture": NETWORK,
        "batch_dice": False,
    }
    return {
        "dataset_name": "Random",
        "plans_name": "nnUNetResEncUNetLPlans",
        "original_median_spacing_after_transp": [1, 1, 1],
        "original_median_shape_after_transp": [192, 192, 192],
        "image_reader_writer": "SimpleITKIO",
        "transpose_forward": [0, 1, 2],
        "transpose_backward": [0, 1, 2],
        "configurations": {CONFIGURATION: configuration},
        "experiment_planner_used": "ResEncUNetPlanner",
        "label_manager": "LabelManager",
        "foreground_intensity_properties_per_channel": {},
    }


def write_model(folder: Path) -> None:
    """Writes a model with random weights, as nnInteractive's server reads it."""
    import torch
    from nnInteractive.inference.inference_session import nnInteractiveInferenceSession
    from nnInteractive.trainer.nnInteractiveTrainer import nnInteractiveTrainer_stub
    from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

    torch.manual_seed(0)
    (folder / "fold_0").mkdir(parents=True)
    described = plans()
    dataset = {"channel_names": {"0": "CT"}, "labels": {"background": 0, "object": 1}, "numTraining": 1, "file_ending": ".nii.gz"}
    for name, content in (("plans", described), ("dataset", dataset), ("inference_session_class", {"point_radius": 4})):
        (folder / f"{name}.json").write_text(json.dumps(content))
    manager = PlansManager(described)
    session = nnInteractiveInferenceSession(device=torch.device("cpu"))
    session._apply_capability({})
    channels = 1 + session.num_interaction_channels
    build = nnInteractiveTrainer_stub.build_network_architecture
    network = build(manager, manager.get_configuration(CONFIGURATION), channels, 2, enable_deep_supervision=False)
    print(f"{sum(weights.numel() for weights in network.parameters()):,} weights, {channels} channels")
    checkpoint = {
        "network_weights": network.state_dict(),
        "trainer_name": "nnInteractiveTrainer_stub",
        "init_args": {"configuration": CONFIGURATION},
    }
    torch.save(checkpoint, folder / "fold_0/checkpoint_final.pth")


def measure(url: str, runs: int, look_s: float) -> None:
    """Prints the medians over sessions, each with the scan uploaded anew."""
    import nibabel
    import numpy as np
    from nnInteractive.inference.remote.remote_session import nnInteractiveRemoteInferenceSession

    scan = nibabel.load(SCAN)
    image = np.ascontiguousarray(np.asarray(scan.dataobj).T[None])
    spacing = [float(spacing) for spacing in scan.header.get_zooms()[::-1]]
    firsts, nexts = [], []
    for _ in range(runs):
        client = nnInteractiveRemoteInferenceSession(url)
        client.set_image(image, {"spacing": spacing})
        client.set_target_buffer(np.zeros(image.shape[1:], np.uint8))
        # The user looks at the scan.
        time.sleep(look_s)
        for point, seconds in ((FIRST, firsts), (NEXT, nexts)):
            start = time.perf_counter()
            client.add_point_interaction(point, include_interaction=True)
            seconds.append(time.perf_counter() - start)
        client.close()
    for name, seconds in (("first", firsts), ("next", nexts)):
        print(f"{name} point: {statistics.median(seconds):.2f} ({min(seconds):.2f}) s, median and (least) of {runs} sessions")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("model", help="write a model with random weights").add_argument("folder", type=Path)
    timed = commands.add_parser("time", help="measure points on a server")
    timed.add_argument("url")
    timed.add_argument("--runs", type=int, default=3, help="sessions [3]")
    timed.add_argument("--look", type=float, default=0.0, metavar="SECONDS", help="between the image and the first point [0]")
    given = parser.parse_args()
    if given.command == "model":
        write_model(given.folder)
    else:
        measure(given.url, given.runs, given.look)


if __name__ == "__main__":
    main()
