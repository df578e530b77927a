"""MDX-Net graphs, however they were exported, give the weights that compute what the graph does."""

from __future__ import annotations

import itertools
import subprocess
import sys
import warnings

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
import torch.nn.functional as F
from onnx import helper, numpy_helper
from safetensors.numpy import load_file
from torch import nn

from stemlight.errors import MissingExtraError, WeightsError
from stemlight.models.builder import build_unet
from stemlight.models.config import UNetConfig
from stemlight.weights.mdx_graph import read_mdx_network, to_state_dict

EVAL, PRESERVE = torch.onnx.TrainingMode.EVAL, torch.onnx.TrainingMode.PRESERVE


# ---------------------------------------------------------------- a network to export


class Block(nn.Module):
    def __init__(self, n_in, width, bins, *, layers, kernel, factor, bias, activation, epsilon):
        super().__init__()

        def normed(layer):
            return nn.Sequential(layer, nn.BatchNorm2d(width, eps=epsilon), activation())

        self.convolutions = nn.Sequential(
            *(
                normed(nn.Conv2d(width if i else n_in, width, kernel, padding=kernel // 2))
                for i in range(layers)
            )
        )
        units = [bins, bins // factor, bins] if factor else [bins, bins]
        pairs = [] if factor is None else itertools.pairwise(units)
        self.tdf = nn.Sequential(*(normed(nn.Linear(*pair, bias=bias)) for pair in pairs))

    def forward(self, x):
        x = self.convolutions(x)
        return x + self.tdf(x) if len(self.tdf) else x


class Net(nn.Module):
    def __init__(
        self,
        *,
        levels=2,
        g=4,
        layers=2,
        kernel=3,
        factor=4,
        bias=False,
        bins=32,
        merge="multiply",
        activation=nn.ReLU,
        epsilon=1e-5,
    ):
        super().__init__()
        self.merge = merge
        options = {
            "layers": layers,
            "kernel": kernel,
            "factor": factor,
            "bias": bias,
            "activation": activation,
            "epsilon": epsilon,
        }

        def normed(layer, width):
            return nn.Sequential(layer, nn.BatchNorm2d(width, eps=epsilon), activation())

        widths = [g * (level + 1) for level in range(levels + 1)]
        sizes = [bins >> level for level in range(levels + 1)]
        joined = 1 if merge == "multiply" else 2
        self.head = normed(nn.Conv2d(4, g, 1), g)
        self.encoders = nn.ModuleList(
            Block(widths[i], widths[i], sizes[i], **options) for i in range(levels)
        )
        self.downs = nn.ModuleList(
            normed(nn.Conv2d(widths[i], widths[i + 1], 2, 2), widths[i + 1]) for i in range(levels)
        )
        self.middle = Block(widths[-1], widths[-1], sizes[-1], **options)
        deep_to_shallow = range(levels - 1, -1, -1)
        self.ups = nn.ModuleList(
            normed(nn.ConvTranspose2d(widths[i + 1], widths[i], 2, 2), widths[i])
            for i in deep_to_shallow
        )
        self.decoders = nn.ModuleList(
            Block(joined * widths[i], widths[i], sizes[i], **options) for i in deep_to_shallow
        )
        self.tail = nn.Conv2d(g, 4, 1)

    def forward(self, x):
        x = self.head(x).transpose(-1, -2)
        skips = []
        for encoder, down in zip(self.encoders, self.downs, strict=True):
            x = encoder(x)
            skips.append(x)
            x = down(x)
        x = self.middle(x)
        for up, decoder in zip(self.ups, self.decoders, strict=True):
            x, skip = up(x), skips.pop()
            if self.merge == "multiply":
                x = x * skip
            else:
                x = torch.cat((x, skip) if self.merge == "concatenate" else (skip, x), dim=1)
            x = decoder(x)
        return self.tail(x.transpose(-1, -2))


def random_net(seed=0, **options):
    torch.manual_seed(seed)
    net = Net(**options)
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5)
            nn.init.normal_(module.bias, std=0.2)
            nn.init.normal_(module.running_mean, std=0.2)
            nn.init.uniform_(module.running_var, 0.3, 1.5)
    return net.eval()


def export(net, path, *, opset=13, folding=True, training=EVAL, bins=32, frames=16, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter warns about itself
        torch.onnx.export(
            net,
            (torch.randn(1, 4, bins, frames),),
            str(path),
            input_names=["input"],
            output_names=["output"],
            dynamic_axes={"input": {0: "batch"}, "output": {0: "batch"}},
            opset_version=opset,
            do_constant_folding=folding,
            training=training,
            dynamo=False,
            **options,
        )
    return path


# ---------------------------------------------------------------- references


def planes_for(path, batch=2):
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    (given,) = session.get_inputs()
    shape = [axis if isinstance(axis, int) else 16 for axis in given.shape[1:]]
    planes = np.random.default_rng(0).standard_normal((batch, *shape)).astype(np.float32)
    (output,) = session.run(None, {given.name: planes})
    return planes, output


def run_steps(network, planes):
    """Compute what the steps say, layer by layer."""
    value, skips, branch = torch.from_numpy(planes).transpose(2, 3), [], None
    for index, step in enumerate(network.steps):
        weight = torch.from_numpy(step.weight)
        bias = None if step.bias is None else torch.from_numpy(step.bias)
        if step.kind == "down":
            skips.append(value)
        if step.kind in ("narrow", "widen"):
            branch = F.linear(value if branch is None else branch, weight, bias)
            branch = activate(network, normalise(step, branch))
            if step.kind == "widen":
                value, branch = value + branch, None
            continue
        if step.kind == "up":
            value = F.conv_transpose2d(value, weight, bias, stride=2)
        else:
            stride = 2 if step.kind == "down" else 1
            padding = 0 if step.kind == "down" else weight.shape[-1] // 2
            value = F.conv2d(value, weight, bias, stride=stride, padding=padding)
        if step.kind == "tail":
            assert index == len(network.steps) - 1
            return value.transpose(2, 3).numpy()
        value = activate(network, normalise(step, value))
        if step.kind == "up":
            skip = skips.pop()
            joined = network.merge == "concatenate"
            value = torch.cat((value, skip), dim=1) if joined else value * skip
    raise AssertionError("no tail")


def normalise(step, value):
    if step.norm is None:
        return value
    arrays = (step.norm.mean, step.norm.variance, step.norm.weight, step.norm.bias)
    return F.batch_norm(value, *map(torch.from_numpy, arrays), eps=step.norm.epsilon)


def activate(network, value):
    return F.leaky_relu(value, network.negative_slope)


def unet_of(network):
    config = UNetConfig(
        n_blocks=2 * network.n_levels + 1,
        features=tuple(network.growth_channels * (i + 1) for i in range(network.n_levels + 1)),
        n_sources=1,
        merge_skip=network.merge,
        head="pointwise",
        n_tfc_layers=network.n_layers,
        dense=False,
        kernel_frames=network.kernel_size,
        kernel_bins=network.kernel_size,
        transformation="none" if network.bn_factor is None else "tdf",
        bn_factor=network.bn_factor or None,
        min_bn_units=1,
        bias=network.bias,
        activation="leaky_relu" if network.negative_slope else "relu",
        resampling_activation="leaky_relu" if network.negative_slope else "relu",
    )
    unet = build_unet(config, network.dim_f)
    state = to_state_dict(network)
    unet.load_state_dict({key: torch.from_numpy(value) for key, value in state.items()})
    return unet.eval()


def check(path, *, atol=1e-5):
    """Read a graph and show that its weights, in two references, do what it does."""
    network = read_mdx_network(path)
    planes, expected = planes_for(path)
    scale = np.abs(expected).max()
    with torch.no_grad():
        from_steps = run_steps(network, planes)
        unet = unet_of(network)
        from_unet = unet(torch.from_numpy(planes).transpose(2, 3), torch.tensor([0]))[:, 0]
    np.testing.assert_allclose(from_steps, expected, atol=atol * scale)
    np.testing.assert_allclose(from_unet.transpose(2, 3).numpy(), expected, atol=atol * scale)
    return network


# ---------------------------------------------------------------- the authors' graph


@pytest.fixture
def official_graph(shared):
    return shared("fixtures/official/mdx_v2_vocals.onnx")


def test_the_authors_graph_is_read(official_graph):
    network = check(official_graph)
    facts = {key: value for key, value in vars(network).items() if key != "steps"}
    assert facts == {
        "n_levels": 1,
        "growth_channels": 4,
        "n_layers": 2,
        "kernel_size": 3,
        "bn_factor": 8,
        "dim_f": 128,
        "dim_t": 64,
        "merge": "multiply",
        "bias": False,
        "negative_slope": 0,
    }


def test_the_authors_weights_come_back_where_nothing_was_folded(official_graph, shared):
    tensors = load_file(shared("fixtures/official/mdx_v2.safetensors"))
    state = to_state_dict(read_mdx_network(official_graph))
    pairs = {
        "ds_dense.0.tdf.0.weight": "encoders.0.transformation.narrow.0.weight",
        "ds_dense.0.tdf.1.running_var": "encoders.0.transformation.narrow.1.running_var",
        "mid_dense.tdf.3.weight": "middle.transformation.widen.0.weight",
        "us.0.0.weight": "ups.0.0.weight",
        "us.0.1.running_mean": "ups.0.1.running_mean",
        "us_dense.0.tdf.4.bias": "decoders.0.transformation.widen.1.bias",
        "final_conv.0.bias": "tail.bias",
    }
    for official, ours in pairs.items():
        np.testing.assert_array_equal(state[ours], tensors[f"sd.vocals.{official}"], official)


def test_the_authors_folded_weights_are_those_of_their_state_dict(official_graph, shared):
    """A convolution and its norm, as numbers: w * weight / deviation, (b - mean) * ... + bias."""
    tensors = load_file(shared("fixtures/official/mdx_v2.safetensors"))
    sd = {key[10:]: value.astype(np.float64) for key, value in tensors.items() if "vocals" in key}
    state = to_state_dict(read_mdx_network(official_graph))
    pairs = {
        "first_conv": "head",
        "ds_dense.0.H.1": "encoders.0.tfc.layers.1",
        "ds.0": "downs.0",
        "mid_dense.H.0": "middle.tfc.layers.0",
        "us_dense.0.H.0": "decoders.0.tfc.layers.0",
    }
    for official, ours in pairs.items():
        norm = {name: sd[f"{official}.1.{name}"] for name in ("weight", "bias")}
        scale = norm["weight"] / np.sqrt(sd[f"{official}.1.running_var"] + 1e-5)
        weight = sd[f"{official}.0.weight"] * scale[:, None, None, None]
        bias = (sd[f"{official}.0.bias"] - sd[f"{official}.1.running_mean"]) * scale + norm["bias"]
        np.testing.assert_allclose(state[f"{ours}.0.weight"], weight, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(state[f"{ours}.0.bias"], bias, rtol=1e-5, atol=1e-6)


# ---------------------------------------------------------------- exporters


@pytest.mark.parametrize("opset", [11, 13, 17])
@pytest.mark.parametrize("folding", [True, False])
@pytest.mark.parametrize("training", [EVAL, PRESERVE])
def test_every_way_to_export_is_read(tmp_path, opset, folding, training):
    path = export(
        random_net(bias=True),
        tmp_path / "net.onnx",
        opset=opset,
        folding=folding,
        training=training,
    )
    network = check(path)
    assert (network.dim_f, network.dim_t, network.n_levels) == (32, 16, 2)
    has_norm = {step.kind: step.norm is not None for step in network.steps}
    # PyTorch folds the norms of convolutions alone, and only if all of this is asked.
    assert has_norm["convolution"] is not (folding and training is EVAL)
    assert has_norm["widen"]
    assert has_norm["up"]


@pytest.mark.parametrize(
    ("options", "facts"),
    [
        ({"levels": 1}, {"n_levels": 1}),
        ({"levels": 3}, {"n_levels": 3}),
        ({"g": 6, "layers": 3}, {"growth_channels": 6, "n_layers": 3}),
        ({"layers": 1, "kernel": 5}, {"n_layers": 1, "kernel_size": 5}),
        ({"kernel": 1}, {"kernel_size": 1}),
        ({"factor": 0}, {"bn_factor": 0, "bias": False}),
        ({"factor": 0, "bias": True}, {"bn_factor": 0, "bias": True}),
        ({"factor": None}, {"bn_factor": None, "bias": False}),
        ({"factor": None, "merge": "concatenate"}, {"bn_factor": None, "merge": "concatenate"}),
        ({"factor": 8, "bias": True}, {"bn_factor": 8, "bias": True}),
        ({"factor": 3}, {"bn_factor": 3}),
        ({"merge": "concatenate"}, {"merge": "concatenate"}),
        ({"merge": "skip first"}, {"merge": "concatenate"}),
        ({"activation": nn.LeakyReLU}, {"negative_slope": 0.01}),
        ({"epsilon": 1e-3}, {"merge": "multiply"}),
    ],
)
@pytest.mark.parametrize("training", [EVAL, PRESERVE])
def test_every_network_of_the_family_is_read(tmp_path, options, facts, training):
    path = export(random_net(**options), tmp_path / "net.onnx", training=training)
    network = check(path)
    assert {key: getattr(network, key) for key in facts} == facts


def test_weights_that_are_listed_among_the_inputs_are_read(tmp_path):
    path = export(random_net(), tmp_path / "net.onnx", keep_initializers_as_inputs=True)
    assert len(onnx.load(path).graph.input) > 1
    assert read_mdx_network(path).n_levels == 2


def test_free_axes_are_read_and_the_bins_are_told_by_the_weights(tmp_path):
    path = export(random_net(), tmp_path / "net.onnx")
    model = onnx.load(path)
    for axis in model.graph.input[0].type.tensor_type.shape.dim[2:]:
        axis.dim_param = "free"
    onnx.save(model, path)
    network = read_mdx_network(path)
    assert (network.dim_f, network.dim_t) == (32, None)


def rewritten(path, change):
    model = onnx.load(path)
    nodes = list(model.graph.node)
    del model.graph.node[:]
    model.graph.node.extend(change(model.graph, nodes))
    onnx.save(model, path)
    return path


def test_weights_in_constant_nodes_behind_identities_are_read(tmp_path):
    def change(graph, nodes):
        front = []
        for tensor in list(graph.initializer):
            array = numpy_helper.to_array(tensor)
            kept = numpy_helper.from_array(array)
            front += [
                helper.make_node("Constant", [], [f"{tensor.name} raw"], value=kept),
                helper.make_node("Identity", [f"{tensor.name} raw"], [tensor.name]),
            ]
        del graph.initializer[:]
        return front + nodes

    path = rewritten(export(random_net(bias=True), tmp_path / "net.onnx"), change)
    assert check(path).bias


def test_free_bins_that_no_weight_tells_are_refused(tmp_path):
    path = export(random_net(factor=None), tmp_path / "net.onnx")
    model = onnx.load(path)
    model.graph.input[0].type.tensor_type.shape.dim[2].dim_param = "free"
    onnx.save(model, path)
    with pytest.raises(WeightsError, match="leaves dim_f free, and it has no TDF that tells it"):
        read_mdx_network(path)


def test_a_block_with_a_tdf_among_others_without_is_refused(tmp_path):
    net, other = random_net(), random_net(factor=None)
    net.middle = other.middle
    with pytest.raises(WeightsError, match="layers in a TDF 2, not 0, was expected"):
        read_mdx_network(export(net, tmp_path / "net.onnx"))


def test_a_tdf_of_other_bins_is_refused_with_both(tmp_path):
    path = export(random_net(), tmp_path / "net.onnx")
    model = onnx.load(path)
    model.graph.input[0].type.tensor_type.shape.dim[2].dim_value = 64
    onnx.save(model, path)
    with pytest.raises(WeightsError, match="a TDF of 64 bins, not from 32 to 32, was expected"):
        read_mdx_network(path)


def test_identities_and_dropouts_on_the_way_are_passed(tmp_path):
    def change(graph, nodes):
        changed = []
        for node in nodes:
            output = node.output[0]
            node.output[0] = f"{output} raw"
            op = "Dropout" if node.op_type == "Relu" else "Identity"
            changed += [node, helper.make_node(op, [f"{output} raw"], [output])]
        return changed

    check(rewritten(export(random_net(), tmp_path / "net.onnx"), change))


@pytest.mark.parametrize("transposed", [0, 1])
@pytest.mark.parametrize("bias", [False, True])
def test_linear_layers_as_gemm_between_reshapes_are_read(tmp_path, transposed, bias):
    def change(graph, nodes):
        weights = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
        changed = []
        for node in nodes:
            if node.op_type != "MatMul":
                changed.append(node)
                continue
            (x, name), y = node.input, node.output[0]
            weight = weights[name]
            n_in, n_out = weight.shape
            # The tiny network below: 16 frames and 4 features at the first level, half and double.
            features, frames = (4, 16) if 32 in weight.shape else (8, 8)
            arrays = {
                f"{y} w": np.ascontiguousarray(weight.T) if transposed else weight,
                f"{y} flat": np.array([-1, n_in]),
                f"{y} full": np.array([-1, features, frames, n_out]),
            }
            if bias:
                arrays[f"{y} b"] = np.full(n_out, 0.25, np.float32)
            graph.initializer.extend(
                numpy_helper.from_array(array, key) for key, array in arrays.items()
            )
            gemm = [f"{y} 2d", f"{y} w"] + ([f"{y} b"] if bias else [])
            changed += [
                helper.make_node("Reshape", [x, f"{y} flat"], [f"{y} 2d"]),
                helper.make_node("Gemm", gemm, [f"{y} out"], transB=transposed),
                helper.make_node("Reshape", [f"{y} out", f"{y} full"], [y]),
            ]
        return changed

    network = check(rewritten(export(random_net(levels=1), tmp_path / "net.onnx"), change))
    assert network.bias is bias
    assert network.bn_factor == 4


# ---------------------------------------------------------------- the state dict


def test_a_folded_norm_becomes_one_that_changes_no_bit(tmp_path):
    state = to_state_dict(read_mdx_network(export(random_net(), tmp_path / "net.onnx")))
    norm = nn.BatchNorm2d(4).eval()
    norm.load_state_dict(
        {
            key.removeprefix("head.1."): torch.from_numpy(value)
            for key, value in state.items()
            if key.startswith("head.1.")
        }
    )
    values = torch.randn(2, 4, 50, 50) * 10 ** torch.linspace(-6, 6, 50)
    with torch.no_grad():
        assert torch.equal(norm(values), values)
    np.testing.assert_array_equal(state["head.1.running_var"], 1)
    assert state["head.1.num_batches_tracked"].dtype == np.int64


def test_arrays_of_the_state_dict_are_float32_and_contiguous(tmp_path):
    state = to_state_dict(read_mdx_network(export(random_net(bias=True), tmp_path / "net.onnx")))
    for key, array in state.items():
        assert array.flags.c_contiguous, key
        assert key.endswith("num_batches_tracked") or array.dtype == np.float32, key


# ---------------------------------------------------------------- refusals


class OneMore(nn.Module):
    def __init__(self, net, change):
        super().__init__()
        self.net, self.change = net, change

    def forward(self, x):
        return self.change(self.net(x))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda graph: setattr(graph.node[1], "op_type", "Sigmoid"),
            r"head.*\(Sigmoid\) stands where Relu or",
        ),
        (
            lambda graph: graph.node[2].attribute[0].ints.__setitem__(2, 1),
            r"'/Transpose' \(Transpose\) stands where",
        ),
        (
            lambda graph: set_strides(graph, 3, [2, 2]),
            r"convolutions.*\(Conv\) stands where a square",
        ),
    ],
)
def test_the_first_node_that_does_not_fit_is_named(tmp_path, change, message):
    path = export(random_net(), tmp_path / "net.onnx")
    model = onnx.load(path)
    change(model.graph)
    onnx.save(model, path)
    with pytest.raises(WeightsError, match=message):
        read_mdx_network(path)


def set_strides(graph, index, strides):
    for attribute in graph.node[index].attribute:
        if attribute.name == "strides":
            attribute.ints[:] = strides


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (torch.sigmoid, r"'/Sigmoid' \(Sigmoid\) stands where the end of the graph was expected"),
        (lambda y: y[:, :2], r"'/Slice' \(Slice\) stands where the end of the graph was expected"),
    ],
)
def test_a_graph_that_goes_on_is_refused(tmp_path, change, message):
    path = export(OneMore(random_net(), change), tmp_path / "net.onnx")
    with pytest.raises(WeightsError, match=message):
        read_mdx_network(path)


