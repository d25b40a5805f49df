"""ResNet18 for images of 32 x 32 as fewbit builds it, out of layers of PyTorch or of Brevitas.

Minifloats: every weight is quantized, and so are the image, the output of every convolution and of every
rectifier, and the input of the last layer: 71 quantizers. They have no scales.
"""

import torch
from torch import nn

WIDTHS = (64, 128, 256, 512)
BLOCKS_OF_A_STAGE = 2


class PlainLayers:
    """Layers of PyTorch, nothing quantized."""

    def convolution(self, inputs, outputs, kernel, stride, first=False):
        return nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, bias=False)

    def rectifier(self):
        return nn.ReLU()

    def linear(self, inputs, outputs):
        return nn.Linear(inputs, outputs)


class MinifloatLayers:
    """Layers of Brevitas, weights and activations in a minifloat format without scales."""

    def __init__(self, exponent_bits, mantissa_bits):
        from brevitas.quant.experimental.float_quant_ocp import Fp8e4m3OCPAct, Fp8e4m3OCPWeight

        sizes = {
            "bit_width": 1 + exponent_bits + mantissa_bits,
            "exponent_bit_width": exponent_bits,
            "mantissa_bit_width": mantissa_bits,
        }
        self.weight = Fp8e4m3OCPWeight.let(**sizes)
        self.activation = Fp8e4m3OCPAct.let(**sizes)

    def convolution(self, inputs, outputs, kernel, stride, first=False):
        from brevitas.nn import QuantConv2d

        return QuantConv2d(
            inputs, outputs, kernel, stride=stride, padding=kernel // 2, bias=False, weight_quant=self.weight,
            input_quant=self.activation if first else None, output_quant=self.activation,
        )

    def rectifier(self):
        from brevitas.nn import QuantReLU

        return QuantReLU(act_quant=self.activation)

    def linear(self, inputs, outputs):
        from brevitas.nn import QuantLinear

        return QuantLinear(inputs, outputs, bias=True, weight_quant=self.weight, input_quant=self.activation)


class Block(nn.Module):
    """Two convolutions, each normalized and rectified, and the shortcut around them."""

    def __init__(self, layers, inputs, outputs, stride):
        super().__init__()
        self.main = nn.Sequential(
            layers.convolution(inputs, outputs, 3, stride), nn.BatchNorm2d(outputs), layers.rectifier(),
            layers.convolution(outputs, outputs, 3, 1), nn.BatchNorm2d(outputs), layers.rectifier(),
        )
        self.shortcut = nn.Identity()
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Sequential(
                layers.convolution(inputs, outputs, 1, stride), nn.BatchNorm2d(outputs), layers.rectifier(),
            )
        self.rectifier = layers.rectifier()

    def forward(self, x):
        return self.rectifier(self.main(x) + self.shortcut(x))


def resnet18(layers, classes=10):
    """The network, initialized as fewbit does: Kaiming's normal distribution by the outputs."""
    parts = [layers.convolution(3, WIDTHS[0], 3, 1, first=True), nn.BatchNorm2d(WIDTHS[0]), layers.rectifier()]
    inputs = WIDTHS[0]
    for outputs in WIDTHS:
        for block in range(BLOCKS_OF_A_STAGE):
            stride = 2 if block == 0 and outputs != WIDTHS[0] else 1
            parts.append(Block(layers, inputs, outputs, stride))
            inputs = outputs
    parts += [nn.AvgPool2d(4), nn.Flatten(), layers.linear(inputs, classes)]
    network = nn.Sequential(*parts)
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    return network
