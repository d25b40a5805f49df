"""Takes a part of the stored numbers of Brevitas: python select.py GOLDEN_FOLDER > quantizers.json

Written as the bits of f32 numbers, so that nothing is lost. Long arrays whose elements do not depend
on one another are thinned out.
"""
import json
import sys

import numpy as np

PARTS = {
    "a_float_act_unscaled.npz": (
        ["e4m3_s_ocp", "e5m2_s_ocp", "e3m1_s_ocp", "e2m1_s_ocp", "e4m3_s_plain", "e4m3_u_ocp",
         "e1m2_s_ocp", "e6m1_s_ocp", "e2m0_u_ocp", "e5m5_s_ocp"], [], 11),
    "a_float_act_scaled.npz": (["e3m1_s_ocp", "e4m3_u_ocp"], [], 1),
    "a_float_weight.npz": (["e3m1_none", "e3m1_tensor", "e4m3_channel", "e2m1_channel"], ["w", "up"], 1),
    "a_float_named.npz": (["fnuz.Fp8e4m3FNUZWeightPerChannelFloat", "ocp.Fp8e5m2OCPWeight"],
                          ["w", "up_w"], 1),
    "b_int_weight.npz": (["Int8WeightPerChannelFloat.b4.l", "Int8WeightPerTensorFloat.b8.l",
                          "Int8WeightPerTensorFixedPoint.b3.l", "CommonWeightQuant.b2.l"],
                         ["wl", "upl"], 1),
    "b_int_act.npz": (["CommonActQuant.b4", "Uint8ActMaxInit_relu.b3",
                       "Uint8ActPerTensorFixedPointMaxInit.b4"], ["x", "up"], 1),
    "b_int_trunc_bias_misc.npz": (["core.TernaryQuant.s1.3.t0.5", "core.BinaryQuant.s0.7",
                                   "core.ClampedBinaryQuant.s0.7"], [], 7),
}
SKIPPED = ("zero_point", "bit_width", "zp_per_step")


def bits(array):
    return {"shape": list(array.shape), "bits": array.astype(np.float32).reshape(-1).view(np.uint32).tolist()}


def main():
    arrays = {}
    for file, (cases, whole, step) in PARTS.items():
        golden = np.load(f"{sys.argv[1]}/{file}")
        part = {name: bits(golden[name]) for name in whole}
        for name in golden.keys():
            if name.endswith(SKIPPED) or not name.startswith(tuple(case + "." for case in cases)):
                continue
            array = golden[name]
            part[name] = bits(array[::step] if array.ndim else array)
        arrays[file] = part
    source = "Brevitas 0.12.1, PyTorch 2.8.0; see the folder's README"
    json.dump({"source": source, "arrays": arrays}, sys.stdout, separators=(",", ":"))


main()
