"""Parity of networks: the authors' random weights, our network, the same planes and steps."""

from __future__ import annotations

import math
import re

import onnxruntime
import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from stemlight.models.builder import build_unet
from stemlight.models.mixer import WaveformMixer
from stemlight.weights.import_graph import unet_config_of
from stemlight.weights.mdx_graph import read_mdx_network, to_state_dict
from stemlight.weights.official_keys import rename_keys

from .cases import FAMILIES, NETWORKS, TOLERANCE, discovered, graphs, largest_difference, mdx_source

_MODES = ("eval", "train")


@pytest.mark.parametrize("case", discovered())
def test_every_file_is_of_a_known_family(case):
    assert case.family in FAMILIES, f"unknown family {case.family!r} in {case.path.name}"


def run(case, network, planes, sources):
    """Run a network on planes of a file, whose axes may lie the other way round."""
    flip = case.channel_axis_first
    planes = planes.float().transpose(-1, -2) if flip else planes.float()
    with torch.no_grad():
        outputs = network.output_of_pairs(planes, sources), network.forward_pairs(planes, sources)
    return [output.transpose(-1, -2) if flip else output for output in outputs]


@pytest.mark.parametrize("case", discovered(*NETWORKS))
def test_official_weights_load_strictly_and_give_official_planes(case):
    planes = case.tensors["in.spec"]
    sources = case.tensors.get("in.cond", torch.zeros(len(planes), dtype=torch.int64))
    raw, estimated = run(case, case.model().network, planes, sources)
    # Of a masking network a file may hold the mask or what it makes of the planes; the waveforms
    # decide that the mask is applied.
    expected = case.tensors["out.spec"]
    found = min(largest_difference(raw, expected), largest_difference(estimated, expected))
    assert found < TOLERANCE


@pytest.mark.parametrize("case", discovered("lasaft", "lightsaft_mdx", "lasaft_v2"))
def test_all_sources_at_once_equal_one_source_at_a_time(case):
    network = case.model().network
    planes = case.tensors["in.spec"].float()
    with torch.no_grad():
        together = network(planes, torch.arange(network.n_sources))
        alone = [network(planes, torch.tensor([i]))[:, 0] for i in range(network.n_sources)]
    assert largest_difference(together, torch.stack(alone, dim=1)) < TOLERANCE
    if "out.spec_multi" in case.tensors:
        expected = case.tensors["out.spec_multi"]
        found = together[: len(expected)]
        possible = [expected]
        if network.estimate == "masking":
            possible.append(planes[: len(expected), None] * expected)  # the file may hold masks
        assert min(largest_difference(found, one) for one in possible) < TOLERANCE


def with_gradients(*families):
    cases = [c for c in discovered(*families) if not c.marks and "grad_step" in c.values[0].meta]
    skip = pytest.mark.skip(reason="no file holds a gradient step")
    return cases or [pytest.param(None, marks=skip)]


@pytest.mark.parametrize("case", with_gradients("mdx_train"))
def test_planes_there_and_back_give_the_official_waveform(case):
    expected = case.tensors.get("out.istft_of_net_of_stft")
    if expected is None:
        pytest.skip("the file holds no waveform")
    with torch.no_grad():
        found = case.model()(case.tensors["grad.in.mix"].float(), torch.tensor([0]))[:, 0]
    assert largest_difference(found, expected) < TOLERANCE


@pytest.mark.parametrize("mode", _MODES)
@pytest.mark.parametrize("case", with_gradients(*NETWORKS))
def test_one_optimizer_step_does_what_the_official_one_does(case, mode):
    model = case.model().train(mode == "train")
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0  # as the files were made: random zeros cannot be repeated
    optimizer, loss_of = step_of(case, model)
    loss = loss_of()
    loss.backward()
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    found = {"loss": loss.item(), "grad_norm": norm(gradients)}
    optimizer.step()
    found["param_norm_after"] = norm([*model.parameters(), case_window(case)])
    running = [b for name, b in model.named_buffers() if "running" in name]
    found["bn_running_norm_after"] = norm(running)
    with torch.no_grad():
        found["loss_after"] = loss_of().item()
    assert found == pytest.approx(case.said("grad_step")[mode], rel=1e-4, abs=1e-6)
    if mode == "train":
        check_stepped_weights(case, model)