def test_a_densely_connected_block_is_refused(tmp_path):
    class Dense(Block):
        def forward(self, x):
            first, second = self.convolutions
            y = first(x)
            x = second(y + x)
            return x + self.tdf(x)

    net = random_net()
    net.encoders[0].__class__ = Dense
    with pytest.raises(WeightsError, match=r"encoders.0.*\(Add\) stands where"):
        read_mdx_network(export(net, tmp_path / "net.onnx"))


def test_blocks_that_differ_are_refused_with_their_numbers(tmp_path):
    net, other = random_net(), random_net(layers=3)
    net.middle = other.middle
    message = "convolutions in a block 2, not 3, was expected"
    with pytest.raises(WeightsError, match=message):
        read_mdx_network(export(net, tmp_path / "net.onnx"))


def test_units_without_a_common_factor_are_refused_with_their_numbers(tmp_path):
    net, other = random_net(), random_net(factor=2)
    net.middle = other.middle
    with pytest.raises(WeightsError, match=r"\(8 of 32, 4 of 16, 4 of 8, 4 of 16, 8 of 32 bins\)"):
        read_mdx_network(export(net, tmp_path / "net.onnx"))


def test_a_norm_of_training_mode_is_refused(tmp_path):
    training = torch.onnx.TrainingMode.TRAINING
    path = export(random_net().train(), tmp_path / "net.onnx", opset=17, training=training)
    with pytest.raises(WeightsError, match="a batch norm of evaluation, not of training mode"):
        read_mdx_network(path)


