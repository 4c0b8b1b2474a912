import pytest
import torch

from kaggle_dsb.config import NetworkSettings, Settings
from kaggle_dsb.files import InputError
from kaggle_dsb.network.model import NucleusNet, save_network
from kaggle_dsb.network.transfer import copy_weights

NARROW = NetworkSettings(decoder_channels=(16, 8, 8, 8, 8))
WIDE = NetworkSettings(decoder_channels=(24, 20, 8, 16, 12))


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    torch.manual_seed(0)
    network = NucleusNet(NARROW, pretrained=True)
    with torch.no_grad():
        for _ in range(2):  # so that the running means are not those of a new network
            network(torch.rand(2, 3, 64, 64) * 255)
    path = tmp_path_factory.mktemp("run") / "fold0.safetensors"
    save_network(path, network, Settings(network=NARROW))
    return path


def logits(network):
    image = torch.rand(1, 3, 64, 96, generator=torch.Generator().manual_seed(1)) * 255
    with torch.inference_mode():
        return network.eval()(image)


@pytest.fixture(scope="module")
def taught(path):
    network = NucleusNet(NARROW, pretrained=False)
    copy_weights(path, network)
    return logits(network)


def test_a_wider_network_begins_with_what_the_narrower_one_computes(path, taught):
    wide = NucleusNet(WIDE, pretrained=False)
    assert not torch.allclose(logits(wide), taught, atol=1e-2)
    copy_weights(path, wide)
    assert torch.allclose(logits(wide), taught, atol=1e-4)


def test_all_that_is_new_in_a_wider_network_can_learn(path):
    wide = NucleusNet(WIDE, pretrained=False)
    copy_weights(path, wide)
    wide.train()
    optimizer = torch.optim.SGD(wide.parameters(), lr=0.01)
    for _ in range(2):
        optimizer.zero_grad()
        wide(torch.rand(2, 3, 64, 64) * 255).square().mean().backward()
        optimizer.step()
    # The last block's new outputs are read by a head that began at zero, and now has a gradient.
    last = wide.unet.decoder.blocks[-1].conv2[0].weight.grad
    assert last.flatten(1).abs().sum(1).min() > 0


@pytest.mark.parametrize(
    "settings",
    [
        NetworkSettings(decoder_channels=(8, 8, 8, 8, 8)),
        NetworkSettings(decoder_channels=(24, 16, 8, 8)),
        NetworkSettings(encoder_name="tu-tf_efficientnet_lite0", decoder_channels=(24, 8, 8, 8, 8)),
        NetworkSettings(
            encoder_name="resnet18", encoder_weights=None, decoder_channels=(16, 8, 8, 8, 8)
        ),
    ],
    ids=["narrower", "shallower", "smaller-encoder", "other-encoder"],
)
def test_a_network_that_is_built_otherwise_is_refused(path, settings):
    with pytest.raises(InputError) as error:
        copy_weights(path, NucleusNet(settings, pretrained=False))
    assert str(error.value) == (
        f"{path}: cannot start the network that is to be trained, which is built otherwise; set "
        "network.encoder_name=tu-tf_efficientnet_lite2 and "
        "network.decoder_channels=[16, 8, 8, 8, 8] or wider"
    )