def check_stepped_weights(case, model):
    prefix = "grad.after1."
    official = {k.removeprefix(prefix): v for k, v in case.tensors.items() if k.startswith(prefix)}
    ours = dict(model.network.named_parameters())
    names = rename_keys([key.removeprefix("sd.") for key in case.state_dict()])
    for key, expected in official.items():
        found = ours[names[key]]
        # The first step goes by a gradient's sign, which rounding decides next to zero.
        settled = found.grad.abs() > 0.02 * found.grad.square().mean().sqrt()
        assert largest_difference(found.detach()[settled], expected[settled]) < TOLERANCE


def norm(tensors):
    return math.sqrt(sum(t.detach().double().square().sum().item() for t in tensors))


def case_window(case):
    """Return the Hann window, which is a (frozen) parameter in the authors' code."""
    return next(v for k, v in case.state_dict().items() if k.endswith("window"))


def step_of(case, model):
    """Return the optimizer and the loss of a file's gradient step."""
    mixture, target = case.tensors["grad.in.mix"].float(), case.tensors["grad.in.target"].float()
    rate = re.search(r"lr=([\d.e-]+\d)", case.meta.get("grad_note", ""))
    learning_rate = float(rate[1]) if rate else case.said("config")["lr"]
    if case.channel_axis_first:

        def waveform_loss():
            sources = torch.tensor([0])
            return nn.functional.mse_loss(model(mixture, sources)[:, 0], target)

        return torch.optim.RMSprop(model.parameters(), lr=learning_rate), waveform_loss

    mixture, target = mixture.transpose(1, 2), target.transpose(1, 2)
    sources = case.tensors.get("grad.in.cond", torch.zeros(len(mixture), dtype=torch.int64))

    def planes_loss():
        estimates = model.network.forward_pairs(model.stft(mixture), sources)
        return nn.functional.mse_loss(estimates, model.stft(target))

    return torch.optim.Adam(model.parameters(), lr=learning_rate), planes_loss


@pytest.mark.parametrize("case", discovered("mixer"))
def test_the_official_mixer_mixes_as_officially(case):
    (weight,) = case.state_dict().values()
    n_sources = len(weight) // 2
    mixer = WaveformMixer(n_sources, n_sources)
    mixer.load_state_dict({"linear.weight": weight.float()})
    with torch.no_grad():
        mixed = mixer(case.tensors["in.x"].float())
    assert largest_difference(mixed, case.tensors["out.y"]) < TOLERANCE


@pytest.mark.parametrize("case", discovered("mdx"))
def test_each_network_of_mdx_net_gives_official_planes(case):
    given = [key.removeprefix("in.spec.") for key in case.tensors if key.startswith("in.spec.")]
    for source in given:
        model, _ = mdx_source(case, source)
        raw, _ = run(
            case,
            model.network,
            case.tensors[f"in.spec.{source}"],
            torch.zeros(1, dtype=torch.int64),
        )
        assert largest_difference(raw, case.tensors[f"out.spec.{source}"]) < TOLERANCE


@pytest.mark.parametrize("case", discovered("mdx"))
def test_planes_of_a_window_are_packed_as_officially(case):
    given = [key for key in case.tensors if key.startswith("out.stft_chunk0.")]
    for key in given:
        model, config = mdx_source(case, key.removeprefix("out.stft_chunk0."))
        window = torch.zeros(1, 2, config.chunk.chunk_samples)
        mixture = case.mixture()[:, : config.chunk.chunk_samples - config.chunk.trim_samples]
        first = config.chunk.trim_samples
        window[0, :, first : first + mixture.shape[1]] = mixture
        planes = model.stft(window).transpose(-1, -2)
        assert largest_difference(planes, case.tensors[key]) < TOLERANCE


@pytest.mark.parametrize("engine", ["onnx", "torch"])
@pytest.mark.parametrize("graph", graphs())
def test_a_published_graph_runs_as_it_is_and_as_a_torch_module(graph, engine):
    io = load_file(graph.with_name(f"{graph.name}.io.safetensors"))
    if engine == "onnx":
        session = onnxruntime.InferenceSession(str(graph))
        (found,) = session.run(["output"], {"input": io["input"].numpy()})
    else:
        network = read_mdx_network(graph)
        with torch.no_grad():
            found = torch_network(network)(
                io["input"].transpose(-1, -2), torch.tensor([0])
            ).transpose(-1, -2)[:, 0]
    assert largest_difference(found, io["output"]) < TOLERANCE


def torch_network(network):
    config = unet_config_of(network)
    unet = build_unet(config, network.dim_f).eval()
    unet.load_state_dict(
        {name: torch.from_numpy(array) for name, array in to_state_dict(network).items()}
    )
    return unet