def test_an_input_of_another_form_is_refused_with_its_axes(tmp_path):
    path = export(random_net(), tmp_path / "net.onnx")
    model = onnx.load(path)
    model.graph.input[0].type.tensor_type.shape.dim[1].dim_value = 2
    onnx.save(model, path)
    with pytest.raises(WeightsError, match=r"its input is \[free, 2, 32, 16\], but \[batch, 4, "):
        read_mdx_network(path)


@pytest.mark.parametrize("content", [None, b"no graph", b""])
def test_what_is_no_graph_is_refused(tmp_path, content):
    path = tmp_path / "net.onnx"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(WeightsError, match=r"net\.onnx (cannot be read|is no MDX-Net graph)"):
        read_mdx_network(path)


def test_without_the_package_onnx_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(MissingExtraError, match=r"the package onnx; install 'stemlight\[torch\]'"):
        read_mdx_network(tmp_path / "net.onnx")


def test_reading_a_graph_imports_no_pytorch(official_graph):
    code = (
        "import sys; from pathlib import Path; import stemlight.weights.mdx_graph as m; "
        "print('onnx' in sys.modules); m.to_state_dict(m.read_mdx_network(Path(sys.argv[1]))); "
        "print('torch' in sys.modules)"
    )
    output = subprocess.run(
        [sys.executable, "-c", code, str(official_graph)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert output.stdout.split() == ["False", "False"]
